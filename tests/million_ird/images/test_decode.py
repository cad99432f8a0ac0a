"""The one decoder: every rule at the top of images.py, and that nothing but ReadError gets out of it."""

import io
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from million_ird.errors import ReadError
from million_ird.images import decode as images
from million_ird.images.decode import decode, decode_thumbnail, read_header

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners() -> np.ndarray:
    """60 × 40 with another colour in each corner, so that all eight orientations differ."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[20:, 30:], pixels[:20, 30:] = RED, GREEN, BLUE
    return pixels


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth colours with some detail: what survives a JPEG."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + k) + np.cos(y / 7 - k) for k in range(3)]
    return np.clip(128 + 50 * np.stack(waves, axis=2), 0, 255).astype(np.uint8)


def encoded(picture: Image.Image | np.ndarray, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    made = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    made.save(buffer, form, **options)
    return buffer.getvalue()


def deep(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    """16-bit levels, RGB(A) or grey, as PNG or TIFF."""
    order = [2, 1, 0, 3][: pixels.shape[2]] if pixels.ndim == 3 else None
    stored = pixels if order is None else np.ascontiguousarray(pixels[..., order])
    return bytes(cv2.imencode(suffix, stored)[1])


def with_chunk(png: bytes, kind: bytes, data: bytes, *, last: bool = False) -> bytes:
    """A PNG with one more chunk, after IHDR or before IEND."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    at = len(png) - 12 if last else 33
    return png[:at] + chunk + png[at:]


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[images.ORIENTATION_TAG] = orientation
    return tags


