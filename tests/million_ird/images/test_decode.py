"""Decoding: every rule at the top of decode.py, and that only ReadError is raised."""

import io
import itertools
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from million_ird.errors import ReadError
from million_ird.images.decode import THUMBNAIL_SIDE, decode, decode_thumbnail, shrink
from million_ird.images.header import read_header
from tests.million_ird import scenes
from tests.million_ird.images.encoded_images import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    corners,
    decode_bytes,
    encode_16_bits,
    encode_image,
    exif_orientation,
    failure_class,
    tiff16_with_orientation,
    wave_image,
    with_chunk,
)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_every_orientation_is_applied_as_pillow_and_datasets_apply_it(format: str, orientation: int) -> None:
    content = encode_image(corners(), format, exif=exif_orientation(orientation), quality=95)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    header = read_header(content)
    assert (header.width, header.height) == expected.size
    assert header.orientation == orientation
    for pixels in (decode(content, header), decode_thumbnail(content, header, 60)):
        assert np.abs(pixels.astype(int) - np.asarray(expected)).max() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_an_orientation_is_applied_to_sixteen_bits(format: str, orientation: int) -> None:
    levels = corners().astype(np.uint16) * 257
    if format == "PNG":
        content = with_chunk(
            encode_16_bits(levels), b"eXIf", exif_orientation(orientation).tobytes().removeprefix(b"Exif\0\0")
        )
    else:
        content = tiff16_with_orientation(levels, orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    header = read_header(content)
    assert header.bits == 16
    assert (header.width, header.height) == expected.size
    np.testing.assert_array_equal(decode(content, header), np.asarray(expected))


def test_real_photographs_of_all_eight_orientations_look_the_same(shared_data: Path) -> None:
    shown = []
    for path in sorted((shared_data / "hostile" / "exif_orientation").glob("*.jpg")):
        header = read_header(path.read_bytes())
        pixels = decode(path.read_bytes(), header)
        assert pixels.shape[:2] == (header.height, header.width)
        shown.append(np.float32(cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)))
    assert len(shown) >= 8
    for other in shown[1:]:
        assert np.abs(other - shown[0]).mean() < 12


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_rounded_not_truncated(suffix: str) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (40, 50, 3)).astype(np.uint16)
    content = encode_16_bits(levels, suffix)
    assert read_header(content).bits == 16
    np.testing.assert_array_equal(decode_bytes(content), np.rint(levels / 257).astype(np.uint8))


def test_sixteen_bit_grey_is_rounded_and_repeated() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (40, 50)).astype(np.uint16)
    content = encode_16_bits(levels)
    assert (read_header(content).mode, read_header(content).bits) == ("I;16", 16)
    np.testing.assert_array_equal(
        decode_bytes(content), np.repeat(np.rint(levels / 257).astype(np.uint8)[..., None], 3, 2)
    )


def test_sixteen_bit_alpha_is_composited_over_white() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (40, 50, 4)).astype(np.uint16)
    cover = levels[..., 3:] / 65535
    expected = (levels[..., :3] * cover + 65535 * (1 - cover)) / 257
    assert np.abs(decode_bytes(encode_16_bits(levels)) - expected).max() <= 1.5


def test_one_bit_is_black_and_white() -> None:
    pattern = np.indices((8, 8)).sum(axis=0) % 2 == 0
    content = encode_image(Image.fromarray(pattern), "PNG")
    assert read_header(content).bits == 1
    np.testing.assert_array_equal(decode_bytes(content)[..., 0], pattern * np.uint8(255))


def test_grey_is_repeated_on_three_channels() -> None:
    grey = wave_image()[..., 0]
    np.testing.assert_array_equal(decode_bytes(encode_image(grey, "PNG")), np.repeat(grey[..., None], 3, axis=2))


def test_a_palette_is_resolved() -> None:
    image = Image.fromarray(corners()).quantize(8)
    header = read_header(encode_image(image, "PNG"))
    assert (header.mode, header.alpha) == ("P", False)
    np.testing.assert_array_equal(decode_bytes(encode_image(image, "PNG")), corners())


def test_a_transparent_palette_entry_shows_white() -> None:
    image = Image.fromarray(corners()).quantize(8)
    hidden = image.getpixel((0, 0))
    content = encode_image(image, "PNG", transparency=hidden)
    assert read_header(content).alpha
    assert tuple(decode_bytes(content)[0, 0]) == WHITE
    assert tuple(decode_bytes(content)[39, 59]) == GREEN


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_composited_over_white(format: str) -> None:
    pixels = np.dstack([corners(), np.full((40, 60), 255, np.uint8)])
    pixels[:20, :30, 3] = 0
    pixels[20:, 30:, 3] = 128
    shown = decode_bytes(
        encode_image(pixels, format, **({"lossless": True, "exact": True} if format == "WEBP" else {}))
    )
    assert tuple(shown[0, 0]) == WHITE
    assert tuple(shown[39, 59]) == (127, 255, 127)
    assert tuple(shown[0, 59]) == BLUE


