"""Damage in an image file that its decoder does not report, and the failure class of what it does report.

- `truncated`: the file ends before its container says that it does
- `damaged`: the container is complete, but the coded pixels are wrong, by a checksum, a length, a decoder's error or
  what a decoder only warns of

Harmless, so that the image is read: a JPEG without its end marker or with bytes behind it, a PNG without IEND, a wrong
checksum of an ancillary chunk or of IEND, a zlib stream without its last checksum, bytes behind the pixels, a GIF
without a trailer. WebP, AVIF, GIF, LZW, PackBits and pixels without compression have no checksum: a changed byte in
them that decodes to something is not noticed.
"""

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.errors import ReadError
from million_ird.images import jpeg_damage, tiff_file
from million_ird.images.png_file import iter_chunks

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: first column and row, and steps."""
_PIECE = 1 << 20
_DEFLATE, _JPEG = frozenset({8, 32946}), 7


def require_whole(encoded: bytes, format: str) -> NDArray[np.uint8] | None:
    """Make sure that the coded pixels of a file are what its encoder wrote, as far as the format can tell.

    Args:
        encoded: the whole file.
        format: Pillow's name.

    Returns:
        Pixels that were decoded for this and need not be decoded again: (H, W, 3) uint8 RGB as stored; else None.

    Raises:
        ReadError: `damaged` or, where the file ends early, `truncated`.
    """
    check = _CHECKS.get(format)
    return None if check is None else check(encoded)


@contextlib.contextmanager
def naming_damage(encoded: bytes, format: str | None) -> Iterator[None]:
    """Change the class of decoders' errors: in a file whose container is complete, broken pixels are `damaged`.

    Raises:
        ReadError: what the body raises, as `damaged` instead of `truncated` or `undecodable`.
    """
    try:
        yield
    except ReadError as error:
        ends = _ENDS.get(format or "")
        if error.failure_class not in {"truncated", "undecodable"} or ends is None or not _holds(ends, encoded):
            raise
        raise ReadError("damaged", error.detail) from error


def require_container(encoded: bytes, format: str | None) -> None:
    """Make sure that a WebP or AVIF is as long as it says; their decoders do not tell why they refuse a shorter one.

    Raises:
        ReadError: `truncated`.
    """
    if format in {"WEBP", "AVIF"} and not _holds(_ENDS[format], encoded):
        raise ReadError("truncated", f"{format} that ends before the length in its header")


def require_png_header(encoded: bytes) -> None:
    """Make sure that the critical chunks before the pixels of a PNG have right checksums.

    Raises:
        ReadError: `damaged`.
    """
    for kind, start, stop in iter_chunks(encoded):
        if kind == b"IDAT":
            return
        _check_crc(encoded, kind, start, stop)


def _require_png(encoded: bytes) -> None:
    inflater, length, expected = zlib.decompressobj(), 0, _png_size(encoded)
    for kind, start, stop in iter_chunks(encoded):
        _check_crc(encoded, kind, start, stop)
        if kind == b"IDAT":
            length += _inflated(inflater, encoded[start + 8 : stop - 4], expected - length + _PIECE)
    if _png_ends(encoded):
        _check_stream(inflater, length, expected, "the zlib stream of a PNG")


def _check_crc(encoded: bytes, kind: bytes, start: int, stop: int) -> None:
    """Compare the checksum of a critical chunk; IEND has nothing in it."""
    if kind[0] & 0x20 or kind == b"IEND":
        return
    if zlib.crc32(encoded[start + 4 : stop - 4]) != struct.unpack_from(">I", encoded, stop - 4)[0]:
        raise ReadError("damaged", f"wrong checksum of a PNG's chunk {kind.decode('latin-1')}")


def _inflated(inflater: Any, packed: bytes, at_most: int) -> int:
    """Return how many bytes these decompress to; what is beyond `at_most` is left out."""
    length = 0
    while packed and not inflater.eof and length < at_most:
        try:
            length += len(inflater.decompress(packed, _PIECE))
        except zlib.error as error:
            raise ReadError("damaged", f"zlib: {error}") from error
        packed = inflater.unconsumed_tail
    return length


def _check_stream(inflater: Any, length: int, expected: int, what: str) -> None:
    """Refuse a zlib stream that is short, or that goes on where it should have ended with its checksum."""
    if length < expected:
        raise ReadError("damaged", f"{what} decompresses to {length} of {expected} bytes")
    if length > expected and not inflater.eof:
        raise ReadError("damaged", f"{what} does not end after its {expected} bytes")


def _png_size(encoded: bytes) -> int:
    """Return the length of the filtered rows of all passes in bytes."""
    width, height, bits, kind, _, _, interlaced = struct.unpack_from(">2I5B", encoded, 16)
    per_pixel = bits * _CHANNELS.get(kind, 0)
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * per_pixel // 8))
    return total


def _png_ends(encoded: bytes) -> bool:
    return any(kind == b"IEND" for kind, _, _ in iter_chunks(encoded))


def _require_tiff(encoded: bytes) -> None:
    """Compare the lengths of strips and tiles with what they must hold; deflated ones also have a checksum."""
    colours = tiff_file.read_tiff_colours(encoded)
    packing = colours.one(tiff_file.COMPRESSION, 1)
    offsets, sizes, lengths = _tiff_parts(colours)
    for number, (offset, size, length) in enumerate(zip(offsets, sizes, lengths, strict=False)):
        if packing == 1:
            if offset + length > len(encoded):
                raise ReadError("truncated", f"a TIFF that ends before its strip {number} does")
            if 0 < size < length:
                raise ReadError("damaged", f"strip {number} of a TIFF has {size} of {length} bytes")
        elif offset + size > len(encoded):
            raise ReadError("truncated", f"a TIFF that ends before its strip {number} does")
        elif packing in _DEFLATE:
            inflater = zlib.decompressobj()
            found = _inflated(inflater, encoded[offset : offset + size], length + _PIECE)
            _check_stream(inflater, found, length, f"strip {number} of a TIFF")
        elif packing == _JPEG:
            tables = bytes(colours.tags.get(tiff_file.JPEG_TABLES, ()))
            jpeg_damage.require_whole_strip(tables, encoded[offset : offset + size])


def _tiff_parts(colours: tiff_file.TiffColours) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    """Return offset, stored length and needed length of each strip or tile; none where its length is not known."""
    separate = colours.one(tiff_file.PLANES, 1) == 2
    channels, planes = (1, colours.channels) if separate else (colours.channels, 1)
    bits = channels * colours.layout.bits
    if colours.layout.model == "ycbcr" and colours.one(tiff_file.COMPRESSION, 1) != _JPEG:
        return (), (), []  # its length follows from the subsampling
    if tiff_file.TILE_OFFSETS in colours.tags:
        width, height = colours.one(tiff_file.TILE_WIDTH, 0), colours.one(tiff_file.TILE_HEIGHT, 0)
        offsets, sizes = colours.tags[tiff_file.TILE_OFFSETS], colours.tags.get(tiff_file.TILE_SIZES, ())
        return offsets, sizes, [-(-width * bits // 8) * height] * len(offsets)
    rows = min(colours.one(tiff_file.ROWS_PER_STRIP, colours.height) or colours.height, colours.height)
    row = -(-colours.width * bits // 8)
    lengths = [row * min(rows, colours.height - top) for top in range(0, colours.height, rows)] * planes
    offsets = colours.tags.get(tiff_file.STRIP_OFFSETS, ())
    return offsets, colours.tags.get(tiff_file.STRIP_SIZES, (0,) * len(offsets)), lengths


def _tiff_ends(encoded: bytes) -> bool:
    colours = tiff_file.read_tiff_colours(encoded)
    offsets, sizes, lengths = _tiff_parts(colours)
    stored = lengths if colours.one(tiff_file.COMPRESSION, 1) == 1 else sizes
    return all(offset + size <= len(encoded) for offset, size in zip(offsets, stored, strict=False))


def _webp_ends(encoded: bytes) -> bool:
    (size,) = struct.unpack_from("<I", encoded, 4)
    return bool(size + 8 <= len(encoded))


def _boxes_end(encoded: bytes) -> bool:
    """Return whether the boxes of an ISO base media file lie inside it; the last may go on to the end."""
    start = 0
    while start + 8 <= len(encoded):
        (size,) = struct.unpack_from(">I", encoded, start)
        if size == 1:
            (size,) = struct.unpack_from(">Q", encoded, start + 8)
        if size == 0:
            return True
        if size < 8 or start + size > len(encoded):
            return False
        start += size
    return True


def _gif_ends(encoded: bytes) -> bool:
    """Return whether the blocks of a GIF lead to its trailer."""
    flags = encoded[10]
    start = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while encoded[start] != 0x3B:
        if encoded[start] == 0x21:
            start += 2
        elif encoded[start] == 0x2C:
            flags = encoded[start + 9]
            start += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        else:
            return False
        while encoded[start]:
            start += 1 + encoded[start]
        start += 1
    return True


def _holds(check: Callable[[bytes], bool], encoded: bytes) -> bool:
    try:
        return check(encoded)
    except (struct.error, IndexError, ReadError):
        return False


_CHECKS: dict[str, Callable[[bytes], NDArray[np.uint8] | None]] = {
    "JPEG": jpeg_damage.require_whole_jpeg,
    "MPO": jpeg_damage.require_whole_jpeg,
    "PNG": _require_png,
    "TIFF": _require_tiff,
}
_ENDS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": jpeg_damage.has_end,
    "MPO": jpeg_damage.has_end,
    "PNG": _png_ends,
    "TIFF": _tiff_ends,
    "WEBP": _webp_ends,
    "AVIF": _boxes_end,
    "GIF": _gif_ends,
}
