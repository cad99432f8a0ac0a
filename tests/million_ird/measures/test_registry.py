"""Properties of every measure of pixels: no NaN, nothing out of range, the same for grey and for colour."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from million_ird.measure_specs import OFFICIAL_SCORES
from million_ird.measure_types import Tier
from million_ird.measures.registry import MEASURES, Measure
from million_ird.schema import RESERVED
from tests.million_ird.measures.sample_images import encoded_image, natural_noise, small_images

NAMES = tuple(name for name in MEASURES if name != "nss")  # it is slow, and tested in test_nss.py
SHARES = [field for name in NAMES for field in MEASURES[name].fields if field.endswith("_share")] + [
    "text_density",
    "top_colours",
    "effective_resolution",
]


def measure_all(pixels: np.ndarray) -> dict[str, float | None]:
    image = encoded_image(pixels)
    return {field: value for name in NAMES for field, value in MEASURES[name].measure(image).items()}


@settings(max_examples=60, deadline=None)
@given(small_images())
def test_any_small_image_gives_finite_numbers_or_null(pixels: np.ndarray) -> None:
    for field, value in measure_all(pixels).items():
        assert value is None or math.isfinite(value), field
        assert field not in SHARES or value is None or 0 <= value <= 1, field


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (16, 16), (128, 128), (129, 4097), (257, 131)])
@pytest.mark.parametrize("kind", ["flat", "noise", "natural", "black"])
def test_odd_shapes_give_finite_numbers_or_null(shape: tuple[int, int], kind: str) -> None:
    pixels = {
        "flat": np.full(shape, 130, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8),
        "natural": natural_noise(*shape) if min(shape) > 1 else np.full(shape, 7, np.uint8),
        "black": np.zeros(shape, np.uint8),
    }[kind]
    for field, value in measure_all(pixels).items():
        assert value is None or math.isfinite(value), field


def test_grey_stored_as_colour_gives_the_same_numbers() -> None:
    grey = natural_noise(300, 260)
    assert measure_all(grey) == measure_all(np.repeat(grey[..., None], 3, axis=2))


def test_every_measure_fills_its_fields_and_only_those() -> None:
    image = encoded_image(natural_noise(200, 200))
    for name in NAMES:
        measure: Measure = MEASURES[name]
        assert tuple(measure.measure(image)) == measure.fields


def test_no_column_is_filled_twice_and_every_tier_is_measured() -> None:
    seen = {*RESERVED, *OFFICIAL_SCORES}
    for measure in MEASURES.values():
        assert not seen & set(measure.fields)
        seen |= set(measure.fields)
        assert Tier.HEADER <= measure.tier <= Tier.QUALITY


def test_headers_and_thumbnails_are_measured_without_decoding_in_full() -> None:
    image = encoded_image(natural_noise(600, 800), format="JPEG", quality=90)
    for name in NAMES:
        if MEASURES[name].tier <= Tier.THUMBNAIL:
            MEASURES[name].measure(image)
    assert "pixels" not in image.__dict__