def turned_tiff16(pixels: np.ndarray, orientation: int) -> bytes:
    """A 16-bit TIFF with an orientation tag, which OpenCV does not write."""
    raw = bytearray(cv2.imencode(".tiff", pixels[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1])
    (start,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, start)
    entries = [bytes(raw[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(count)]
    entries = [entry for entry in entries if entry[:2] != struct.pack("<H", 274)]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    struct.pack_into("<I", raw, 4, len(raw))
    return bytes(raw + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))


def seen(content: bytes) -> np.ndarray:
    return decode(content, read_header(content))


def failure_class(content: bytes, **limits: int) -> str:
    with pytest.raises(ReadError) as caught:
        decode(content, read_header(content, **limits))
    return caught.value.failure_class


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_every_orientation_is_applied_as_pillow_and_datasets_apply_it(form: str, orientation: int) -> None:
    content = encoded(corners(), form, exif=exif(orientation), quality=95)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    header = read_header(content)
    assert (header.width, header.height) == expected.size
    assert header.orientation == orientation
    for pixels in (decode(content, header), decode_thumbnail(content, header, 60)):
        assert np.abs(pixels.astype(int) - np.asarray(expected)).max() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_turned_like_eight(form: str, orientation: int) -> None:
    levels = corners().astype(np.uint16) * 257
    if form == "PNG":
        content = with_chunk(deep(levels), b"eXIf", exif(orientation).tobytes().removeprefix(b"Exif\0\0"))
    else:
        content = turned_tiff16(levels, orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    header = read_header(content)
    assert header.bits == 16
    assert (header.width, header.height) == expected.size
    np.testing.assert_array_equal(decode(content, header), np.asarray(expected))


def test_an_orientation_behind_the_pixels_of_a_png_counts() -> None:
    content = with_chunk(encoded(corners(), "PNG"), b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0"), last=True)
    assert (read_header(content).width, read_header(content).height) == (40, 60)
    assert seen(content).shape == (60, 40, 3)


def test_a_png_header_is_read_without_decoding_the_pixels() -> None:
    content = encoded(scene(), "PNG")
    assert read_header(content[: len(content) // 2]).width == 128


def test_a_broken_exif_block_is_no_reason_to_lose_the_picture() -> None:
    content = encoded(corners(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert read_header(content).orientation == 1


def test_real_photographs_of_all_eight_orientations_show_the_same(shared_data: Path) -> None:
    shown = []
    for path in sorted((shared_data / "hostile" / "exif_orientation").glob("*.jpg")):
        header = read_header(path.read_bytes())
        pixels = decode(path.read_bytes(), header)
        assert pixels.shape[:2] == (header.height, header.width)
        shown.append(np.float32(cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)))
    assert len(shown) >= 8
    for other in shown[1:]:
        assert np.abs(other - shown[0]).mean() < 12


# Depth, grey, palette, alpha


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_rounded_not_cut(suffix: str) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (40, 50, 3)).astype(np.uint16)
    content = deep(levels, suffix)
    assert read_header(content).bits == 16
    np.testing.assert_array_equal(seen(content), np.rint(levels / 257).astype(np.uint8))


def test_sixteen_bit_grey_is_rounded_and_repeated() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (40, 50)).astype(np.uint16)
    content = deep(levels)
    assert (read_header(content).mode, read_header(content).bits) == ("I;16", 16)
    np.testing.assert_array_equal(seen(content), np.repeat(np.rint(levels / 257).astype(np.uint8)[..., None], 3, 2))


def test_sixteen_bit_alpha_lies_over_white() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (40, 50, 4)).astype(np.uint16)
    cover = levels[..., 3:] / 65535
    expected = (levels[..., :3] * cover + 65535 * (1 - cover)) / 257
    assert np.abs(seen(deep(levels)) - expected).max() <= 1.5


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("pillow/tiff_strip_planar_16bit_RGB*.tiff", "a TIFF of 16 bits whose channels lie in planes"),
        ("pillow/*pal4rle*.bmp", "a BMP in run lengths of 4 bits"),
    ],
)
def test_what_decoders_make_noise_of_is_refused(shared_data: Path, pattern: str, said: str) -> None:
    found = sorted((shared_data / "hostile").glob(pattern))
    assert found
    for path in found:
        with pytest.raises(ReadError, match=said):
            read_header(path.read_bytes())


def test_one_bit_is_black_and_white() -> None:
    pattern = np.indices((8, 8)).sum(axis=0) % 2 == 0
    content = encoded(Image.fromarray(pattern), "PNG")
    assert read_header(content).bits == 1
    np.testing.assert_array_equal(seen(content)[..., 0], pattern * np.uint8(255))


def test_grey_is_repeated_on_three_channels() -> None:
    grey = scene()[..., 0]
    np.testing.assert_array_equal(seen(encoded(grey, "PNG")), np.repeat(grey[..., None], 3, axis=2))


def test_a_palette_is_resolved() -> None:
    picture = Image.fromarray(corners()).quantize(8)
    header = read_header(encoded(picture, "PNG"))
    assert (header.mode, header.alpha) == ("P", False)
    np.testing.assert_array_equal(seen(encoded(picture, "PNG")), corners())


def test_a_transparent_palette_entry_shows_white() -> None:
    picture = Image.fromarray(corners()).quantize(8)
    hidden = picture.getpixel((0, 0))
    content = encoded(picture, "PNG", transparency=hidden)
    assert read_header(content).alpha
    assert tuple(seen(content)[0, 0]) == WHITE
    assert tuple(seen(content)[39, 59]) == GREEN


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_alpha_lies_over_white(form: str) -> None:
    pixels = np.dstack([corners(), np.full((40, 60), 255, np.uint8)])
    pixels[:20, :30, 3] = 0
    pixels[20:, 30:, 3] = 128
    shown = seen(encoded(pixels, form, **({"lossless": True, "exact": True} if form == "WEBP" else {})))
    assert tuple(shown[0, 0]) == WHITE
    assert tuple(shown[39, 59]) == (127, 255, 127)
    assert tuple(shown[0, 59]) == BLUE


def test_grey_with_alpha_lies_over_white() -> None:
    picture = Image.merge("LA", [Image.new("L", (8, 8), 0), Image.new("L", (8, 8), 128)])
    assert tuple(seen(encoded(picture, "PNG"))[0, 0]) == (127, 127, 127)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_colour_key_shows_white(bits: int) -> None:
    pixels = corners() if bits == 8 else corners().astype(np.uint16) * 257
    content = encoded(pixels, "PNG") if bits == 8 else deep(pixels)
    key = struct.pack(">HHH", 255 if bits == 8 else 65535, 0, 0)
    shown = seen(with_chunk(content, b"tRNS", key))
    assert tuple(shown[0, 0]) == WHITE
    assert tuple(shown[39, 59]) == GREEN


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_follows_pillows_formula(form: str) -> None:
    picture = Image.fromarray(scene()).convert("CMYK")
    content = encoded(picture, form, **({"quality": 95} if form == "JPEG" else {}))
    assert read_header(content).mode == "CMYK"
    assert np.abs(seen(content).astype(int) - scene()).mean() < 3


# Colour


def profile(primaries: tuple[tuple[float, float], ...], gamma: float, description: str) -> bytes:
    """A matrix/TRC display profile with the given red, green and blue xy and the white of D65, adapted to D50."""
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
ADOBE_RGB = profile(ADOBE, 2.19921875, "Adobe RGB (1998)")
DISPLAY_P3 = profile(P3, 2.2, "Display P3")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Linear RGB to XYZ under D65, from the definition of a colour space."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, [0.3127 / 0.3290, 1, 0.3583 / 0.3290])


def in_srgb(colour: tuple[int, int, int], primaries: tuple[tuple[float, float], ...], gamma: float) -> np.ndarray:
    """What a colour of another space is in 8-bit sRGB, by the formulas and without any library."""
    linear = np.linalg.solve(to_xyz(REC709), to_xyz(primaries) @ (np.array(colour) / 255) ** gamma).clip(0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * curve


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("colour", [(120, 180, 90), (128, 128, 128), (200, 140, 100), (90, 110, 160)])
@pytest.mark.parametrize(
    ("icc", "primaries", "gamma"), [(ADOBE_RGB, ADOBE, 2.2), (DISPLAY_P3, P3, 2.2)], ids=["adobe", "p3"]
)
def test_a_wide_profile_is_converted_to_srgb(
    form: str,
    colour: tuple[int, int, int],
    icc: bytes,
    primaries: tuple[tuple[float, float], ...],
    gamma: float,
) -> None:
    content = encoded(np.full((16, 16, 3), colour, np.uint8), form, icc_profile=icc, quality=100)
    assert read_header(content).icc == "converted"
    shown = seen(content)[8, 8]
    assert np.abs(shown - in_srgb(colour, primaries, gamma)).max() <= (2 if form in {"PNG", "TIFF"} else 5), shown


def test_sixteen_bits_with_a_profile_are_rounded_then_converted() -> None:
    levels = (scene().astype(np.uint16) * 257) + 128  # cutting and rounding differ in every pixel
    with_profile = with_icc(deep(levels), ADOBE_RGB)
    assert read_header(with_profile).bits == 16
    eight = encoded(np.rint(levels / 257).astype(np.uint8), "PNG", icc_profile=ADOBE_RGB)
    np.testing.assert_array_equal(seen(with_profile), seen(eight))


def with_icc(png: bytes, icc: bytes) -> bytes:
    return with_chunk(png, b"iCCP", b"icc\0\0" + zlib.compress(icc))


def test_an_srgb_profile_changes_nothing() -> None:
    content = encoded(scene(), "PNG", icc_profile=SRGB)
    assert read_header(content).icc == "srgb"
    np.testing.assert_array_equal(seen(content), scene())


def test_a_linear_srgb_profile_is_not_taken_for_srgb() -> None:
    linear = profile(REC709, 1.0, "Linear sRGB")
    content = encoded(np.full((8, 8, 3), 55, np.uint8), "PNG", icc_profile=linear)
    assert read_header(content).icc == "converted"
    assert np.abs(seen(content)[0, 0].astype(int) - 128).max() <= 2


@pytest.mark.parametrize("icc", [b"nonsense", ADOBE_RGB[:200], b"\0" * 128], ids=["text", "cut", "zeros"])
def test_a_broken_profile_is_ignored_and_said_so(icc: bytes) -> None:
    content = encoded(scene(), "PNG", icc_profile=icc)
    assert read_header(content).icc == "broken"
    np.testing.assert_array_equal(seen(content), scene())


def test_a_profile_of_another_colour_model_is_broken() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert read_header(encoded(scene(), "PNG", icc_profile=lab)).icc == "broken"


def test_alpha_with_a_profile_keeps_white_white() -> None:
    pixels = np.dstack([scene(), np.zeros(scene().shape[:2], np.uint8)])
    shown = seen(encoded(pixels, "PNG", icc_profile=ADOBE_RGB))
    assert (shown == 255).all()


# Animations and containers


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_shows_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100, **options)
    assert read_header(content).frames == 3
    assert tuple(seen(content)[10, 10]) == RED


def test_a_multi_picture_object_shows_its_first_picture() -> None:
    first, second = Image.fromarray(scene()), Image.new("RGB", (128, 96), GREEN)
    content = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert (read_header(content).format, read_header(content).frames) == ("MPO", 2)
    assert np.abs(seen(content).astype(int) - scene()).mean() < 4


# Thumbnails


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(900, 700), (3000, 40), (33, 1500)])
def test_a_thumbnail_is_the_shrunk_picture(form: str, size: tuple[int, int]) -> None:
    content = encoded(scene(size[1], size[0]), form, quality=95)
    header = read_header(content)
    small = decode_thumbnail(content, header)
    expected = images.shrink(decode(content, header), images.THUMBNAIL_SIDE)
    assert max(small.shape[:2]) == images.THUMBNAIL_SIDE
    assert small.shape == expected.shape
    assert np.abs(small.astype(int) - expected).mean() < 4


