"""TIFF: values are erased and not just unlinked, data do not move."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from million_ird.errors import ReadError
from million_ird.metadata.strip import list_private, strip_metadata
from tests.million_ird.metadata.file_parts import SECRET, saved
from tests.million_ird.metadata.secret_files import big_endian_tiff, big_tiff, tiff


def directories(encoded: bytes) -> list[dict[int, object]]:
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        return [{tag.code: tag.value for tag in page.tags} for page in file.pages]


@pytest.mark.parametrize("secret_file", [tiff, big_tiff, big_endian_tiff])
def test_another_reader_finds_the_same_image_and_no_private_tag(secret_file: object) -> None:
    encoded = secret_file().encoded  # type: ignore[operator]
    stripped = strip_metadata(encoded, "TIFF")
    private = {270, 271, 305, 306, 315, 330, 700, 33432, 33723, 34665, 65000}
    for before, after in zip(directories(encoded), directories(stripped), strict=True):
        assert after == {code: value for code, value in before.items() if code not in private}
    if secret_file is tiff:
        return  # LZW, which tifffile does not decode by itself
    with tifffile.TiffFile(io.BytesIO(encoded)) as original, tifffile.TiffFile(io.BytesIO(stripped)) as result:
        for before, after in zip(original.pages, result.pages, strict=True):
            assert np.array_equal(before.asarray(), after.asarray())


def test_exif_and_gps_directories_become_zeros() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[34665] = {37510: SECRET}
    tags[34853] = {1: "N", 29: SECRET.decode()}
    encoded = saved("TIFF", tiffinfo=tags)
    assert encoded.count(SECRET) == 2
    assert list_private(encoded, "TIFF") == ["EXIF", "EXIF (GPS)"]
    stripped = strip_metadata(encoded, "TIFF")
    with Image.open(io.BytesIO(stripped)) as image:
        assert set(image.getexif()) & {34665, 34853} == set()
    assert SECRET not in stripped


def test_a_directory_that_an_editor_left_unused_becomes_zeros() -> None:
    encoded = saved("TIFF")
    (offset,) = struct.unpack("<I", encoded[4:8])
    directory = encoded[offset : offset + 2 + 12 * struct.unpack("<H", encoded[offset : offset + 2])[0] + 4]
    moved = len(encoded) + len(SECRET)
    edited = encoded[:4] + struct.pack("<I", moved) + encoded[8:] + SECRET + directory
    stripped = strip_metadata(edited, "TIFF")
    assert list_private(edited, "TIFF") == ["bytes that nothing points at"]
    assert stripped[offset : offset + 8] == bytes(8)
    assert stripped[-len(directory) :] == directory
    assert SECRET not in stripped


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_private_value_that_shares_bytes_with_the_image_is_refused(order: str) -> None:
    rows = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 4, 1, 8), (262, 4, 1, 1), (273, 4, 1, 8), (279, 4, 1, 16)]
    rows.append((315, 2, 10, 12))  # the author is in the middle of the strip
    mark = b"II" if order == "<" else b"MM"
    table = b"".join(struct.pack(order + "HHII", *row) for row in rows)
    encoded = mark + struct.pack(order + "HI", 42, 24) + bytes(range(16))
    encoded += struct.pack(order + "H", len(rows)) + table + bytes(4)
    with pytest.raises(ReadError, match="not_strippable: a private value"):
        strip_metadata(encoded, "TIFF")


@pytest.mark.parametrize("compression", [6, 34712, 50002])
def test_a_compression_that_may_carry_metadata_is_refused(compression: int) -> None:
    encoded = bytearray(saved("TIFF"))
    entry = encoded.index(struct.pack("<HHI", 259, 3, 1))
    struct.pack_into("<H", encoded, entry + 8, compression)
    with pytest.raises(ReadError, match=f"not_strippable: TIFF compression {compression}"):
        strip_metadata(bytes(encoded), "TIFF")


def test_a_chain_of_overlapping_directories_is_refused() -> None:
    count = 20_000
    encoded = b"II*\0" + struct.pack("<I", 8)
    # Every directory claims a thousand entries and starts two bytes after the one before.
    encoded += struct.pack("<H", 1000) * count
    with pytest.raises(ReadError, match="not_strippable"):
        strip_metadata(encoded, "TIFF")
