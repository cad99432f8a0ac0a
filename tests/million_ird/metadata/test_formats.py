"""The rarer formats: what each keeps besides the pixels, and what it refuses."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.decode import decode
from million_ird.images.header import read_header
from million_ird.metadata.strip import list_private, strip_metadata
from tests.million_ird.metadata.file_parts import SECRET, box, exif, saved
from tests.million_ird.metadata.secret_files import SECRET_FILES


def test_gif_loops_transparency_and_delays_stay() -> None:
    encoded = SECRET_FILES["gif"]().encoded
    with Image.open(io.BytesIO(strip_metadata(encoded, "GIF"))) as image:
        assert (image.info["loop"], image.info["duration"]) == (3, 80)
        assert not {"comment"} & set(image.info)


def test_gif_bytes_between_blocks_are_refused() -> None:
    encoded = saved("GIF")
    with pytest.raises(ReadError, match="not_strippable: bytes between the blocks"):
        strip_metadata(encoded[:-1] + SECRET + b";", "GIF")


def test_jp2_codestream_is_the_same_bytes() -> None:
    stripped = strip_metadata(SECRET_FILES["jp2"]().encoded, "JPEG2000")
    bare = strip_metadata(saved("JPEG2000", no_jp2=True), "JPEG2000")
    assert stripped.endswith(bare)
    assert struct.unpack(">I", stripped[-len(bare) - 8 : -len(bare) - 4])[0] in {0, len(bare) + 8}


def test_tga_keeps_the_meaning_of_its_alpha() -> None:
    encoded = bytearray(SECRET_FILES["tga"]().encoded)
    pixels = {}
    for meaning in (0, 3):  # no alpha, useful alpha
        encoded[-26 - 1] = meaning
        stripped = strip_metadata(bytes(encoded), "TGA")
        with Image.open(io.BytesIO(bytes(encoded))) as before, Image.open(io.BytesIO(stripped)) as after:
            pixels[meaning] = after.tobytes()
            assert before.tobytes() == after.tobytes()
    assert SECRET not in stripped


def test_psd_keeps_its_pixels_and_loses_its_layers() -> None:
    secret_file = SECRET_FILES["psd"]()
    stripped = strip_metadata(secret_file.encoded, "PSD")
    header = read_header(stripped)
    assert (header.frames, header.icc) == (0, "srgb")
    assert stripped.index(b"8BIM") == 34
    assert stripped.count(b"8BIM") == 1


def test_bmp_with_a_linked_profile_says_srgb() -> None:
    assert strip_metadata(SECRET_FILES["linked_bmp"]().encoded, "BMP")[70:74] == b"BGRs"


@pytest.mark.parametrize("mode", ["1", "P", "RGB"])
def test_bmp_palettes_and_pixels_are_the_same_bytes(mode: str) -> None:
    encoded = saved("BMP", mode=mode)
    assert strip_metadata(encoded + SECRET, "BMP") == encoded


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_tga_pixels_are_the_same_bytes(mode: str, packed: bool) -> None:
    encoded = saved("TGA", mode=mode, compression="tga_rle" if packed else None)
    assert strip_metadata(encoded[:-26] + SECRET, "TGA") == encoded


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_pcx_codes_are_the_same_bytes(mode: str) -> None:
    encoded = saved("PCX", mode=mode)
    assert list_private(encoded, "PCX") == []


def test_qoi_end_mark_is_found_among_codes_that_look_alike() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(black).save(buffer, "QOI")
    encoded = buffer.getvalue()
    assert strip_metadata(encoded + SECRET, "QOI") == encoded
    with pytest.raises(ReadError, match="not_strippable: a QOI that is cut off"):
        strip_metadata(encoded[:14], "QOI")


@pytest.mark.parametrize("depth", [1, 2])
def test_sgi_rows_stay(depth: int) -> None:
    encoded = saved("SGI", bpc=depth)
    assert strip_metadata(encoded + SECRET, "SGI") == encoded


@pytest.mark.parametrize(
    ("encoded", "format", "detail"),
    [
        (b"P3\n1 1\n255\n1 2 3 Jane", "PPM", "words in the raster"),
        (b"P6\n1 x\n255\nabc", "PPM", "broken header"),
        (b"\x0a\5\1\x08" + bytes(100), "PCX", "does not start"),
        (b"\x01\xda\x01\x01\0\3" + struct.pack(">HHH", 4, 4, 3) + bytes(510), "SGI", "cut off"),
        (b"8BPS\0\1" + bytes(20) + struct.pack(">I", 2**31), "PSD", "cut off"),
        (b"BM" + bytes(12) + struct.pack("<I", 99) + bytes(60), "BMP", "header of 99"),
        (b"\xff\x4f\xff\x51" + struct.pack(">H", 65535), "JPEG2000", "cut off"),
    ],
)
def test_broken_files_are_refused(encoded: bytes, format: str, detail: str) -> None:
    with pytest.raises(ReadError, match=f"not_strippable: .*{detail}"):
        strip_metadata(encoded, format)


@pytest.mark.parametrize("format", ["HEIF", "JXL"])
def test_what_the_extra_reads_can_be_stripped(format: str) -> None:
    pytest.importorskip("pillow_jxl")
    pytest.importorskip("pillow_heif").register_heif_opener()
    encoded = saved(
        format, size=(64, 48), exif=exif(1).tobytes(), **({"use_container": True} if format == "JXL" else {})
    )
    if format == "JXL":
        encoded += box(b"xml ", SECRET)
    assert SECRET in encoded
    assert "EXIF" in list_private(encoded, format)
    stripped = strip_metadata(encoded, format)
    assert SECRET not in stripped
    np.testing.assert_array_equal(decode(stripped, read_header(stripped)), decode(encoded, read_header(encoded)))
