"""Headers: read without decoding, with limits that are checked before anything is allocated."""

import io
import pickle
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.header import read_header
from tests.million_ird.images.encoded_images import (
    corners,
    decode_bytes,
    decompression_bomb,
    encode_image,
    exif_orientation,
    failure_class,
    wave_image,
    with_chunk,
)


def test_an_orientation_after_the_pixels_of_a_png_is_read() -> None:
    content = with_chunk(
        encode_image(corners(), "PNG"), b"eXIf", exif_orientation(6).tobytes().removeprefix(b"Exif\0\0"), last=True
    )
    assert (read_header(content).width, read_header(content).height) == (40, 60)
    assert decode_bytes(content).shape == (60, 40, 3)


def test_a_png_header_is_read_without_decoding_the_pixels() -> None:
    content = encode_image(wave_image(), "PNG")
    assert read_header(content[: len(content) // 2]).width == 128


def test_the_first_table_is_the_one_that_luma_names() -> None:
    content = encode_image(wave_image(), "JPEG", quality=60)
    renamed, at = bytearray(content), 2
    while renamed[at + 1] != 0xDA:  # tables 0 and 1 change their numbers, in their own segments and in the frame's
        length = int.from_bytes(renamed[at + 2 : at + 4], "big")
        if renamed[at + 1] == 0xDB:
            for table in range(at + 4, at + 2 + length, 65):
                renamed[table] ^= 1
        if renamed[at + 1] == 0xC0:
            for component in range(renamed[at + 9]):
                renamed[at + 12 + 3 * component] ^= 1
        at += 2 + length
    assert renamed != content
    assert read_header(bytes(renamed)).quantisation == read_header(content).quantisation


def test_an_image_with_a_broken_exif_block_is_upright() -> None:
    content = encode_image(corners(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert read_header(content).orientation == 1


def test_a_bomb_is_refused_before_anything_is_allocated() -> None:
    script = (
        "import resource, sys\n"
        "from million_ird.images.decode import decode\n"
        "from million_ird.images.header import read_header\n"
        "from million_ird.errors import ReadError\n"
        "content = sys.stdin.buffer.read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    decode(content, read_header(content))\n"
        "except ReadError as error:\n    print(error.failure_class)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], input=decompression_bomb(60_000, 60_000), capture_output=True, check=True
    )
    failure, grown = process.stdout.split()
    assert failure == b"too_large"
    assert int(grown) < 20_000, "kilobytes"


def test_the_pixel_limit_is_exact() -> None:
    content = encode_image(wave_image(40, 50), "PNG")
    assert read_header(content, max_pixels=2000).pixels == 2000
    assert failure_class(content, max_pixels=1999) == "too_large"


@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        b"This is a letter, not an image.\n" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg' width='900' height='900'><rect/></svg>",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n" + bytes(2000),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 900 900\n%%EndComments\nshowpage\n",
        b"<!doctype html><title>404</title>" + b" " * 2000,
        b"PK\x03\x04" + bytes(500),
    ],
    ids=["nul", "text", "svg", "pdf", "eps", "html", "zip"],
)
def test_other_files_are_not_an_image(content: bytes) -> None:
    assert failure_class(content) == "not_an_image"


def test_zero_bytes_are_empty() -> None:
    assert failure_class(b"") == "empty"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM"])
def test_a_signature_alone_fails(content: bytes) -> None:
    assert failure_class(content) in {"not_an_image", "truncated", "undecodable"}


def test_read_errors_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(ReadError("truncated", "half of it")))
    assert (error.failure_class, error.detail) == ("truncated", "half of it")


def sides_in(name: str) -> tuple[bytes, tuple[int, int], str]:
    """Return an image of 40×30 pixels, where its file says so, and the number format there."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, name)
    encoded = buffer.getvalue()
    if name == "TIFF":
        (first,) = struct.unpack_from("<I", encoded, 4)
        fields = [first + 2 + 12 * number for number in range(struct.unpack_from("<H", encoded, first)[0])]
        at = {struct.unpack_from("<H", encoded, field)[0]: field + 8 for field in fields}
        return encoded, (at[256], at[257]), "<I"
    if name == "PPM":
        return encoded, (encoded.index(b"40"), encoded.index(b"30")), "text"
    if name == "JPEG":
        frame = encoded.index(b"\xff\xc0")
        return encoded, (frame + 7, frame + 5), ">H"
    places = {"BMP": (18, 22, "<i"), "PNG": (16, 20, ">I"), "TGA": (12, 14, "<H")}
    width, height, number = places[name]
    return encoded, (width, height), number


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("name", ["TIFF", "PPM", "JPEG", "BMP", "PNG", "TGA"])
def test_an_image_without_pixels_is_refused_by_its_header(name: str, side: int) -> None:
    encoded, places, number = sides_in(name)
    none = bytearray(encoded)
    if number == "text":
        none[places[side] : places[side] + 2] = b"00"
    else:
        struct.pack_into(number, none, places[side], 0)
    if name == "PNG":  # the header's checksum, so that only its size is wrong
        none[29:33] = struct.pack(">I", zlib.crc32(none[12:29]))
    assert failure_class(bytes(none)) in ("undecodable", "not_an_image", "unsupported", "truncated")
