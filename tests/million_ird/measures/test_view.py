"""The small view of an image: what is stored, read again, and measured."""

import io

import numpy as np
import pytest
from PIL import Image

from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.view import LEVELS, SIDE, VIEW, View, pack_view, unpack_view


def view_of(pixels: np.ndarray, form: str = "PNG", **options: object) -> View:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, form, **options)
    view = unpack_view(pack_view(EncodedImage(buffer.getvalue())))
    assert view is not None
    return view


def noise(sigma: float, height: int = 300, width: int = 400) -> np.ndarray:
    return 128 + np.random.default_rng(3).normal(0, sigma, (height, width, 1)).repeat(3, axis=2)


@pytest.mark.parametrize("sigma", [2, 8, 24])
def test_white_noise_is_measured_in_levels_and_halves_with_the_resolution(sigma: float) -> None:
    view = view_of(noise(sigma))
    assert np.median(view.fine[0]) == pytest.approx(sigma, rel=0.1)
    assert np.median(view.fine[1]) == pytest.approx(sigma / 2, rel=0.15)
    assert np.median(view.quiet[0]) == pytest.approx(sigma, rel=0.2)


def test_the_thumbnail_shows_the_image() -> None:
    pixels = np.zeros((300, 600, 3))
    pixels[:, 300:] = 200, 100, 50
    view = view_of(pixels)
    assert view.thumbnail.shape == (SIDE // 2, SIDE, 3)
    assert np.abs(view.thumbnail[20, 100].astype(int) - [200, 100, 50]).max() < 8
    assert view.thumbnail[20, 10].max() < 8


def test_pixels_that_repeat_are_counted() -> None:
    pixels = noise(20).astype(np.uint8)
    assert view_of(pixels).repeats == 0
    assert view_of(pixels.repeat(2, axis=0).repeat(2, axis=1)).repeats == pytest.approx(0.5, abs=0.05)


def test_gaps_of_a_tone_curve_show() -> None:
    pixels = np.clip(noise(30), 0, 255)
    assert view_of(pixels).comb < 0.02
    assert view_of(np.clip((np.rint(pixels) - 128) * 1.4 + 128, 0, 255)).comb > 0.3


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (40, 64), (200, 130)])
def test_small_images_have_a_view_of_what_they_have(size: tuple[int, int]) -> None:
    view = view_of(noise(10, *size))
    assert view.thumbnail.shape[:2] <= size
    assert np.isnan(view.fine[LEVELS - 1]).all()


def test_webp_and_avif_have_the_quality_of_a_jpeg_that_is_as_coarse() -> None:
    pixels = noise(10)
    assert view_of(pixels).coding == view_of(pixels, "JPEG", quality=30).coding == 100
    assert view_of(pixels, "WEBP", lossless=True).coding == 100
    assert view_of(pixels, "WEBP", quality=30).coding < 50 < view_of(pixels, "WEBP", quality=80).coding < 90
    assert view_of(pixels, "AVIF", quality=30).coding < 25 < view_of(pixels, "AVIF", quality=70).coding < 95


@pytest.mark.parametrize("packed", [None, b"", b"x" * VIEW.itemsize, b"x" * (VIEW.itemsize + 40)])
def test_what_is_no_view_is_none(packed: bytes | None) -> None:
    assert unpack_view(packed) is None
