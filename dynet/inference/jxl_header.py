"""The size of a JPEG XL by its header, for the check that comes before its decoders, which decode at once."""

import struct

from dynet.errors import ImageError

_CODESTREAM = b"\xff\x0a"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)


def read_jxl_size(encoded: bytes) -> tuple[int, int]:
    """Return width and height as stored (ISO/IEC 18181-1, SizeHeader).

    Raises:
        ImageError: The file has no codestream.
    """
    codestream = encoded if encoded.startswith(_CODESTREAM) else _find_codestream(encoded)
    if not codestream.startswith(_CODESTREAM):
        raise ImageError("a JPEG XL without an image")
    left = int.from_bytes(codestream[2:34], "little")

    def take(count: int) -> int:
        nonlocal left
        value, left = left & ((1 << count) - 1), left >> count
        return value

    small = take(1)
    height = 8 * (take(5) + 1) if small else take(_SIZE_BITS[take(2)]) + 1
    if ratio := take(3):
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return 8 * (take(5) + 1) if small else take(_SIZE_BITS[take(2)]) + 1, height


def _find_codestream(encoded: bytes) -> bytes:
    """Return the bytes from the codestream on, which is in a box, whole or in parts."""
    start = 0
    while start + 16 <= len(encoded):
        size, kind = struct.unpack_from(">I4s", encoded, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", encoded, content)
            content += 8
        if kind in (b"jxlc", b"jxlp"):
            return encoded[content + 4 * (kind == b"jxlp") :][:64]
        if size < 8:
            break
        start += size
    return b""
