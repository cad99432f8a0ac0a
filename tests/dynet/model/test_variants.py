import numpy as np
import pytest

from dynet import LARGE, SMALL, ReuseSchedule, Variant
from dynet.model.variants import POLICIES, VariantSampler


def test_the_papers_variants() -> None:
    assert ReuseSchedule(2, 3, 3, 4) == SMALL.schedule
    assert ReuseSchedule(4, 6, 6, 8) == LARGE.schedule


@pytest.mark.parametrize("bad", [0, -1, 1.0, True, "2"])
def test_a_schedule_names_the_level_that_is_wrong(bad: object) -> None:
    with pytest.raises(ValueError, match="level3"):
        ReuseSchedule(1, 1, bad, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a,b", "a/b", "a b"])
def test_a_variants_name_is_valid_in_a_file_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Variant(name, SMALL.schedule)


def test_the_draw_is_a_function_of_seed_and_step() -> None:
    one = VariantSampler([SMALL, LARGE], [0.5, 0.5], seed=3)
    two = VariantSampler([SMALL, LARGE], [0.5, 0.5], seed=3)
    forward = [one.draw(step) for step in range(50)]
    backward = [two.draw(step) for step in reversed(range(50))]
    assert forward == backward[::-1]
    other = VariantSampler([SMALL, LARGE], [0.5, 0.5], seed=4)
    assert forward != [other.draw(step) for step in range(50)]


def test_draws_follow_the_probabilities() -> None:
    sampler = VariantSampler([SMALL, LARGE], [3, 1], seed=0)
    share = np.mean([sampler.draw(step) == (SMALL,) for step in range(2000)])
    assert share == pytest.approx(0.75, abs=0.03)


MIDDLE = Variant("M", ReuseSchedule(3, 4, 4, 6))
DEEPER = Variant("D", ReuseSchedule(3, 5, 5, 6))


def test_alternate_uses_the_variants_in_turn() -> None:
    sampler = POLICIES["alternate"]([SMALL, MIDDLE, LARGE], [1, 1, 1], seed=0)
    assert [sampler.draw(step)[0].name for step in range(6)] == ["S", "M", "L", "S", "M", "L"]


def test_a_sandwich_is_the_deepest_the_shallowest_and_one_between() -> None:
    sampler = POLICIES["sandwich"]([DEEPER, LARGE, SMALL, MIDDLE], [3, 1, 1, 1], seed=0)
    drawn = [sampler.draw(step) for step in range(400)]
    assert {(first, second) for first, second, _ in drawn} == {(LARGE, SMALL)}
    assert {third.name for *_, third in drawn} == {"M", "D"}
    assert np.mean([third is DEEPER for *_, third in drawn]) == pytest.approx(0.75, abs=0.07)


@pytest.mark.parametrize(("variants", "drawn"), [([SMALL], [SMALL]), ([SMALL, LARGE], [LARGE, SMALL])])
def test_a_sandwich_of_fewer_variants_repeats_none(variants: list[Variant], drawn: list[Variant]) -> None:
    assert list(POLICIES["sandwich"](variants, [1] * len(variants), seed=0).draw(5)) == drawn
