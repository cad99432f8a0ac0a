"""Sound files of every format are read; what is a picture and is not read is refused by name."""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images import signatures
from million_ird.images.decode import decode
from million_ird.images.header import read_header
from tests.million_ird.images.colour_files import pillow, png, random_levels, shown
from tests.million_ird.images.encoded_images import decode_bytes, encode_image, exif_orientation, with_chunk
from tests.million_ird.images.other_files import smooth
from tests.million_ird.images.profiles import P3

FAULTS = {
    "miniswhite16.tif": 89.8,
    "gray12.tif": 89.8,
    "trns_gray16.png": 93.25,
    "gray16_icc_lin.png": 155.32,
    "cicp_p3.png": 86.37,
    "pgm16.pgm": 89.8,
    "bad_crc_phys.png": 89.01,
    "ztxt_2mb.png": 89.01,
    "photo.heic": 89.01,
    "photo.jxl": 89.01,
}
"""What files of shared/data/faults must show on average."""
ANCILLARY = (b"pHYs", b"tIME", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"bKGD", b"eXIf", b"tEXt", b"zTXt", b"prVt")


def detail(content: bytes) -> str:
    with pytest.raises(ReadError) as caught:
        decode(content, read_header(content))
    return f"{caught.value.failure_class}: {caught.value.detail}"


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_files_that_were_got_wrong(name: str, shared_data: Path) -> None:
    content = (shared_data / "faults" / name).read_bytes()
    header = read_header(content)
    assert decode(content, header).mean() == pytest.approx(FAULTS[name], abs=0.05)
    assert header.icc == ("converted" if name in {"gray16_icc_lin.png", "cicp_p3.png", "photo.heic"} else header.icc)


@pytest.mark.parametrize("kind", ANCILLARY)
@pytest.mark.parametrize("last", [False, True])
def test_a_png_with_a_damaged_ancillary_chunk_is_read_without_it(kind: bytes, last: bool) -> None:
    content = encode_image(smooth(), "PNG")
    whole = with_chunk(content, kind, b"\x00\x00\x10\x00" * 8, last=last)
    place = whole.index(kind) + 4 + 32
    damaged = whole[:place] + bytes(b ^ 0x55 for b in whole[place : place + 4]) + whole[place + 4 :]
    np.testing.assert_array_equal(decode_bytes(damaged), smooth())
    assert (read_header(damaged).icc, read_header(damaged).orientation) == ("none", 1)


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        (b"zTXt", b"Comment\0\0"),
        (b"iTXt", b"Comment\0\1\0\0\0"),
        (b"zTXt", b"Raw profile type exif\0\0"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0"),
    ],
)
def test_long_texts_of_a_png_are_not_read(kind: bytes, start: bytes) -> None:
    content = encode_image(smooth(), "PNG")
    for last in (False, True):
        long = with_chunk(content, kind, start + zlib.compress(bytes(4_000_000)), last=last)
        np.testing.assert_array_equal(decode_bytes(long), smooth())
    many = content
    text = start + zlib.compress(bytes(1_000_000))
    for _ in range(70):  # together above Pillow's limit for all texts
        many = with_chunk(many, kind, text)
    np.testing.assert_array_equal(decode_bytes(many), smooth())


def test_an_orientation_in_a_text_still_counts() -> None:
    block = exif_orientation(6).tobytes()
    text = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode()))
    content = with_chunk(with_chunk(encode_image(smooth(), "PNG"), b"zTXt", text), b"tEXt", b"a\0b")
    assert read_header(content).orientation == 6
    assert decode_bytes(content).shape == (48, 32, 3)


def test_heic_and_jpeg_xl_are_read_with_the_extra() -> None:
    pytest.importorskip("pillow_jxl")
    pytest.importorskip("pillow_heif").register_heif_opener()
    levels = np.dstack([smooth(), smooth()[..., 1]])
    expected = shown(levels[..., :3] / 255, levels[..., 3] / 255)
    exact = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    for format, options in (("HEIF", exact), ("JXL", {"lossless": True})):
        content = pillow(Image.fromarray(levels), format, **options)
        header = read_header(content)
        assert (header.format, header.mode, header.width, header.height) == (format, "RGBA", 48, 32)
        assert np.abs(decode(content, header) - expected).max() <= 1


@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (1, 13), (9, 16), (9, 18)])
def test_code_points_of_a_heic_are_used(primaries: int, transfer: int) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    options = {"quality": -1, "chroma": 444, "matrix_coefficients": 0, "color_primaries": primaries}
    content = pillow(Image.fromarray(smooth()), "HEIF", transfer_characteristics=transfer, **options)
    if transfer != 13:
        assert "PQ or HLG" in detail(content)
        return
    expected = shown(smooth() / 255, primaries=P3 if primaries == 12 else None)
    assert np.abs(decode_bytes(content) - expected).max() <= 1


