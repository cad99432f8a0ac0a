"""Running a network over a picture in overlapping tiles, blended by smooth weights so that no seam is left.

Tiles go row by row, and rows of pixels are handed on as soon as no further tile changes them: beside the picture and
its restoration there is never more in memory than one row of tiles.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from dynet.model.network import STRIDE

Run = Callable[[Tensor], Tensor]
Box = tuple[int, int, int, int]
"""(top, left, bottom, right)."""


def in_strides(tile: int | None) -> int | None:
    """The side of the tiles that one of `tile` stands for: a multiple of 8 that is no larger."""
    return None if tile is None else tile // STRIDE * STRIDE


def tile_spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """(first, end) of the tiles along a side: as few as there can be, of one size but for the last.

    Tiles are at most `tile` long, share at least `overlap`, and begin at multiples of 8, where the network halves its
    features as it does in the whole picture: begun elsewhere, a tile differs from the whole several times as much.
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


def tile_boxes(height: int, width: int, tile: int, overlap: int) -> Iterator[Box]:
    """The place of every tile, row by row."""
    for top, bottom in tile_spans(height, tile, overlap):
        for left, right in tile_spans(width, tile, overlap):
            yield top, left, bottom, right


def smooth_weights(length: int, overlap: int) -> Tensor:
    """(length,): 1 in the middle, falling to near 0 over `overlap` at both ends along a raised cosine."""
    position = torch.arange(length, dtype=torch.float32)
    nearest_end = torch.minimum(position, length - 1 - position) + 1
    ramp = (nearest_end / (overlap + 1)).clamp(max=1)
    return 0.5 - 0.5 * torch.cos(math.pi * ramp)


def tile_shares(length: int, tile: int, overlap: int) -> dict[int, Tensor]:
    """By start along a side, each tile's share in its places: in each place those of all tiles add up to 1."""
    weights = {first: smooth_weights(end - first, overlap) for first, end in tile_spans(length, tile, overlap)}
    total = torch.zeros(length)
    for start, weight in weights.items():
        total[start : start + len(weight)] += weight
    return {start: weight / total[start : start + len(weight)] for start, weight in weights.items()}


def blended_rows(
    restore: Callable[[Box], Tensor], height: int, width: int, tile: int, overlap: int
) -> Iterator[tuple[int, Tensor]]:
    """Blend what `restore` makes of each box, (1, 3, h, w) on any device: (top, (1, 3, rows, width)) on the CPU."""
    down, across = (tile_shares(length, tile, overlap) for length in (height, width))
    tops = [*down, height]
    strip = torch.zeros(1, 3, 0, width)  # rows that the tiles at hand and those before them have a share in
    for top, below in pairwise(tops):
        bottom = top + len(down[top])
        strip = torch.cat([strip, torch.zeros(1, 3, bottom - top - strip.shape[2], width)], dim=2)
        for left, share in across.items():
            right = left + len(share)
            restored = restore((top, left, bottom, right)).float().cpu()
            strip[..., left:right] += restored * torch.outer(down[top], share)
        yield top, strip[..., : below - top, :].clone()
        strip = strip[..., below - top :, :]


def run_tiled(run: Run, picture: Tensor, tile: int, overlap: int) -> Tensor:
    """picture: (1, 3, H, W) on any device to `run` of it, same shape, on the CPU; in one piece if it fits a tile."""
    height, width = picture.shape[-2:]
    if height <= tile and width <= tile:
        return run(picture).cpu()

    def restore(box: Box) -> Tensor:
        top, left, bottom, right = box
        return run(picture[..., top:bottom, left:right])

    return torch.cat([rows for _, rows in blended_rows(restore, height, width, tile, overlap)], dim=2)
