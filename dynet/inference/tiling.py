"""Running a network over an image in overlapping tiles, blended with smooth weights so that no seam is visible.

Tiles are processed row by row, and rows of pixels are yielded as soon as no later tile changes them: besides the image
and its restoration, at most one row of tiles is in memory.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from dynet.model.network import STRIDE

TensorFunction = Callable[[Tensor], Tensor]
TileBox = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels."""


def round_tile_to_stride(tile: int | None) -> int | None:
    """Return the largest multiple of 8 up to a tile's side; None stays None."""
    return None if tile is None else tile // STRIDE * STRIDE


def tile_spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Return (first, end) of the tiles along a side: as few as possible, all of one size except the last.

    Tiles begin at multiples of 8, so that the network downsamples at the same positions as in the whole image. Tiles
    that begin elsewhere differ from the whole image several times as much.

    Args:
        length: The side of the image in pixels.
        tile: The largest length of a tile in pixels.
        overlap: What neighbouring tiles share at least, in pixels.
    """
    if length <= tile:
        return [(0, length)]
    tile, overlap = tile // STRIDE * STRIDE, _up_to_stride(overlap)
    count = math.ceil((length - overlap) / (tile - overlap))
    size = _up_to_stride(math.ceil((length + (count - 1) * overlap) / count))
    last = _up_to_stride(length - size) // STRIDE
    starts = [round(number * last / (count - 1)) * STRIDE for number in range(count)]
    return [(start, min(start + size, length)) for start in starts]


def _up_to_stride(length: int) -> int:
    return math.ceil(length / STRIDE) * STRIDE


def tile_boxes(height: int, width: int, tile: int, overlap: int) -> Iterator[TileBox]:
    """Yield the box of every tile, row by row."""
    for top, bottom in tile_spans(height, tile, overlap):
        for left, right in tile_spans(width, tile, overlap):
            yield top, left, bottom, right


def smooth_weights(length: int, overlap: int) -> Tensor:
    """Return (length,) weights: 1 in the middle, and a raised cosine down to near 0 over `overlap` at both ends."""
    position = torch.arange(length, dtype=torch.float32)
    nearest_end = torch.minimum(position, length - 1 - position) + 1
    ramp = (nearest_end / (overlap + 1)).clamp(max=1)
    return 0.5 - 0.5 * torch.cos(math.pi * ramp)


def tile_weights(length: int, tile: int, overlap: int) -> dict[int, Tensor]:
    """Return each tile's weights by its start along a side; at each pixel the weights of all tiles add up to 1."""
    weights = {first: smooth_weights(end - first, overlap) for first, end in tile_spans(length, tile, overlap)}
    total = torch.zeros(length)
    for start, weight in weights.items():
        total[start : start + len(weight)] += weight
    return {start: weight / total[start : start + len(weight)] for start, weight in weights.items()}


def iter_blended_rows(
    restore: Callable[[TileBox], Tensor], height: int, width: int, tile: int, overlap: int
) -> Iterator[tuple[int, Tensor]]:
    """Restore an image tile by tile, and blend the tiles.

    Args:
        restore: From a box to its restored pixels, (1, 3, h, w) on any device.
        height: Of the image in pixels.
        width: Of the image in pixels.
        tile: The largest side of a tile in pixels.
        overlap: What neighbouring tiles share at least, in pixels.

    Yields:
        (top, (1, 3, rows, width)) float32 on the CPU, from top to bottom.
    """
    row_weights, column_weights = (tile_weights(length, tile, overlap) for length in (height, width))
    tops = [*row_weights, height]
    strip = torch.zeros(1, 3, 0, width)  # rows that this row of tiles and the one before contribute to
    for top, next_top in pairwise(tops):
        bottom = top + len(row_weights[top])
        strip = torch.cat([strip, torch.zeros(1, 3, bottom - top - strip.shape[2], width)], dim=2)
        for left, weights in column_weights.items():
            right = left + len(weights)
            restored = restore((top, left, bottom, right)).float().cpu()
            strip[..., left:right] += restored * torch.outer(row_weights[top], weights)
        yield top, strip[..., : next_top - top, :].clone()
        strip = strip[..., next_top - top :, :]


def run_tiled(run: TensorFunction, image: Tensor, tile: int, overlap: int) -> Tensor:
    """Apply a network in tiles, or to the whole image if it fits one tile.

    Args:
        run: The network, from (1, 3, h, w) to the same shape.
        image: (1, 3, H, W) on any device.
        tile: The largest side of a tile in pixels.
        overlap: What neighbouring tiles share at least, in pixels.

    Returns:
        (1, 3, H, W) on the CPU.
    """
    height, width = image.shape[-2:]
    if height <= tile and width <= tile:
        return run(image).cpu()

    def restore(box: TileBox) -> Tensor:
        top, left, bottom, right = box
        return run(image[..., top:bottom, left:right])

    return torch.cat([rows for _, rows in iter_blended_rows(restore, height, width, tile, overlap)], dim=2)
