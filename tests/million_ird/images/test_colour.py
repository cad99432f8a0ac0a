"""Colour: ICC profiles against the formulas of the colour spaces."""

import struct
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


def make_profile(primaries: tuple[tuple[float, float], ...], gamma: float, description: str) -> bytes:
    """Return a matrix/TRC display profile with these red, green and blue xy and the white of D65, adapted to D50."""
    white = np.array([0.3127, 0.3290])

    def xyz(xy: np.ndarray) -> np.ndarray:
        return np.array([xy[0] / xy[1], 1, (1 - xy[0] - xy[1]) / xy[1]])

    matrix = np.stack([xyz(np.array(p)) for p in primaries], axis=1)
    matrix = matrix * np.linalg.solve(matrix, xyz(white))
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1.0, 0.8249])
    adapt = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ xyz(white))) @ bradford
    columns = (adapt @ matrix).T

    def fixed(values: np.ndarray) -> bytes:
        return b"".join(struct.pack(">i", round(float(v) * 65536)) for v in values)

    text = description.encode("ascii") + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(d50),
        **{name: b"XYZ \0\0\0\0" + fixed(c) for name, c in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)},
        **{n: b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) for n in (b"rTRC", b"gTRC", b"bTRC")},
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(d50)
    return head.ljust(128, b"\0") + table + body


ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
REC709 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = make_profile(ADOBE, 2.19921875, "Adobe RGB (1998)")
DISPLAY_P3 = make_profile(P3, 2.2, "Display P3")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ under D65, from the definition of a colour space."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, [0.3127 / 0.3290, 1, 0.3583 / 0.3290])


def in_srgb(colour: tuple[int, int, int], primaries: tuple[tuple[float, float], ...], gamma: float) -> np.ndarray:
    """Convert a colour of another space to 8-bit sRGB by the formulas, without any library."""
    linear = np.linalg.solve(to_xyz(REC709), to_xyz(primaries) @ (np.array(colour) / 255) ** gamma).clip(0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * curve


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
