from dataclasses import replace

import numpy as np
import pytest

from dynet.degradations.registry import DEGRADATIONS
from dynet.degradations.strengths import CHOICES, MAX_SEED, AddedDegradation
from dynet.errors import UsageError


@pytest.fixture(scope="module")
def photograph(photographs: list[np.ndarray]) -> np.ndarray:
    return photographs[0][100:164, 200:280]


@pytest.mark.parametrize("kind", CHOICES)
def test_every_choice_stays_within_its_limits_and_grows_with_the_slider(kind: str, photograph: np.ndarray) -> None:
    limits = DEGRADATIONS[kind].LIMITS
    for strength in (0, 0.5, 1):
        parameters = CHOICES[kind].parameters_at(strength)
        assert parameters.keys() == limits.keys()
        assert all(low <= parameters[name] <= high for name, (low, high) in limits.items())
    errors = []
    for strength in (0, 1):
        changed = AddedDegradation(kind, strength, 3).apply(photograph)
        assert (changed.shape, changed.dtype) == (photograph.shape, np.uint8)
        errors.append(float(np.square(changed.astype(float) - photograph).mean()))
    assert errors[0] < errors[1]


@pytest.mark.parametrize("kind", CHOICES)
def test_the_same_kind_strength_and_seed_give_the_same_pixels(kind: str, photograph: np.ndarray) -> None:
    degradation = AddedDegradation(kind, 0.4, 11)
    assert np.array_equal(degradation.apply(photograph), degradation.apply(photograph))


def test_another_seed_gives_other_noise(photograph: np.ndarray) -> None:
    degradation = AddedDegradation("gaussian_noise", 0.5, 0)
    assert not np.array_equal(degradation.apply(photograph), replace(degradation, seed=1).apply(photograph))


def test_the_middle_of_the_slider_is_the_noise_of_published_results(photograph: np.ndarray) -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert AddedDegradation("gaussian_noise", 0.5, 0).apply(grey).std() == pytest.approx(25, rel=0.02)
    assert str(AddedDegradation("gaussian_noise", 0.5, 7)) == "Gaussian noise (sigma 25; seed 7)"


@pytest.mark.parametrize(
    ("kind", "strength", "seed", "reason"),
    [
        ("eval", 0.5, 0, "no such degradation"),
        ("rain", 1.01, 0, "strength"),
        ("rain", -0.01, 0, "strength"),
        ("rain", float("nan"), 0, "strength"),
        ("rain", 0.5, -1, "seed"),
        ("rain", 0.5, MAX_SEED + 1, "seed"),
    ],
)
def test_an_unusable_degradation_is_refused_in_a_sentence(kind: str, strength: float, seed: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        AddedDegradation(kind, strength, seed)
