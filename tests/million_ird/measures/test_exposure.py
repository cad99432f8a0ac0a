"""Shares of crushed and blown pixels on images whose shares are known."""

import numpy as np
import pytest

from million_ird.measures.exposure import ExposureMeasure
from tests.million_ird.measures.sample_images import bundled_image, encoded_image

MEASURE = ExposureMeasure()


def test_known_shares() -> None:
    grey = np.full((100, 100), 128, np.uint8)
    grey[:30], grey[90:] = 3, 252
    numbers = MEASURE.measure(encoded_image(grey))
    assert numbers["crushed_share"] == pytest.approx(0.3)
    assert numbers["blown_share"] == pytest.approx(0.1)
    assert numbers["mean_luma"] == pytest.approx(0.3 * 3 + 0.6 * 128 + 0.1 * 252)


@pytest.mark.parametrize(("level", "crushed", "blown"), [(5, 1, 0), (6, 0, 0), (249, 0, 0), (250, 0, 1)])
def test_the_limits_are_inclusive(level: int, crushed: int, blown: int) -> None:
    numbers = MEASURE.measure(encoded_image(np.full((20, 20, 3), level, np.uint8)))
    assert (numbers["crushed_share"], numbers["blown_share"]) == (crushed, blown)


def test_colour_is_measured_by_its_luma() -> None:
    blue = np.zeros((10, 10, 3), np.uint8)
    blue[..., 2] = 255
    numbers = MEASURE.measure(encoded_image(blue))
    assert numbers["mean_luma"] == pytest.approx(0.114 * 255, abs=0.5)
    assert numbers["crushed_share"] == 0


def test_the_astronaut_has_a_dark_background() -> None:
    numbers = MEASURE.measure(bundled_image("astronaut.png"))
    assert 0.05 < (numbers["crushed_share"] or 0) < 0.25
    assert (numbers["blown_share"] or 0) < 0.05
