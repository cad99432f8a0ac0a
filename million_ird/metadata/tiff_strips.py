"""Location of the coded image of a TIFF directory: its strips or tiles, and how far each extends."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from million_ird.metadata import ifd
from million_ird.metadata.edits import Range, not_strippable

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS, _STRIP_COUNTS, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS, _JPEG_TABLES = 322, 323, 324, 325, 347
_RAW, _OLD_JPEG, _JPEG, _WEBP = 1, 6, 7, 50001
_KNOWN = {_RAW, 2, 3, 4, 5, _JPEG, 8, 32771, 32773, 32809, 32946, 34676, 34677, 34887, 34925, 50000, _WEBP}
_YCBCR = 6


class NestedFile(NamedTuple):
    """A strip, tile or table that is a file of another format."""

    format: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ImageData:
    """The bytes of the coded image."""

    ranges: list[Range]
    nested: list[NestedFile]


def read_image_data(encoded: bytes, layout: ifd.IfdLayout, tags: dict[int, ifd.IfdEntry]) -> ImageData:
    """Return the strips or tiles of one directory.

    Uncompressed ones extend at least as far as the image's size requires, whatever their byte counts say: Pillow does
    not read the counts.

    Raises:
        ReadError: `not_strippable` for a compression that may carry metadata of its own, or strips without lengths.
    """

    def numbers(tag: int) -> tuple[int, ...]:
        return ifd.read_integers(encoded, layout, tags[tag]) if tag in tags else ()

    def number(tag: int, default: int) -> int:
        return next(iter(numbers(tag)), default)

    compression = number(_COMPRESSION, _RAW)
    if compression not in _KNOWN:
        raise not_strippable(f"TIFF compression {compression}")
    ranges: list[Range] = []
    for offsets_tag, counts_tag in ((_STRIP_OFFSETS, _STRIP_COUNTS), (_TILE_OFFSETS, _TILE_COUNTS)):
        offsets, counts = numbers(offsets_tag), numbers(counts_tag)
        if compression == _RAW:
            counts = tuple(counts[: len(offsets)]) + (0,) * (len(offsets) - len(counts))
            required = _required_bytes(len(offsets), number, numbers(_BITS), tiled=offsets_tag == _TILE_OFFSETS)
            ranges += [(a, a + max(n, m)) for a, n, m in zip(offsets, counts, required, strict=True)]
        elif len(counts) < len(offsets) or any(a and not n for a, n in zip(offsets, counts, strict=False)):
            raise not_strippable("strips of a TIFF without lengths")
        else:
            ranges += [(a, a + n) for a, n in zip(offsets, counts, strict=False) if n]
    ranges = [(a, min(b, len(encoded))) for a, b in ranges if a < len(encoded)]
    if compression not in {_JPEG, _WEBP}:
        return ImageData(ranges, [])
    nested = [NestedFile("JPEG" if compression == _JPEG else "WEBP", a, b) for a, b in ranges]
    if _JPEG_TABLES in tags and compression == _JPEG:
        nested.append(NestedFile("JPEG", tags[_JPEG_TABLES].start, tags[_JPEG_TABLES].stop))
    return ImageData(ranges, nested)


def _required_bytes(count: int, number: Callable[[int, int], int], bits: tuple[int, ...], *, tiled: bool) -> list[int]:
    """Return the bytes of each uncompressed strip or tile; 0 for YCbCr, where subsampling makes it fewer."""
    if number(_PHOTOMETRIC, 0) == _YCBCR or not count:
        return [0] * count
    width, height, samples = number(_WIDTH, 0), number(_HEIGHT, 0), number(_SAMPLES, 1)
    separate = number(_PLANAR, 1) == 2
    depth = max(bits, default=1) if separate else max(sum(bits), max(bits, default=1) * samples)
    if tiled:
        return [number(_TILE_LENGTH, 0) * math.ceil(number(_TILE_WIDTH, 0) * depth / 8)] * count
    rows = max(1, min(number(_ROWS, height), height))
    per_plane = max(1, math.ceil(height / rows))
    index = np.arange(count) % per_plane
    rows_in_strip = np.minimum(rows, height - index * rows)
    return [int(n) * math.ceil(width * depth / 8) for n in rows_in_strip]
