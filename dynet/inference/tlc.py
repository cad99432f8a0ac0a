"""Local statistics at test time: attention and prompts see a window around each place, as large as crops in training.

"Improving Image Restoration by Revisiting Global Information Aggregation" (TLC, arXiv 2112.04491): a network trained on
crops meets other statistics when it aggregates over a whole picture, so at test time it aggregates over windows of
about 1.5 times the crop. Here windows overlap by half, and each pixel's result is the bilinear blend of those of the
(up to four) windows whose centres are around it, so that no window has an edge that could be seen. TLC's own code
averages windows where they overlap.

Sums over windows cost no more than sums over the whole: they are added up in cells of half a window's side, each pixel
once. Mixing costs four times as much, about a sixth of a block's arithmetic more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dynet.inference.banded_forward import Sums, run_in_bands
from dynet.model.network import DyNet
from dynet.model.prompts import PromptBlock

_SCALES = {
    "encoder1": 1, "decoder1": 1, "refinement": 1,
    "encoder2": 2, "decoder2": 2, "prompt_skip2": 2,
    "encoder3": 4, "decoder3": 4, "prompt_skip3": 4,
    "latent": 8, "prompt_latent": 8,
}  # fmt: skip
"""By how much the features of each part are smaller than the picture."""


@dataclass(frozen=True, slots=True)
class Axis:
    """How windows lie along one side: nearly equal cells, and a window of two cells from each cell on but the last."""

    edges: tuple[int, ...]
    """Where cells begin and end, from 0 to the length of the side."""
    shares: Tensor = field(compare=False)
    """(windows, length) float32: the part that each window has in each place, 1 at its centre, 0 at the next centre."""

    @classmethod
    def of(cls, length: int, window: float) -> "Axis":
        """Cells of about half a window; a side that is not longer than a window is one cell and one window."""
        cells = max(2, round(2 * length / window)) if length > window else 1
        edges = tuple(round(number * length / cells) for number in range(cells + 1))
        centres = edges[1:-1] or (length / 2,)  # the centre of a window is the edge between its cells
        places = np.arange(length) + 0.5
        shares = np.stack([np.interp(places, centres, window) for window in np.eye(len(centres))])
        return cls(edges, torch.from_numpy(shares.astype(np.float32)))

    @property
    def cells(self) -> list[tuple[int, int]]:
        """(first, end) of each."""
        return list(pairwise(self.edges))

    @property
    def windows(self) -> range:
        """Their numbers; window n is the cells n and n + 1."""
        return range(len(self.shares))

    def around(self, cell: int) -> range:
        """The windows that have a share in a cell: those that it is part of."""
        return range(max(cell - 1, 0), min(cell + 1, len(self.shares)))

    def parts(self, top: int, count: int) -> Iterator[tuple[int, slice]]:
        """The cells that so many places from `top` on are in, each with those of the places that are in it."""
        for number, (first, end) in enumerate(self.cells):
            if first < top + count and end > top:
                yield number, slice(max(first - top, 0), min(end - top, count))

    def means(self) -> Tensor:
        """(windows, length): what a side is multiplied by to give the mean of each window."""
        means = torch.zeros_like(self.shares)
        for number in self.windows:
            first, end = self.edges[number], self.edges[min(number + 2, len(self.edges) - 1)]
            means[number, first:end] = 1 / (end - first)
        return means


def use_local_statistics(model: DyNet, window: int, kind: torch.dtype) -> None:
    """Have this network run in bands, with attention and prompts that see windows of this side in pixels.

    `kind` and what else holds of bands: `dynet.inference.banded_forward.run_in_bands`. A picture that is no larger than a window
    is restored as without.
    """
    run_in_bands(model, kind, lambda name: partial(WindowedAttention, window / _scale(name)))
    for name, module in model.named_modules():
        if isinstance(module, PromptBlock):
            module.blend = partial(blend_by_local_means, window / _scale(name))


def _scale(name: str) -> int:
    return _SCALES[name.partition(".")[0]]


class WindowedAttention:
    """Attention in which each place uses the statistics of the windows around it."""

    def __init__(self, window: float, to_out: Tensor, heads: int, height: int, width: int) -> None:
        """`window`: its side in places of these features."""
        self._to_out = to_out
        self._down, self._across = Axis.of(height, window), Axis.of(width, window)
        self._shares = [axis.shares.to(to_out.device) for axis in (self._down, self._across)]
        cells = [[Sums.zeros(len(to_out), heads, to_out.device) for _ in self._across.cells] for _ in self._down.cells]
        self._sums: list[list[Sums]] = cells
        self._temperature: Tensor | None = None
        self._matrices: dict[int, list[Tensor]] = {}  # of the rows of windows that are in use

    def add(self, top: int, q: Tensor, k: Tensor) -> None:
        """As `Attention.add`."""
        for row, places in self._down.parts(top, len(q)):
            for sums, (first, end) in zip(self._sums[row], self._across.cells, strict=True):
                sums.add(*(part[places, first:end].flatten(0, 1) for part in (q, k)))

    def finish(self, temperature: Tensor) -> None:
        """As `Attention.finish`."""
        self._temperature = temperature

    def mix(self, top: int, values: Tensor, rows: Tensor) -> None:
        """As `Attention.mix`."""
        for cell, places in self._down.parts(top, len(rows)):
            above = self._down.around(cell)
            matrices = {row: self._matrices_of(row, values.dtype) for row in above}
            self._matrices = matrices
            down = self._shares[0][above.start : above.stop, top:][:, places]  # (1 or 2, rows)
            for column, (first, end) in enumerate(self._across.cells):
                beside = self._across.around(column)
                across = self._shares[1][beside.start : beside.stop, first:end]  # (1 or 2, columns)
                shares = torch.einsum("ar,bc->rcab", down, across).flatten(2)  # (rows, columns, windows)
                of_windows = torch.cat([matrices[row][window] for row in above for window in beside])
                part = values[places, first:end]
                weighted = (shares.to(part.dtype).unsqueeze(-1) * part.unsqueeze(-2)).flatten(2)
                rows[places, first:end] += (weighted @ of_windows).to(rows.dtype)

    def _matrices_of(self, row: int, kind: torch.dtype) -> list[Tensor]:
        """Of each window in a row of windows: (C, C)."""
        if row in self._matrices:
            return self._matrices[row]
        assert self._temperature is not None
        cells = self._sums[row : row + 2]
        windows = [Sums.total([sums for line in cells for sums in line[n : n + 2]]) for n in self._across.windows]
        return [sums.matrix(self._temperature, self._to_out).to(kind) for sums in windows]


def blend_by_local_means(window: float, block: PromptBlock, x: Tensor) -> Tensor:
    """x: (B, C, H, W) to prompts mixed in each place by means of windows around it: (B, prompt_channels, H, W)."""
    axes = [Axis.of(length, window) for length in x.shape[-2:]]
    down, across = (axis.means().to(x.device) for axis in axes)  # (windows, length) each
    means = torch.einsum("ih,bchw,jw->bijc", down, x.float(), across)
    shares = [axis.shares.to(x.device) for axis in axes]
    weights = torch.einsum("ih,bijp,jw->pbhw", shares[0], block.weights_for(means), shares[1])
    blended = torch.zeros(len(x), block.prompts.shape[1], *x.shape[-2:], device=x.device)
    for weight, prompt in zip(weights, block.prompts, strict=True):
        blended += weight.unsqueeze(1) * F.interpolate(prompt[None], x.shape[-2:], mode="bilinear")
    return blended
