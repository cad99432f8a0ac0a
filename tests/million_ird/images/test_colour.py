"""Colour: ICC profiles against the formulas of the colour spaces."""

import zlib

import numpy as np
import pytest
from PIL import ImageCms

from million_ird.images.header import read_header
from tests.million_ird.images.encoded_images import (
    decode_bytes,
    encode_16_bits,
    encode_image,
    wave_image,
    with_chunk,
)
from tests.million_ird.images.profiles import P3, REC709, make_profile, srgb_encoded, to_xyz

ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_RGB = make_profile(ADOBE, 2.19921875, "Adobe RGB (1998)")
DISPLAY_P3 = make_profile(P3, 2.2, "Display P3")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def in_srgb(colour: tuple[int, int, int], primaries: tuple[tuple[float, float], ...], gamma: float) -> np.ndarray:
    """Convert a colour of another space to 8-bit sRGB by the formulas, without any library."""
    linear = np.linalg.solve(to_xyz(REC709), to_xyz(primaries) @ (np.array(colour) / 255) ** gamma).clip(0, 1)
    return 255 * srgb_encoded(linear)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("colour", [(120, 180, 90), (128, 128, 128), (200, 140, 100), (90, 110, 160)])
@pytest.mark.parametrize(
    ("icc", "primaries", "gamma"), [(ADOBE_RGB, ADOBE, 2.2), (DISPLAY_P3, P3, 2.2)], ids=["adobe", "p3"]
)
def test_a_wide_profile_is_converted_to_srgb(
    format: str,
    colour: tuple[int, int, int],
    icc: bytes,
    primaries: tuple[tuple[float, float], ...],
    gamma: float,
) -> None:
    content = encode_image(np.full((16, 16, 3), colour, np.uint8), format, icc_profile=icc, quality=100)
    assert read_header(content).icc == "converted"
    shown = decode_bytes(content)[8, 8]
    assert np.abs(shown - in_srgb(colour, primaries, gamma)).max() <= (2 if format in {"PNG", "TIFF"} else 5), shown


def test_sixteen_bits_with_a_profile_are_converted_then_rounded() -> None:
    levels = (wave_image().astype(np.uint16) * 257) + 128
    with_profile = png_with_profile(encode_16_bits(levels), ADOBE_RGB)
    assert (read_header(with_profile).bits, read_header(with_profile).icc) == (16, "converted")
    shown = decode_bytes(with_profile)
    for y, x in [(0, 0), (40, 60), (95, 127)]:
        expected = in_srgb(tuple(levels[y, x] / 257), ADOBE, 2.19921875)
        assert np.abs(shown[y, x] - expected).max() <= 0.6


def png_with_profile(png: bytes, icc: bytes) -> bytes:
    return with_chunk(png, b"iCCP", b"icc\0\0" + zlib.compress(icc))


def test_an_srgb_profile_changes_nothing() -> None:
    content = encode_image(wave_image(), "PNG", icc_profile=SRGB)
    assert read_header(content).icc == "srgb"
    np.testing.assert_array_equal(decode_bytes(content), wave_image())


def test_a_linear_srgb_profile_is_not_taken_for_srgb() -> None:
    linear = make_profile(REC709, 1.0, "Linear sRGB")
    content = encode_image(np.full((8, 8, 3), 55, np.uint8), "PNG", icc_profile=linear)
    assert read_header(content).icc == "converted"
    assert np.abs(decode_bytes(content)[0, 0].astype(int) - 128).max() <= 2


@pytest.mark.parametrize("icc", [b"nonsense", ADOBE_RGB[:200], b"\0" * 128], ids=["text", "cut", "zeros"])
def test_a_broken_profile_is_ignored_and_recorded(icc: bytes) -> None:
    content = encode_image(wave_image(), "PNG", icc_profile=icc)
    assert read_header(content).icc == "broken"
    np.testing.assert_array_equal(decode_bytes(content), wave_image())


def test_a_profile_of_another_colour_model_is_broken() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert read_header(encode_image(wave_image(), "PNG", icc_profile=lab)).icc == "broken"


def test_alpha_with_a_profile_keeps_white_white() -> None:
    pixels = np.dstack([wave_image(), np.zeros(wave_image().shape[:2], np.uint8)])
    shown = decode_bytes(encode_image(pixels, "PNG", icc_profile=ADOBE_RGB))
    assert (shown == 255).all()
