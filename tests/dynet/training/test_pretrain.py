"""Stage `pretrain`: what it does to a crop."""

import numpy as np
import pytest

from dynet.config.recipe import DegradedCells, SquareCells
from dynet.degradations.gaussian_noise import GaussianNoise
from dynet.runtime.rng import generator
from dynet.training.pretrain import DegradeAndMask


def test_about_half_is_degraded_and_a_third_masked(photographs: list[np.ndarray]) -> None:
    noise = GaussianNoise(kind="gaussian_noise", sigma=(50, 50))
    degrade = DegradeAndMask(DegradedCells(share=0.5, cell=16, degradations=(noise,)), SquareCells(share=0.3, cell=16))
    clean = np.clip(photographs[0][:128, :128], 1, 254)
    shares = []
    for key in range(10):
        degraded = degrade(clean, generator(0, "corruption", key))
        masked = (degraded == 0).all(2)
        changed = (degraded != clean).any(2) & ~masked
        shares.append((masked.mean(), changed.mean() / (~masked).mean()))
    masked_share, changed_share = np.mean(shares, axis=0)
    assert masked_share == pytest.approx(0.3, abs=0.03)
    assert changed_share == pytest.approx(0.5, abs=0.06)
