"""How coarsely a lossy WebP was coded: the quantizers that its VP8 header states (RFC 6386, sections 9.2 to 9.6).

Only the first bytes of the first frame are read; no pixel is decoded.
"""

from million_ird.images.webp_file import iter_chunks

_FRAME_TAG = 10
"""Bytes before the first partition: the frame tag, the start code, width and height."""
_START_CODE = b"\x9d\x01\x2a"
_EVEN = 128
"""Probability of a zero, in 256ths, with which header fields are coded."""
_SEGMENTS = 4


def read_quantizers(encoded: bytes) -> tuple[int, ...] | None:
    """Return the quantizer indices (0–127, lower is finer) of the segments of a lossy WebP, one or four.

    None for other files and where the header is broken; of an animation, those of the first frame.
    """
    start = find_vp8(encoded)
    if start is None or encoded[start] & 1 or encoded[start + 3 : start + 6] != _START_CODE:
        return None
    fields = _Fields(encoded[start + _FRAME_TAG : start + _FRAME_TAG + 256])
    try:
        return _quantizers(fields)
    except IndexError:
        return None


def find_vp8(encoded: bytes) -> int | None:
    """Return where the data of the first frame of a lossy WebP begin; None for other files and a lossless frame."""
    if encoded[:4] != b"RIFF" or encoded[8:12] != b"WEBP":
        return None
    found = next((chunk for chunk in iter_chunks(encoded) if chunk[0] in {b"VP8 ", b"VP8L"}), None)
    return found[1] if found is not None and found[0] == b"VP8 " else None


def _quantizers(fields: "_Fields") -> tuple[int, ...]:
    fields.number(2)  # colour space, clamping
    segments, absolute = [0] * _SEGMENTS, False
    segmented = fields.number(1)
    if segmented:
        has_map, has_data = fields.number(1), fields.number(1)
        if has_data:
            absolute = bool(fields.number(1))
            segments = [fields.signed(7) for _ in range(_SEGMENTS)]
            for _ in range(_SEGMENTS):
                fields.signed(6)
        for _ in range(3 if has_map else 0):
            if fields.number(1):
                fields.number(8)
    fields.number(1 + 6 + 3)  # the loop filter
    if fields.number(1) and fields.number(1):
        for _ in range(8):
            fields.signed(6)
    fields.number(2)  # partitions
    base = fields.number(7)
    if not segmented:
        return (base,)
    return tuple(min(127, max(0, value if absolute else base + value)) for value in segments)


class _Fields:
    """Reads numbers from the boolean entropy coder (RFC 6386, section 7), all bits even."""

    def __init__(self, coded: bytes) -> None:
        self._coded = coded
        self._value, self._next = int.from_bytes(coded[:2]), 2
        self._range, self._shifted = 255, 0

    def number(self, bits: int) -> int:
        """Return an unsigned number; raise IndexError beyond the end."""
        value = 0
        for _ in range(bits):
            value = value << 1 | self._bit()
        return value

    def signed(self, bits: int) -> int:
        """Return an optional number with a sign, 0 where it is absent."""
        if not self.number(1):
            return 0
        value = self.number(bits)
        return -value if self.number(1) else value

    def _bit(self) -> int:
        split = 1 + ((self._range - 1) * _EVEN >> 8)
        bit = self._value >= split << 8
        self._range, self._value = (self._range - split, self._value - (split << 8)) if bit else (split, self._value)
        while self._range < 128:
            self._range, self._value, self._shifted = self._range << 1, self._value << 1, self._shifted + 1
            if self._shifted == 8:
                self._value, self._next, self._shifted = self._value | self._coded[self._next], self._next + 1, 0
        return int(bit)
