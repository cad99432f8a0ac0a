"""Tags of TIFF files and Exif blocks that strangers made."""

import struct

from dynet.inference.tiff_directories import EXIF, ExifDescription, TagValue, read_exif_description


def test_values_that_overlap_take_no_more_memory_than_the_block() -> None:
    count, shared = 1000, 2**16
    start = 8 + 2 + 12 + 4
    end = start + 2 + 12 * count
    main = struct.pack("<HHHII", 1, EXIF, 4, 1, start) + bytes(4)
    own = b"".join(struct.pack("<HHII", 1 + number, 7, shared, end) for number in range(count))
    block = b"II*\0" + struct.pack("<I", 8) + main + struct.pack("<H", count) + own + bytes(shared)
    read = read_exif_description(block)
    assert sum(len(value.data) for value in read.exif.values()) <= len(block)
    assert read.exif[1].data == bytes(shared)


def test_a_block_is_read_as_it_was_written() -> None:
    main = {0x010F: TagValue(2, b"A camera\0"), 0x0132: TagValue(2, b"2024:01:02 03:04:05\0")}
    description = ExifDescription(main=main, exif={0x9286: TagValue(7, bytes(range(256)))})
    assert read_exif_description(description.exif_block()) == description
