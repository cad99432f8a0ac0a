"""EXIF blocks: read as Pillow reads them, in bounded time."""

import struct

import pytest
from PIL import Image

from million_ird.metadata import ifd
from tests.million_ird.metadata.file_parts import exif, xmp


@pytest.mark.parametrize("value", range(1, 9))
def test_the_minimal_block_is_read_by_pillow(value: int) -> None:
    block = Image.Exif()
    block.load(ifd.minimal_exif(value))
    assert dict(block) == {0x0112: value}
    assert len(ifd.minimal_exif(value)) == 26


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"])
def test_orientation_and_gps_are_found(prefix: bytes) -> None:
    payload = prefix + exif(5).tobytes().removeprefix(b"Exif\0\0")
    assert ifd.read_exif(payload) == ifd.ExifSummary(5, True)
    assert ifd.read_exif(payload).name == "EXIF (GPS)"


@pytest.mark.parametrize(("block", "packet", "expected"), [(6, 3, 6), (None, 3, 3), (None, 9, 1), (None, None, 1)])
def test_the_exif_block_takes_precedence_over_the_xmp_packet(
    block: int | None, packet: int | None, expected: int
) -> None:
    assert ifd.find_orientation(ifd.minimal_exif(block) if block else None, xmp(packet) if packet else None) == expected


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_invalid_orientation_is_upright(value: int) -> None:
    assert ifd.find_orientation(ifd.minimal_exif(value), xmp(6)) == 1  # the block has one, so the packet is not read


@pytest.mark.timeout(30)  # reading all of them would take minutes
def test_tags_that_all_point_at_the_same_megabytes_are_not_read() -> None:
    count = 65_535
    row = struct.pack(">HHII", 37500, 7, 8_000_000, 8)
    block = b"MM\0*" + struct.pack(">IH", 8, count) + row * count + bytes(8_000_000)
    assert ifd.read_exif(block) == ifd.ExifSummary(None, False)


def test_a_block_that_is_cut_off_is_read_as_far_as_it_goes() -> None:
    assert ifd.read_exif(ifd.minimal_exif(6)[:22]).orientation == 6
    assert ifd.read_exif(b"MM\0*").orientation is None
