"""Running a network over a picture in overlapping tiles, blended by smooth weights so that no seam is left."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Run = Callable[[Tensor], Tensor]


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along a side: `tile` long, the last one ending with the side, evenly spread between."""
    if length <= tile:
        return [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(number * (length - tile) / (count - 1)) for number in range(count)]


def tile_boxes(height: int, width: int, tile: int, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    """(top, left, bottom, right) of every tile, row by row."""
    for top in tile_starts(height, tile, overlap):
        for left in tile_starts(width, tile, overlap):
            yield top, left, min(top + tile, height), min(left + tile, width)


def smooth_weights(length: int, overlap: int) -> Tensor:
    """(length,): 1 in the middle, falling to near 0 over `overlap` at both ends along a raised cosine."""
    position = torch.arange(length, dtype=torch.float32)
    nearest_end = torch.minimum(position, length - 1 - position) + 1
    ramp = (nearest_end / (overlap + 1)).clamp(max=1)
    return 0.5 - 0.5 * torch.cos(math.pi * ramp)


def run_tiled(run: Run, picture: Tensor, tile: int, overlap: int) -> Tensor:
    """picture: (1, 3, H, W) on any device to `run` of it, same shape, on the CPU; in one piece if it fits a tile."""
    height, width = picture.shape[-2:]
    if height <= tile and width <= tile:
        return run(picture).cpu()
    total = torch.zeros(picture.shape, dtype=torch.float32)
    weight = torch.zeros(height, width)
    for top, left, bottom, right in tile_boxes(height, width, tile, overlap):
        piece = run(picture[..., top:bottom, left:right]).float().cpu()
        share = torch.outer(smooth_weights(bottom - top, overlap), smooth_weights(right - left, overlap))
        total[..., top:bottom, left:right] += piece * share
        weight[top:bottom, left:right] += share
    return total / weight
