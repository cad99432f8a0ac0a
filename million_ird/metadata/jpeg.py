"""JPEG and MPO: the segments between SOI and EOI.

Kept unchanged: tables, frames, scans with all entropy-coded bytes, restart intervals, ICC profiles. JFIF and Adobe
segments are shortened to the fields that decoders read. Everything else is removed: other APPn, comments, bytes between
segments, and all bytes after the end of the image (other images of an MPO, the video of a motion photo, an archive).

A segment after the first scan is overwritten with zeros instead: in a damaged stream it is where a decoder stops, and
without it the decoder would read further.
"""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from million_ird.metadata import ifd
from million_ird.metadata.edits import Edit, not_strippable, remove_bytes, replace_bytes, zero_bytes

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SOI, _EOI, _SOS, _COM, _TEM, _DNL = 0xD8, 0xD9, 0xDA, 0xFE, 0x01, 0xDC
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_RESTARTS = range(0xD0, 0xD8)
_TABLES = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD} - {0xC8}
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_NAMES = {
    b"http://ns.adobe.com/x": "XMP",
    b"MPF\0": "index of further pictures",
    b"JP": "provenance (JUMBF)",
    b"JFXX\0": "thumbnail",
}


class _JpegSegment(NamedTuple):
    marker: int
    start: int
    stop: int
    scanned: bool
    """Whether a scan came before."""


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a JPEG.

    Raises:
        ReadError: `not_strippable` for a stream without an end, with an unknown marker, or with bytes between scans
            that belong to no segment.
    """
    segments = list(_segments(encoded))
    header = [s for s in segments if s.marker in range(_APP0, 0xF0) and not s.scanned]
    exif, xmp = _exif_and_xmp(encoded, header)
    orientation = ifd.find_orientation(exif, xmp)
    source = next((s for s in header if _is_exif(encoded, s)), None)
    source = source or next((s for s in reversed(header) if encoded.startswith(_XMP, s.start + 4)), None)
    edits = []
    for segment in segments:
        if segment is source and orientation != 1:
            block = b"\xff\xe1\x00\x22Exif\0\0" + ifd.minimal_exif(orientation)
            edits += replace_bytes(encoded, segment.start, segment.stop, block, _name(encoded, segment, exif))
        elif segment.marker in range(_APP0, 0xF0) or segment.marker == _COM:
            edits += _application_edits(encoded, segment, _name(encoded, segment, exif))
    return edits + _stray_edits(encoded, segments) + _trailing_edits(encoded, segments[-1].stop)


def find_private_in_place(stream: bytes) -> list[Edit]:
    """Return such edits for a JPEG stream inside another file, where no byte may move: private bytes become zeros."""
    segments = list(_segments(stream))
    edits = []
    for segment in segments:
        if segment.marker in range(_APP0, 0xF0) or segment.marker == _COM:
            edits += _application_edits(stream, segment._replace(scanned=True), _name(stream, segment, None))
    if _stray_edits(stream, segments):
        raise not_strippable("bytes between the segments of a JPEG strip")
    return edits + zero_bytes(stream, segments[-1].stop, len(stream), "trailing bytes")


def _segments(encoded: bytes) -> Iterator[_JpegSegment]:
    """Yield all segments from SOI to EOI; the entropy-coded bytes of a scan belong to its SOS."""
    if not encoded.startswith(b"\xff\xd8"):
        raise not_strippable("does not start as a JPEG")
    yield _JpegSegment(_SOI, 0, 2, False)
    position, scanned, ends = 2, False, None
    while match := _MARKER.search(encoded, position):
        start, marker = match.start(), encoded[match.start() + 1]
        position = start + 2
        if marker == _EOI:
            yield _JpegSegment(marker, start, position, scanned)
            return
        if marker not in {*_RESTARTS, _TEM}:
            position += _segment_length(encoded, marker, position)
        if marker == _SOS:
            ends = _scan_ends(encoded) if ends is None else ends
            following = ends[np.searchsorted(ends, position) :][:1]
            position = int(following[0]) if len(following) else len(encoded)
        yield _JpegSegment(marker, start, position, scanned)
        scanned |= marker == _SOS
    raise not_strippable("a JPEG without an end")


def _scan_ends(encoded: bytes) -> NDArray[np.intp]:
    """Return the offsets of every 0xFF that ends entropy-coded bytes: neither stuffed, nor padding, nor a restart."""
    data = np.frombuffer(encoded, np.uint8)
    candidates = np.flatnonzero(data[:-1] == 0xFF)
    after = data[candidates + 1]
    ends: NDArray[np.intp] = candidates[(after != 0) & (after != 0xFF) & (after & 0xF8 != 0xD0)]
    return ends


def _segment_length(encoded: bytes, marker: int, start: int) -> int:
    if marker not in _TABLES and marker != _COM and marker not in range(_APP0, 0xF0):
        raise not_strippable(f"unknown JPEG marker 0x{marker:02X}")
    length = int.from_bytes(encoded[start : start + 2], "big")
    if length < 2 or start + length > len(encoded) or (marker == _DNL and length != 4):
        raise not_strippable(f"JPEG segment 0x{marker:02X} of {length} bytes")
    return length


def _is_exif(encoded: bytes, segment: _JpegSegment) -> bool:
    return segment.marker == _APP1 and encoded.startswith(b"Exif\0\0", segment.start + 4)


def _exif_and_xmp(encoded: bytes, header: list[_JpegSegment]) -> tuple[bytes | None, bytes | None]:
    """Return the EXIF block and the XMP packet as Pillow reads them: all EXIF segments joined, the last XMP segment."""
    blocks = [encoded[s.start + 10 : s.stop] for s in header if _is_exif(encoded, s)]
    packets = [s for s in header if s.marker == _APP1 and encoded.startswith(_XMP, s.start + 4)]
    xmp = encoded[packets[-1].start + 4 + len(_XMP) : packets[-1].stop] if packets else None
    return (b"".join(blocks) if blocks else None), xmp


def _application_edits(encoded: bytes, segment: _JpegSegment, name: str) -> list[Edit]:
    """Return the edits for an APPn or COM segment: keep it, shorten it to what decoders read, or remove it."""
    start, stop = segment.start, segment.stop
    body = encoded[start + 4 : start + 18]
    kept = None
    if segment.marker == _APP0 and body.startswith(b"JFIF\0") and stop - start >= 18:
        kept = b"\xff\xe0\x00\x10" + body[:12] + b"\0\0"  # without a thumbnail
    elif segment.marker == _APP14 and body.startswith(b"Adobe") and stop - start >= 16:
        kept = b"\xff\xee\x00\x0e" + body[:12]
    elif segment.marker == _APP2 and body.startswith(b"ICC_PROFILE\0"):
        return []
    if segment.scanned:
        return zero_bytes(encoded, start + 4, stop, name) if kept is None else []
    return remove_bytes(start, stop, name) if kept is None else replace_bytes(encoded, start, stop, kept, "thumbnail")


def _name(encoded: bytes, segment: _JpegSegment, exif: bytes | None) -> str:
    if segment.marker == _COM:
        return "comment"
    if _is_exif(encoded, segment):
        return ifd.read_exif(exif or encoded[segment.start + 10 : segment.stop]).name
    body = encoded[segment.start + 4 : segment.stop]
    if body.startswith(b"Photoshop 3.0\0"):
        return "IPTC" if b"8BIM\x04\x04" in body else "Photoshop resources"
    return next((name for mark, name in _NAMES.items() if body.startswith(mark)), f"APP{segment.marker & 15}")


def _stray_edits(encoded: bytes, segments: list[_JpegSegment]) -> list[Edit]:
    """Return the edits for bytes between segments that are not padding; decoders skip them."""
    edits = []
    for before, after in itertools.pairwise(segments):
        if encoded[before.stop : after.start].strip(b"\xff"):
            if after.scanned:
                raise not_strippable("bytes between the scans of a JPEG")
            edits += remove_bytes(before.stop, after.start, "bytes between segments")
    return edits


def _trailing_edits(encoded: bytes, end: int) -> list[Edit]:
    """Return the edit for all bytes after EOI."""
    head = encoded[end : end + 4096]
    if head.lstrip(b"\0").startswith(b"\xff\xd8\xff"):
        return remove_bytes(end, len(encoded), "further pictures")
    return remove_bytes(end, len(encoded), "video" if b"ftyp" in head[:64] else "trailing bytes")
