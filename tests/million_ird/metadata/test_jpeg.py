"""JPEG: what decoders read stays the same bytes."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.decode import decode
from million_ird.images.header import read_header
from million_ird.metadata import jpeg
from million_ird.metadata.strip import list_private, strip_metadata
from tests.million_ird.metadata.file_parts import SECRET, exif, profile, saved, segment

CODED = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD}


def coded_segments(encoded: bytes) -> list[bytes]:
    """Return tables, frames and scans with their entropy-coded bytes, as they are in the file."""
    return [encoded[s.start : s.stop] for s in jpeg._segments(encoded) if s.marker in CODED]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_blocks": 2},
        {"progressive": True, "restart_marker_rows": 1},
        {"subsampling": 0, "optimize": True},
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_tables_and_entropy_coded_bytes_are_the_same(options: dict[str, object], mode: str) -> None:
    plain = saved("JPEG", mode=mode, size=(150, 90), icc_profile=profile(), dpi=(240, 240), **options)
    encoded = saved(
        "JPEG",
        mode=mode,
        size=(150, 90),
        icc_profile=profile(),
        dpi=(240, 240),
        exif=exif(1),
        comment=SECRET,
        **options,
    )
    assert coded_segments(strip_metadata(encoded, "JPEG")) == coded_segments(encoded)
    assert strip_metadata(encoded, "JPEG") == plain


def test_a_segment_between_scans_becomes_zeros_so_that_damaged_streams_decode_as_before() -> None:
    encoded = saved("JPEG", size=(90, 60), progressive=True)
    second = next(s.start for s in jpeg._segments(encoded) if s.scanned and s.marker == 0xDA)
    hidden = encoded[:second] + segment(0xFE, SECRET) + encoded[second:]
    stripped = strip_metadata(hidden, "JPEG")
    assert stripped == hidden.replace(SECRET, bytes(len(SECRET)))
    assert strip_metadata(stripped, "JPEG") is stripped


def test_density_and_adobe_marker_stay_without_the_thumbnail() -> None:
    encoded = saved("JPEG", mode="CMYK", dpi=(240, 240))
    assert b"Adobe" in encoded
    thumbnail = segment(0xE0, b"JFIF\0\1\2\1\0\xf0\0\xf0\2\1" + b"rgbRGB")
    stripped = strip_metadata(b"\xff\xd8" + thumbnail + encoded[2:], "JPEG")
    assert stripped == b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\2\1\0\xf0\0\xf0\0\0") + encoded[2:]


def test_an_mpo_becomes_the_jpeg_of_its_first_image() -> None:
    buffer = io.BytesIO()
    images = [Image.new("RGB", (32, 24), colour) for colour in ("red", "blue")]
    images[0].save(buffer, "MPO", save_all=True, append_images=images[1:])
    before = read_header(buffer.getvalue())
    stripped = strip_metadata(buffer.getvalue(), before.format)
    after = read_header(stripped)
    assert (before.format, before.frames, after.format, after.frames) == ("MPO", 2, "JPEG", 1)
    assert np.array_equal(decode(buffer.getvalue(), before), decode(stripped, after))


def test_exif_in_two_segments_is_read_as_one() -> None:
    block = exif().tobytes()
    half = len(block) // 2
    pieces = segment(0xE1, block[:half]) + segment(0xE1, b"Exif\0\0" + block[half:])
    plain = saved("JPEG")
    encoded = plain[:20] + pieces + plain[20:]
    stripped = strip_metadata(encoded, "JPEG")
    assert list_private(encoded, "JPEG") == ["EXIF (GPS)"]
    assert read_header(stripped).orientation == read_header(encoded).orientation == 6


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (lambda b: b[:-2], "without an end"),
        (lambda b: b[:2] + b"\xff\xf7" + b[2:], "unknown JPEG marker"),
        (lambda b: b[:20] + b"\xff\xe5" + struct.pack(">H", 65535) + b[20:200], "segment 0xE5"),
        (lambda b: b[1:], "does not start"),
    ],
)
def test_a_broken_stream_is_refused(damage: object, detail: str) -> None:
    with pytest.raises(ReadError, match=f"not_strippable: .*{detail}"):
        strip_metadata(damage(saved("JPEG")), "JPEG")  # type: ignore[operator]


def test_bytes_between_segments_of_the_header_are_removed() -> None:
    encoded = saved("JPEG")
    stray = encoded[:20] + SECRET + encoded[20:]
    assert list_private(stray, "JPEG") == ["bytes between segments"]
    assert strip_metadata(stray, "JPEG") == encoded
