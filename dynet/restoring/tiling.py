"""Running a network over a picture in overlapping tiles, blended by smooth weights so that no seam is left.

Tiles go row by row, and rows of pixels are handed on as soon as no further tile changes them: beside the picture and
its restoration there is never more in memory than one row of tiles.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

Run = Callable[[Tensor], Tensor]
Box = tuple[int, int, int, int]
"""(top, left, bottom, right)."""


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along a side: `tile` long, the last one ending with the side, evenly spread between."""
    if length <= tile:
        return [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(number * (length - tile) / (count - 1)) for number in range(count)]


def tile_boxes(height: int, width: int, tile: int, overlap: int) -> Iterator[Box]:
    """The place of every tile, row by row."""
    for top in tile_starts(height, tile, overlap):
        for left in tile_starts(width, tile, overlap):
            yield top, left, min(top + tile, height), min(left + tile, width)


def smooth_weights(length: int, overlap: int) -> Tensor:
    """(length,): 1 in the middle, falling to near 0 over `overlap` at both ends along a raised cosine."""
    position = torch.arange(length, dtype=torch.float32)
    nearest_end = torch.minimum(position, length - 1 - position) + 1
    ramp = (nearest_end / (overlap + 1)).clamp(max=1)
    return 0.5 - 0.5 * torch.cos(math.pi * ramp)


def tile_shares(length: int, tile: int, overlap: int) -> dict[int, Tensor]:
    """By start along a side, each tile's share in its places, (tile,): in each place those of all tiles add up to 1."""
    size = min(tile, length)
    weights, total = smooth_weights(size, overlap), torch.zeros(length)
    starts = tile_starts(length, tile, overlap)
    for start in starts:
        total[start : start + size] += weights
    return {start: weights / total[start : start + size] for start in starts}


def blended_rows(
    restore: Callable[[Box], Tensor], height: int, width: int, tile: int, overlap: int
) -> Iterator[tuple[int, Tensor]]:
    """Blend what `restore` makes of each box, (1, 3, h, w) on any device: (top, (1, 3, rows, width)) on the CPU."""
    down, across = (tile_shares(length, tile, overlap) for length in (height, width))
    size, tops = min(tile, height), [*down, height]
    strip = torch.zeros(1, 3, size, width)  # the rows of the tiles at hand
    for top, below in pairwise(tops):
        for left, share in across.items():
            right = left + len(share)
            restored = restore((top, left, top + size, right)).float().cpu()
            strip[..., left:right] += restored * torch.outer(down[top], share)
        yield top, strip[..., : below - top, :].clone()
        strip = torch.cat([strip[..., below - top :, :], torch.zeros(1, 3, below - top, width)], dim=2)


def run_tiled(run: Run, picture: Tensor, tile: int, overlap: int) -> Tensor:
    """picture: (1, 3, H, W) on any device to `run` of it, same shape, on the CPU; in one piece if it fits a tile."""
    height, width = picture.shape[-2:]
    if height <= tile and width <= tile:
        return run(picture).cpu()

    def restore(box: Box) -> Tensor:
        top, left, bottom, right = box
        return run(picture[..., top:bottom, left:right])

    return torch.cat([rows for _, rows in blended_rows(restore, height, width, tile, overlap)], dim=2)
