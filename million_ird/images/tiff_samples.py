"""TIFF: samples of any depth, as they are stored.

The bytes of strips and tiles are decompressed by libtiff through Pillow, as a TIFF of 8-bit grey that has these bytes
as its samples; what they mean (depth, byte order, predictor, planes) is resolved here.
"""

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images import tiff_file as tiff
from million_ird.images.colour_spaces import read_profile
from million_ird.images.samples import Samples
from million_ird.images.tiff_file import TiffColours

_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1)[:, 0]
_BAND_BITS = 1 << 26
_MAX_TILE = 1 << 24
"""Pixels of a tile: a small image in one huge tile would fill the memory."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """How a plane is cut: into strips as wide as the image, or tiles."""

    width: int
    height: int
    across: int
    down: int
    tiled: bool


def read_tiff_samples(encoded: bytes, colours: TiffColours) -> Samples:
    """Return the samples of the first page, not turned upright.

    Raises:
        ReadError: `truncated` or `undecodable` for broken data.
    """
    levels = _read_levels(encoded, colours)
    layout = colours.layout
    white: float = 1 if layout.numbers == "float" else (1 << layout.bits) - 1
    model = layout.model
    n_colours = {"grey": 1, "palette": 1, "cmyk": 4}.get(model, 3)
    levels = levels[..., : n_colours + (layout.alpha != "none")]
    if model == "palette":
        levels, white, model = _resolve(levels, colours), 255, "rgb"
    space = read_profile(colours.profile) if layout.space == "icc" and colours.profile else None
    by_table = layout.space == "icc" and space is None
    return Samples(
        levels=levels,
        model=model,
        white=white,
        alpha=layout.alpha,
        inverted=layout.white_is_zero,
        space=space if layout.bits > 8 else None,
        profile=colours.profile if layout.space == "icc" and (by_table or layout.bits <= 8) else None,
    )


def _read_levels(encoded: bytes, colours: TiffColours) -> NDArray[Any]:
    """Return (H, W, C)."""
    separate = colours.one(tiff.PLANES, 1) == 2 and colours.channels > 1
    planes, each = (colours.channels, 1) if separate else (1, colours.channels)
    offsets, sizes = _segments(colours)
    grid = _grid(colours)
    per_plane = grid.across * grid.down
    if len(offsets) < per_plane * planes or len(sizes) < per_plane * planes:
        raise ReadError("undecodable", f"a TIFF of {planes * per_plane} parts that names {len(offsets)}")
    read = []
    for plane in range(planes):
        chosen = slice(plane * per_plane, (plane + 1) * per_plane)
        read.append(_read_plane(encoded, colours, grid, each, offsets[chosen], sizes[chosen]))
    return read[0] if len(read) == 1 else np.concatenate(read, axis=2)


def _segments(colours: TiffColours) -> tuple[tuple[int, ...], tuple[int, ...]]:
    tags = colours.tags
    if tiff.TILE_OFFSETS in tags:
        return tags[tiff.TILE_OFFSETS], tags.get(tiff.TILE_SIZES, ())
    offsets, sizes = tags.get(tiff.STRIP_OFFSETS, ()), tags.get(tiff.STRIP_SIZES, ())
    return offsets, sizes or (1 << 40,) * len(offsets)


def _grid(colours: TiffColours) -> _Grid:
    if tiff.TILE_OFFSETS in colours.tags:
        width, height = colours.one(tiff.TILE_WIDTH, 0), colours.one(tiff.TILE_HEIGHT, 0)
        if width < 1 or height < 1 or width * height > _MAX_TILE:
            raise ReadError("undecodable", f"a TIFF with tiles of {width}×{height}")
        return _Grid(width, height, -(-colours.width // width), -(-colours.height // height), True)
    rows = min(colours.one(tiff.ROWS_PER_STRIP, colours.height) or colours.height, colours.height)
    return _Grid(colours.width, rows, 1, -(-colours.height // rows), False)


def _read_plane(
    encoded: bytes, colours: TiffColours, grid: _Grid, channels: int, offsets: tuple[int, ...], sizes: tuple[int, ...]
) -> NDArray[Any]:
    row_bytes = -(-grid.width * channels * colours.layout.bits // 8)
    rows = grid.down * grid.height if grid.tiled else colours.height
    parts = []
    for column in range(grid.across):
        numbers = range(column, len(offsets), grid.across)
        segments = [encoded[offsets[n] : offsets[n] + sizes[n]] for n in numbers]
        stored = _decompress(segments, colours, grid, row_bytes, rows)
        parts.append(_unpack(stored, colours, grid.width, channels))
    levels = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    return levels[: colours.height, : colours.width]


def _decompress(
    segments: list[bytes], colours: TiffColours, grid: _Grid, row_bytes: int, rows: int
) -> NDArray[np.uint8]:
    """Return (rows, row_bytes): the bytes of a column of strips or tiles."""
    compression = colours.one(tiff.COMPRESSION, 1)
    fill_order = colours.one(tiff.FILL_ORDER, 1)
    if compression == 1:
        sizes = [row_bytes * min(grid.height, rows - top) for top in range(0, rows, grid.height)]
        parts = [segment[:size] for segment, size in zip(segments, sizes, strict=True)]
        if any(len(part) < size for part, size in zip(parts, sizes, strict=True)):
            raise ReadError("truncated", "a TIFF that ends before its pixels")
        stored = np.frombuffer(b"".join(parts), np.uint8)
        return (_REVERSED[stored] if fill_order == 2 else stored).reshape(rows, row_bytes)
    crafted = _as_bytes_tiff(segments, row_bytes, rows, grid.height, compression, fill_order)
    with Image.open(io.BytesIO(crafted), formats=("TIFF",)) as image:
        return np.asarray(image)


def _as_bytes_tiff(
    segments: list[bytes], row_bytes: int, rows: int, rows_per_strip: int, compression: int, fill_order: int
) -> bytes:
    """Return a BigTIFF of 8-bit grey whose samples are the bytes of the segments."""
    values: dict[int, tuple[int, ...]] = {
        tiff.WIDTH: (row_bytes,),
        tiff.HEIGHT: (rows,),
        tiff.BITS: (8,),
        tiff.COMPRESSION: (compression,),
        tiff.PHOTOMETRIC: (1,),
        tiff.FILL_ORDER: (fill_order,),
        tiff.STRIP_OFFSETS: (),
        tiff.CHANNELS: (1,),
        tiff.ROWS_PER_STRIP: (rows_per_strip,),
        tiff.STRIP_SIZES: tuple(map(len, segments)),
    }
    start = 16 + 8 + 20 * len(values) + 8
    data_start = start + 16 * len(segments)
    offsets, position = [], data_start
    for segment in segments:
        offsets.append(position)
        position += len(segment)
    values[tiff.STRIP_OFFSETS] = tuple(offsets)
    directory, tables = struct.pack("<Q", len(values)), b""
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers)}Q", *numbers)
        place = packed if len(numbers) == 1 else struct.pack("<Q", start + len(tables))
        tables += packed if len(numbers) > 1 else b""
        directory += struct.pack("<HHQ", tag, 16, len(numbers)) + place
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + directory + bytes(8) + tables
    return b"".join([head.ljust(data_start, b"\0"), *segments])


def _unpack(stored: NDArray[np.uint8], colours: TiffColours, width: int, channels: int) -> NDArray[Any]:
    """Turn rows of bytes into (rows, width, channels) levels."""
    layout, predictor = colours.layout, colours.one(tiff.PREDICTOR, 1)
    bits, rows = layout.bits, len(stored)
    if colours.one(tiff.COMPRESSION, 1) == 1:
        predictor = 1  # only defined for compressions
    if layout.numbers == "float":
        return _unpack_floats(stored, colours.order, bits, predictor, (rows, width, channels))
    if bits not in {8, 16}:
        return _unpack_bits(stored, bits, width * channels).reshape(rows, width, channels)
    levels = stored.view(f"{colours.order}u2").astype(np.uint16) if bits == 16 else stored
    levels = levels.reshape(rows, width, channels)
    return np.add.accumulate(levels, axis=1, dtype=levels.dtype) if predictor == 2 else levels


def _unpack_floats(
    stored: NDArray[np.uint8], order: str, bits: int, predictor: int, shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    rows, _, channels = shape
    n_bytes = bits // 8
    if predictor == 3:
        # Differences of bytes, first all highest bytes of a row, then the next ones.
        steps = np.add.accumulate(stored.reshape(rows, -1, channels), axis=1, dtype=np.uint8).reshape(rows, n_bytes, -1)
        stored, order = np.ascontiguousarray(steps.transpose(0, 2, 1)).reshape(rows, -1), ">"
    elif predictor == 2:
        words = stored.view(f"{order}u{n_bytes}").reshape(shape)
        sums = np.add.accumulate(words.astype(f"=u{n_bytes}"), axis=1, dtype=f"=u{n_bytes}")
        return sums.view(f"=f{n_bytes}").astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(stored).view(f"{order}f{n_bytes}").reshape(shape).astype(np.float32)


def _unpack_bits(stored: NDArray[np.uint8], bits: int, per_row: int) -> NDArray[np.uint16]:
    """Return (rows, per_row) of numbers of up to 16 bits, the highest bit first."""
    levels = np.empty((len(stored), per_row), np.uint16)
    band = max(1, _BAND_BITS // max(1, per_row * bits))
    for top in range(0, len(stored), band):
        ones = np.unpackbits(stored[top : top + band], axis=1)[:, : per_row * bits]
        ones = ones.reshape(len(ones), per_row, bits)
        sums = np.zeros(ones.shape[:2], np.uint16)
        for bit in range(bits):
            sums = sums << 1 | ones[..., bit]
        levels[top : top + band] = sums
    return levels


def _resolve(indices: NDArray[Any], colours: TiffColours) -> NDArray[np.uint8]:
    """Return the colours of a palette; some writers gave its entries 8 bits instead of 16."""
    table = np.asarray(colours.tags.get(tiff.COLOUR_MAP, ()), np.int64)
    count = 1 << colours.layout.bits
    if table.size < 3 * count:
        raise ReadError("undecodable", f"a TIFF of {colours.layout.bits} bits with a palette of {table.size // 3}")
    entries = table[: 3 * count].reshape(3, count).T
    eight = entries.astype(np.uint8) if entries.max() < 256 else (entries >> 8).astype(np.uint8)
    resolved: NDArray[np.uint8] = eight[indices[..., 0]]
    if indices.shape[2] == 1:
        return resolved
    alpha = np.rint(indices[..., 1:].astype(np.float32) * np.float32(255 / (count - 1)))
    return np.concatenate([resolved, alpha.astype(np.uint8)], axis=2)
