import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from million_ird.config.gates import Gate
from million_ird.decide.thresholds import best_thresholds, choose_gates


def numbers(**fields: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(values, np.float64) for name, values in fields.items()}


def test_a_separating_measure_gives_a_gate_in_the_gap_in_the_right_direction() -> None:
    good, bad = numbers(sharp=[10, 12, 14]), numbers(sharp=[1, 2, 3])
    (threshold,) = best_thresholds(good, bad, 1.0)
    assert threshold.gate.max is None
    assert threshold.gate.min is not None
    assert 3 < threshold.gate.min < 10
    assert (threshold.good_kept, threshold.bad_dropped, threshold.area) == (1.0, 1.0, 1.0)


def test_recall_below_one_may_lose_good_images_to_drop_bad_ones() -> None:
    good, bad = numbers(x=[1, 10, 11, 12, 13, 14, 15, 16, 17, 18]), numbers(x=[2, 3, 4])
    assert best_thresholds(good, bad, 1.0) == []
    (threshold,) = best_thresholds(good, bad, 0.9)
    assert (threshold.good_kept, threshold.bad_dropped) == (0.9, 1.0)


def test_gates_are_chosen_for_the_images_that_the_others_keep() -> None:
    good = numbers(sharp=[10, 11, 12, 13], colours=[10, 11, 12, 13])
    bad = numbers(sharp=[1, 2, 10.5, 11.5], colours=[10.5, 11.5, 1, 2])
    joint = choose_gates(good, bad, 1.0)
    assert {gate.field for gate in joint.gates} == {"sharp", "colours"}
    assert (joint.good_kept, joint.bad_dropped, joint.precision) == (1.0, 1.0, 1.0)


def test_a_null_passes_a_gate_and_never_sets_a_threshold() -> None:
    good, bad = numbers(x=[5, np.nan, 6]), numbers(x=[1, np.nan, 2, 1.5])
    joint = choose_gates(good, bad, 1.0)
    assert joint.good_kept == 1.0
    assert joint.bad_dropped == pytest.approx(0.75)
    assert joint.precision == pytest.approx(3 / 4)


def test_nothing_is_proposed_where_nothing_separates() -> None:
    same = numbers(x=[1, 2, 3])
    assert choose_gates(same, same, 1.0).gates == ()


values = st.lists(st.floats(-100, 100), min_size=1, max_size=12)


@given(values, values, values, values, st.sampled_from([0.5, 0.8, 1.0]))
def test_joint_shares_are_those_that_the_gates_give_row_by_row(
    a: list[float], b: list[float], c: list[float], d: list[float], recall: float
) -> None:
    goods, bads = min(len(a), len(b)), min(len(c), len(d))
    good, bad = numbers(x=a[:goods], y=b[:goods]), numbers(x=c[:bads], y=d[:bads])
    joint = choose_gates(good, bad, recall)

    def kept(sets: dict[str, np.ndarray], row: int) -> bool:
        row_numbers = {name: float(column[row]) for name, column in sets.items()}
        return all(type(gate.judge(row_numbers)).__name__ == "Keep" for gate in joint.gates)

    assert joint.good_kept == pytest.approx(np.mean([kept(good, i) for i in range(goods)]))
    assert joint.bad_dropped == pytest.approx(1 - np.mean([kept(bad, i) for i in range(bads)]))
    assert joint.good_kept >= recall - 1e-9
    assert all(isinstance(gate, Gate) for gate in joint.gates)