def test_a_thumbnail_never_enlarges() -> None:
    content = encoded(scene(20, 30), "JPEG")
    assert decode_thumbnail(content, read_header(content)).shape == (20, 30, 3)


# Hostile bytes


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header declares a giant."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    png += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = zlib.compress(bytes(1000))
    png += struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    return png + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def test_a_bomb_is_refused_before_anything_is_allocated() -> None:
    script = (
        "import resource, sys\n"
        "from million_ird.images.decode import read_header, decode\n"
        "from million_ird.errors import ReadError\n"
        "content = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    decode(content, read_header(content))\n"
        "except ReadError as error:\n    print(error.failure_class)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], input=bomb(60_000, 60_000), capture_output=True, check=True)
    said, grown = ran.stdout.split()
    assert said == b"too_large"
    assert int(grown) < 20_000, "kilobytes"


def test_the_pixel_limit_is_exact() -> None:
    content = encoded(scene(40, 50), "PNG")
    assert read_header(content, max_pixels=2000).pixels == 2000
    assert failure_class(content, max_pixels=1999) == "too_large"


@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        b"This is a letter, not a picture.\n" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg' width='900' height='900'><rect/></svg>",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n" + bytes(2000),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 900 900\n%%EndComments\nshowpage\n",
        b"<!doctype html><title>404</title>" + b" " * 2000,
        b"PK\x03\x04" + bytes(500),
    ],
    ids=["nul", "text", "svg", "pdf", "eps", "html", "zip"],
)
def test_what_is_no_picture_is_told_so_whatever_its_name_says(content: bytes) -> None:
    assert failure_class(content) == "not_an_image"


