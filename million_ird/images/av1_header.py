"""How coarsely an AVIF was coded: the quantizer in the header of its first frame (AV1 specification, 5.5 and 5.9).

Only headers are read; no pixel is decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from million_ird.images.avif_file import read_av1_start
from million_ird.images.signatures import format_by_signature

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6
"""Kinds of open bitstream units."""
_SELECTED = 2
"""What a sequence header states of a tool that each frame switches."""
_MAX_TILE_WIDTH, _MAX_TILE_AREA, _MAX_TILES = 4096, 4096 * 2304, 64


def read_quantizer(encoded: bytes) -> int | None:
    """Return the base quantizer index (0–255, lower is finer) of an AVIF's first frame.

    Of a grid of tiles, that of the first tile. None for other files, and where a header is broken or is none that an
    encoder of still images writes.
    """
    coded = read_av1_start(encoded) if format_by_signature(encoded) == "AVIF" else None
    if coded is None:
        return None
    try:
        return _first_quantizer(coded)
    except (IndexError, ValueError):
        return None


def _first_quantizer(coded: bytes) -> int | None:
    sequence = None
    for kind, payload in _units(coded):
        if kind == _SEQUENCE:
            sequence = _read_sequence(_Bits(payload))
        elif kind in {_FRAME_HEADER, _FRAME}:
            return None if sequence is None else _read_frame(_Bits(payload), sequence)
    return None


def _units(coded: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and payload of each open bitstream unit; the last may be cut off."""
    at = 0
    while at < len(coded):
        kind, extended, sized = coded[at] >> 3 & 15, coded[at] >> 2 & 1, coded[at] >> 1 & 1
        at += 1 + extended
        size = len(coded) - at
        if sized:
            size = 0
            for place in range(8):  # leb128
                size |= (coded[at] & 127) << 7 * place
                at += 1
                if coded[at - 1] < 128:
                    break
        yield kind, coded[at : at + size]
        at += size


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What the header of a frame needs of that of its sequence."""

    reduced: bool
    id_bits: int
    size_bits: tuple[int, int]
    size: tuple[int, int]
    large_blocks: bool
    screen_content: int
    whole_vectors: int
    order_bits: int
    superres: bool


def _read_sequence(bits: "_Bits") -> _Sequence:
    bits.number(3 + 1)  # profile, still picture
    reduced = bits.flag()
    if reduced:
        bits.number(5)
    else:
        _skip_timing(bits)
    size_bits = bits.number(4) + 1, bits.number(4) + 1
    size = bits.number(size_bits[0]) + 1, bits.number(size_bits[1]) + 1
    id_bits = 0
    if not reduced and bits.flag():
        id_bits = bits.number(4) + 2
        id_bits += bits.number(3) + 1
    large_blocks = bits.flag()
    bits.number(2)  # intra filters
    screen_content, whole_vectors, order_bits = _SELECTED, _SELECTED, 0
    if not reduced:
        screen_content, whole_vectors, order_bits = _read_tools(bits)
    superres = bits.flag()
    return _Sequence(
        reduced, id_bits, size_bits, size, large_blocks, screen_content, whole_vectors, order_bits, superres
    )


def _skip_timing(bits: "_Bits") -> None:
    """Skip timing and operating points; ValueError where frames carry times, which those of images do not."""
    if bits.flag():
        raise ValueError("timing")
    delayed = bits.flag()
    for _ in range(bits.number(5) + 1):
        bits.number(12)
        if bits.number(5) > 7:
            bits.number(1)
        if delayed and bits.flag():
            bits.number(4)


def _read_tools(bits: "_Bits") -> tuple[int, int, int]:
    """Return how screen content and whole vectors are switched, and the bits of an order hint."""
    bits.number(4)  # compound modes, warped motion, dual filter
    ordered = bits.flag()
    if ordered:
        bits.number(2)
    screen_content = _SELECTED if bits.flag() else bits.number(1)
    whole_vectors = _SELECTED
    if screen_content and not bits.flag():
        whole_vectors = bits.number(1)
    return screen_content, whole_vectors, bits.number(3) + 1 if ordered else 0


def _read_frame(bits: "_Bits", sequence: _Sequence) -> int | None:
    """Return the quantizer of a shown key frame, None of any other."""
    if not sequence.reduced and bits.number(1 + 2 + 1) != 0b0001:  # no earlier frame, a key frame, shown
        return None
    fixed_rates = bits.flag()
    screen_content = bits.number(1) if sequence.screen_content == _SELECTED else sequence.screen_content
    if screen_content and sequence.whole_vectors == _SELECTED:
        bits.number(1)
    bits.number(sequence.id_bits)
    other_size = not sequence.reduced and bits.flag()
    bits.number(sequence.order_bits)
    width, height = sequence.size
    if other_size:
        width, height = (bits.number(count) + 1 for count in sequence.size_bits)
    shown_width = width
    if sequence.superres and bits.flag():
        finer = bits.number(3) + 9
        width = (width * 8 + finer // 2) // finer
    if bits.flag():
        bits.number(16 + 16)
    if screen_content and width == shown_width:
        bits.number(1)
    if not (sequence.reduced or fixed_rates):
        bits.number(1)
    _skip_tiles(bits, width, height, 7 if sequence.large_blocks else 6)
    return bits.number(8)


def _skip_tiles(bits: "_Bits", width: int, height: int, block_bits: int) -> None:
    """Skip how a frame is cut into tiles of whole blocks of 2 ** block_bits px."""
    columns, rows = _blocks(width, block_bits), _blocks(height, block_bits)
    widest, area = _MAX_TILE_WIDTH >> block_bits, _MAX_TILE_AREA >> 2 * block_bits
    least_across = _log2(widest, columns)
    least = max(least_across, _log2(area, rows * columns))
    if bits.flag():
        across = _read_log2(bits, least_across, _log2(1, min(columns, _MAX_TILES)))
        down = _read_log2(bits, max(least - across, 0), _log2(1, min(rows, _MAX_TILES)))
    else:
        sizes = _read_sizes(bits, columns, widest)
        across = _log2(1, len(sizes))
        area = rows * columns >> least + 1 if least else rows * columns
        down = _log2(1, len(_read_sizes(bits, rows, max(area // max(sizes), 1))))
    if across or down:
        bits.number(across + down + 2)


def _blocks(side: int, block_bits: int) -> int:
    """Return how many blocks cover a side, which is first rounded up to whole 8 px."""
    return (-(-side // 8) * 8 + (1 << block_bits) - 1) >> block_bits


def _log2(unit: int, target: int) -> int:
    """Return the smallest k with unit · 2ᵏ ≥ target (`tile_log2` of the specification)."""
    power = 0
    while unit << power < target:
        power += 1
    return power


def _read_log2(bits: "_Bits", least: int, most: int) -> int:
    while least < most and bits.flag():
        least += 1
    return least


def _read_sizes(bits: "_Bits", blocks: int, most: int) -> list[int]:
    """Return the sizes of tiles along one side, in blocks."""
    sizes = []
    while blocks > 0:
        sizes.append(bits.below(min(blocks, most)) + 1)
        blocks -= sizes[-1]
    return sizes


class _Bits:
    """Reads numbers bit by bit, the highest first; raises IndexError beyond the end."""

    def __init__(self, coded: bytes) -> None:
        self._coded, self._at = coded, 0

    def flag(self) -> bool:
        """Return the next bit."""
        return self.number(1) == 1

    def number(self, count: int) -> int:
        """Return the next bits as an unsigned number, 0 of none."""
        value = 0
        for _ in range(count):
            value = value << 1 | (self._coded[self._at >> 3] >> (7 - (self._at & 7)) & 1)
            self._at += 1
        return value

    def below(self, count: int) -> int:
        """Return a number below a count, in as few bits as it needs (AV1 specification, 4.10.7)."""
        width = count.bit_length()
        short = (1 << width) - count
        value = self.number(width - 1)
        return value if value < short else (value << 1) - short + self.number(1)
