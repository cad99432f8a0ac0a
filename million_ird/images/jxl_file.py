"""JPEG XL: the size of an image by its codestream, before its decoder, which decodes at once, sees it."""

import struct

from million_ird.errors import ReadError

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)
_MAX_BOXES = 10_000


def read_jxl_size(encoded: bytes) -> tuple[int, int]:
    """Return width and height as stored, from ISO/IEC 18181-1's SizeHeader.

    Raises:
        ReadError: `undecodable` where there is no codestream.
    """
    head = _codestream_head(encoded)
    if head[:2] != b"\xff\x0a":
        raise ReadError("undecodable", "a JPEG XL without a codestream")
    bits = _LowBits(head[2:])
    small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return (bits.take(5) + 1) * 8 if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1, height


class _LowBits:
    """Bits of bytes, the lowest first."""

    def __init__(self, content: bytes) -> None:
        self._left = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value


def _codestream_head(encoded: bytes) -> bytes:
    if encoded[:2] == b"\xff\x0a":
        return encoded[:32]
    start = 0
    for _ in range(_MAX_BOXES):
        if start + 16 > len(encoded):
            break
        size, kind = struct.unpack_from(">I4s", encoded, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", encoded, content)
            content += 8
        if kind == b"jxlc":
            return encoded[content : content + 32]
        if kind == b"jxlp":
            return encoded[content + 4 : content + 36]
        if size < 8:
            break
        start += size
    return b""