def test_grey_with_alpha_is_composited_over_white() -> None:
    image = Image.merge("LA", [Image.new("L", (8, 8), 0), Image.new("L", (8, 8), 128)])
    assert tuple(decode_bytes(encode_image(image, "PNG"))[0, 0]) == (127, 127, 127)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_colour_key_shows_white(bits: int) -> None:
    pixels = corners() if bits == 8 else corners().astype(np.uint16) * 257
    content = encode_image(pixels, "PNG") if bits == 8 else encode_16_bits(pixels)
    key = struct.pack(">HHH", 255 if bits == 8 else 65535, 0, 0)
    shown = decode_bytes(with_chunk(content, b"tRNS", key))
    assert tuple(shown[0, 0]) == WHITE
    assert tuple(shown[39, 59]) == GREEN


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_follows_pillows_formula(format: str) -> None:
    image = Image.fromarray(wave_image()).convert("CMYK")
    content = encode_image(image, format, **({"quality": 95} if format == "JPEG" else {}))
    assert read_header(content).mode == "CMYK"
    assert np.abs(decode_bytes(content).astype(int) - wave_image()).mean() < 3


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_shows_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if format == "WEBP" else {}
    content = encode_image(frames[0], format, save_all=True, append_images=frames[1:], duration=100, **options)
    assert read_header(content).frames == 3
    assert tuple(decode_bytes(content)[10, 10]) == RED


def test_a_multi_picture_object_shows_its_first_image() -> None:
    first, second = Image.fromarray(wave_image()), Image.new("RGB", (128, 96), GREEN)
    content = encode_image(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert (read_header(content).format, read_header(content).frames) == ("MPO", 2)
    assert np.abs(decode_bytes(content).astype(int) - wave_image()).mean() < 4


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(900, 700), (3000, 40), (33, 1500)])
def test_a_thumbnail_is_the_shrunk_image(format: str, size: tuple[int, int]) -> None:
    content = encode_image(wave_image(size[1], size[0]), format, quality=95)
    header = read_header(content)
    small = decode_thumbnail(content, header)
    expected = shrink(decode(content, header), THUMBNAIL_SIDE)
    assert max(small.shape[:2]) == THUMBNAIL_SIDE
    assert small.shape == expected.shape
    assert np.abs(small.astype(int) - expected).mean() < 4


def test_a_thumbnail_never_enlarges() -> None:
    content = encode_image(wave_image(20, 30), "JPEG")
    assert decode_thumbnail(content, read_header(content)).shape == (20, 30, 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_truncated_image_fails(format: str, share: float) -> None:
    content = encode_image(wave_image(), format)
    failure = failure_class(content[: int(len(content) * share)])
    assert failure in {"truncated", "undecodable", "not_an_image"}


def test_a_truncated_sixteen_bit_image_fails() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    assert failure_class(encode_16_bits(levels)[:20_000]) == "truncated"


@settings(max_examples=150)
@given(
    format=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]),
    edits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
    share=st.floats(0.05, 1),
)
def test_damaged_bytes_raise_only_read_errors(format: str, edits: list[tuple[float, int]], share: float) -> None:
    content = bytearray(encode_image(wave_image(48, 64), format))
    for place, value in edits:
        content[int(place * len(content))] = value
    whole = bytes(content[: int(len(content) * share)])
    try:
        header = read_header(whole, max_pixels=1_000_000)
        assert decode(whole, header).shape == (header.height, header.width, 3)
    except ReadError as caught:
        error = caught
    else:
        return
    assert error.failure_class
    assert "\n" not in error.detail


def test_hostile_files_raise_only_read_errors(shared_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [path for path in sorted((shared_data / "hostile").rglob("*")) if path.is_file()]
    assert len(files) > 500
    decoded = 0
    for path in files:
        content = path.read_bytes()
        try:
            header = read_header(content)
            pixels = decode(content, header)
            assert pixels.shape == (header.height, header.width, 3)
            assert pixels.dtype == np.uint8
            assert max(decode_thumbnail(content, header).shape[:2]) <= THUMBNAIL_SIDE
            decoded += 1
        except ReadError:
            pass
    capfd.readouterr()  # the C libraries' own complaints
    assert decoded > 300


JPEGS = [
    *({"quality": quality, "subsampling": form} for quality, form in itertools.product((1, 50, 92, 100), (0, 1, 2))),
    {"quality": 90, "progressive": True},
    {"quality": 90, "restart_marker_rows": 1},
    {"quality": 90, "keep_rgb": True},
    {"quality": 90, "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
    *({"quality": 90, "exif": orientation} for orientation in range(1, 9)),
]


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", JPEGS, ids=lambda options: "-".join(f"{k}{v!r:.9}" for k, v in options.items()))
def test_a_whole_jpeg_has_the_pixels_that_pillow_gives(options: dict[str, Any], mode: str) -> None:
    """Its check for damage decodes it, and nothing decodes it again."""
    if options.get("keep_rgb") and mode == "L":
        pytest.skip("a grey JPEG is not RGB")
    if "exif" in options:
        exif = Image.Exif()
        exif[0x0112] = options["exif"]
        options = options | {"exif": exif}
    for size in ((1, 1), (7, 5), (33, 17), (200, 131)):
        noisy = scenes.photograph(3, *size).convert(mode)
        buffer = io.BytesIO()
        noisy.save(buffer, "JPEG", **options)
        expected = ImageOps.exif_transpose(Image.open(buffer)).convert("RGB")
        assert np.array_equal(decode_bytes(buffer.getvalue()), np.asarray(expected))