def test_no_bytes_are_empty() -> None:
    assert failure_class(b"") == "empty"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM"])
def test_a_signature_alone_fails(content: bytes) -> None:
    assert failure_class(content) in {"not_an_image", "truncated", "undecodable"}


def test_float_pictures_are_unsupported() -> None:
    assert failure_class(encoded(Image.new("F", (8, 8)), "TIFF")) == "unsupported"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_truncated_picture_fails(form: str, share: float) -> None:
    content = encoded(scene(), form)
    found = failure_class(content[: int(len(content) * share)])
    assert found in {"truncated", "undecodable", "not_an_image"}


def test_a_truncated_sixteen_bit_picture_fails() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    assert failure_class(deep(levels)[:20_000]) == "truncated"


@settings(max_examples=150)
@given(
    form=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]),
    edits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
    share=st.floats(0.05, 1),
)
def test_nothing_but_a_read_error_escapes_from_damaged_bytes(
    form: str, edits: list[tuple[float, int]], share: float
) -> None:
    content = bytearray(encoded(scene(48, 64), form))
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


def test_no_hostile_file_lets_anything_but_a_read_error_out(
    shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
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
            assert max(decode_thumbnail(content, header).shape[:2]) <= images.THUMBNAIL_SIDE
            decoded += 1
        except ReadError:
            pass
    capfd.readouterr()  # the C libraries' own complaints
    assert decoded > 300


# Encoding


@pytest.mark.parametrize("encode", [images.encode_png, images.encode_webp])
def test_patches_are_encoded_without_loss_and_without_metadata(encode: object) -> None:
    assert callable(encode)
    noise = np.random.default_rng(0).integers(0, 256, (65, 33, 3)).astype(np.uint8)
    content = encode(noise)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), noise)
    assert not Image.open(io.BytesIO(content)).getexif()
    assert encode(noise) == content


def test_read_errors_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(ReadError("truncated", "half of it")))
    assert (error.failure_class, error.detail) == ("truncated", "half of it")