@pytest.mark.parametrize(("channels", "bits"), [(1, 16), (2, 16), (3, 16), (4, 16), (3, 12), (3, 32), (3, -16)])
def test_jpeg_xl_of_more_than_8_bits_is_linear_and_keeps_its_dark_levels(channels: int, bits: int) -> None:
    pytest.importorskip("pillow_jxl")
    depth = 12 if bits == 12 else 16
    levels = random_levels(1, channels, depth)
    values = levels / ((1 << depth) - 1)
    stored = {32: values.astype(np.float32), -16: values.astype(np.float16)}.get(bits, levels)
    options = {"bitspersample": 12} if bits == 12 else {}
    content = imagecodecs.jpegxl_encode(stored[..., 0] if channels == 1 else stored, lossless=True, **options)
    n_colours = 1 if channels < 3 else 3
    values = stored.astype(np.float64) if stored.dtype.kind == "f" else values
    cover = values[..., -1] if channels > n_colours else None
    expected = shown(values[..., :n_colours], cover, gamma=1.0)
    assert (read_header(content).bits, read_header(content).icc) == (abs(bits), "converted")
    assert np.abs(decode_bytes(content) - expected).max() <= 0.8


@pytest.mark.parametrize("name", ["HEIC", "JPEG XL"])
def test_without_the_extra_the_line_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "find_spec", lambda module: None)
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" if name == "HEIC" else b"\xff\x0a" + bytes(40)
    assert detail(content) == f"unsupported: {name} (pip install 'million-ird[formats]')"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"v/1\x01" + bytes(500), "OpenEXR"),
        (b"#?RADIANCE\n" + bytes(500), "Radiance HDR"),
        (b"DDS " + bytes(500), "DDS"),
        (b"\0\0\0\x18ftypcrx " + bytes(500), "camera raw (CR3)"),
        (b"FUJIFILMCCD-RAW " + bytes(500), "camera raw (RAF)"),
        (bytes(128) + b"DICM" + bytes(500), "DICOM"),
        (b"8BPS\0\x02" + bytes(500), "PSB"),
        (
            encode_image(Image.new("RGB", (8, 8)), "TIFF").replace(
                b"\x06\x01\x03\x00\x01\x00\x00\x00\x02", b"\x06\x01\x03\x00\x01\x00\x00\x00\x04"
            ),
            "a TIFF of 8-bit transparency mask",
        ),
    ],
)
def test_pictures_that_are_not_read_are_named(content: bytes, name: str) -> None:
    assert detail(content).startswith(f"unsupported: {name}")


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "BMP", "PPM", "ICO", "QOI", "PSD"]
)
def test_no_damage_makes_a_picture_no_image(format: str, shared_data: Path) -> None:
    if format in {"QOI", "PSD"}:
        paths = sorted((shared_data / "hostile" / "pillow").glob(f"*.{format.lower()}"))
        content = paths[0].read_bytes()
    else:
        content = encode_image(smooth(), format)
    rng = np.random.default_rng(0)
    for length in (40, 100, len(content) // 2):
        broken = bytearray(content[:length])
        for place in rng.integers(20, length, 12):
            broken[place] = rng.integers(0, 256)
        assert failure_of(bytes(broken)) != "not_an_image"


def failure_of(content: bytes) -> str:
    try:
        decode(content, read_header(content))
    except ReadError as error:
        return error.failure_class
    return ""


def test_sizes_are_checked_before_anything_is_decoded() -> None:
    side = 1 << 20
    jxl_size = 3 << 1 | (side - 1) << 3 | 3 << 36 | (side - 1) << 38
    huge_png = png(0, 1, random_levels(1, 1, 1))
    huge_png = huge_png[:16] + struct.pack(">II", side, side) + huge_png[24:]
    huge_png = huge_png[:29] + struct.pack(">I", zlib.crc32(huge_png[12:29])) + huge_png[33:]
    bombs = {
        "JPEG XL": b"\xff\x0a" + jxl_size.to_bytes(12, "little") + bytes(20),
        "ICO": struct.pack("<3H4B2H2I", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(huge_png), 22) + huge_png,
        "PPM": b"P5 %d %d 65535\n" % (side, side),
        "PAM": b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 1\nMAXVAL 255\nENDHDR\n" % (side, side),
        "BMP": b"BM" + struct.pack("<IHHIIiiHHI", 0, 0, 0, 54, 40, side, side, 1, 24, 0) + bytes(60),
    }
    pytest.importorskip("pillow_jxl")
    for name, content in bombs.items():
        with pytest.raises(ReadError) as caught:
            read_header(content)
        assert caught.value.failure_class == "too_large", name


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_2000_of_any_depth(bits: int, channels: int) -> None:
    levels = random_levels(bits, channels, bits)
    stored = levels if channels > 1 else levels[..., 0]
    content = imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, bitspersample=bits)
    values = levels / ((1 << bits) - 1)
    cover = values[..., 3] if channels == 4 else None
    expected = shown(values[..., : 1 if channels == 1 else 3], cover)
    assert np.abs(decode_bytes(content) - expected).max() <= (1 if channels == 4 else 0.51)
