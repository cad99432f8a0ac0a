"""Local statistics at test time (TLC): attention and prompts aggregate over windows instead of the whole image.

"Improving Image Restoration by Revisiting Global Information Aggregation" (TLC, arXiv 2112.04491): a network trained on
crops sees other statistics when it aggregates over a whole image, so at test time it aggregates over windows of about
1.5 times the crop. Here windows overlap by half, and the result at a pixel is the bilinear blend of the results of the
(up to four) windows with the nearest centres, so that no window has a visible edge. TLC's own code averages windows
where they overlap.

Sums over windows cost no more than sums over the whole image: each pixel is added once, to a cell of half a window's
side. Mixing costs four times as much, about a sixth more arithmetic for a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dynet.inference.banded_forward import AttentionSums, use_banded_blocks
from dynet.model.network import DyNet
from dynet.model.prompts import PromptBlock

_SCALES = {
    "encoder1": 1, "decoder1": 1, "refinement": 1,
    "encoder2": 2, "decoder2": 2, "prompt_skip2": 2,
    "encoder3": 4, "decoder3": 4, "prompt_skip3": 4,
    "latent": 8, "prompt_latent": 8,
}  # fmt: skip
"""By which factor the features of each part are smaller than the image."""


@dataclass(frozen=True, slots=True)
class WindowAxis:
    """The windows along one side: nearly equal cells, and at each cell but the last a window of two cells."""

    edges: tuple[int, ...]
    """The borders of the cells, from 0 to the length of the side."""
    weights: Tensor = field(compare=False)
    """(windows, length) float32: the weight of each window at each position, 1 at its centre, 0 at the next centre."""

    @classmethod
    def of(cls, length: int, window: float) -> "WindowAxis":
        """Divide a side into cells of about half a window; a side no longer than a window is one cell and window."""
        cells = max(2, round(2 * length / window)) if length > window else 1
        edges = tuple(round(number * length / cells) for number in range(cells + 1))
        centres = edges[1:-1] or (length / 2,)  # the centre of a window is the edge between its cells
        positions = np.arange(length) + 0.5
        weights = np.stack([np.interp(positions, centres, unit) for unit in np.eye(len(centres))])
        return cls(edges, torch.from_numpy(weights.astype(np.float32)))

    @property
    def cells(self) -> list[tuple[int, int]]:
        """(first, end) of each cell."""
        return list(pairwise(self.edges))

    @property
    def windows(self) -> range:
        """The indices of the windows; window n consists of the cells n and n + 1."""
        return range(len(self.weights))

    def windows_of(self, cell: int) -> range:
        """Return the windows that contain a cell; only these have a weight above 0 in it."""
        return range(max(cell - 1, 0), min(cell + 1, len(self.weights)))

    def cell_slices(self, top: int, count: int) -> Iterator[tuple[int, slice]]:
        """Split the `count` positions from `top` on by cell: yield each cell and its slice of these positions."""
        for number, (first, end) in enumerate(self.cells):
            if first < top + count and end > top:
                yield number, slice(max(first - top, 0), min(end - top, count))

    def mean_matrix(self) -> Tensor:
        """Return the (windows, length) matrix that maps a side to the mean of each window."""
        means = torch.zeros_like(self.weights)
        for number in self.windows:
            first, end = self.edges[number], self.edges[min(number + 2, len(self.edges) - 1)]
            means[number, first:end] = 1 / (end - first)
        return means


def use_local_statistics(model: DyNet, window: int, dtype: torch.dtype) -> None:
    """Make this network run in bands, with attention and prompts that aggregate over windows.

    An image up to the size of a window is restored as without windows.

    Args:
        model: The network; see `dynet.inference.banded_forward.use_banded_blocks`.
        window: The side of the windows in pixels of the image.
        dtype: float32 or bfloat16 for the computation inside the blocks.
    """
    use_banded_blocks(model, dtype, lambda name: partial(WindowedAttention, window / _scale(name)))
    for name, module in model.named_modules():
        if isinstance(module, PromptBlock):
            module.blend = partial(blend_by_local_means, window / _scale(name))


def _scale(name: str) -> int:
    return _SCALES[name.partition(".")[0]]


class WindowedAttention:
    """Attention in which each pixel uses the statistics of the windows around it."""

    def __init__(self, window: float, to_out: Tensor, heads: int, height: int, width: int) -> None:
        """Prepare one application of a block; `window` is its side in pixels of these features."""
        self._to_out = to_out
        self._rows, self._columns = WindowAxis.of(height, window), WindowAxis.of(width, window)
        self._row_weights = self._rows.weights.to(to_out.device)
        self._column_weights = self._columns.weights.to(to_out.device)
        self._sums = [
            [AttentionSums.zeros(len(to_out), heads, to_out.device) for _ in self._columns.cells]
            for _ in self._rows.cells
        ]
        self._temperature: Tensor | None = None
        self._matrices: dict[int, list[Tensor]] = {}  # only of the rows of windows that are in use

    def add(self, top: int, q: Tensor, k: Tensor) -> None:
        """See `BandedAttention.add`."""
        for row, positions in self._rows.cell_slices(top, len(q)):
            for sums, (first, end) in zip(self._sums[row], self._columns.cells, strict=True):
                sums.add(*(part[positions, first:end].flatten(0, 1) for part in (q, k)))

    def finish(self, temperature: Tensor) -> None:
        """See `BandedAttention.finish`."""
        self._temperature = temperature

    def mix(self, top: int, values: Tensor, rows: Tensor) -> None:
        """See `BandedAttention.mix`."""
        for cell, positions in self._rows.cell_slices(top, len(rows)):
            window_rows = self._rows.windows_of(cell)
            matrices = {row: self._matrices_of(row, values.dtype) for row in window_rows}
            self._matrices = matrices
            down = self._row_weights[window_rows.start : window_rows.stop, top:][:, positions]  # (1 or 2, rows)
            for column, (first, end) in enumerate(self._columns.cells):
                window_columns = self._columns.windows_of(column)
                across = self._column_weights[
                    window_columns.start : window_columns.stop, first:end
                ]  # (1 or 2, columns)
                weights = torch.einsum("ar,bc->rcab", down, across).flatten(2)  # (rows, columns, windows)
                stacked = torch.cat([matrices[row][window] for row in window_rows for window in window_columns])
                part = values[positions, first:end]
                weighted = (weights.to(part.dtype).unsqueeze(-1) * part.unsqueeze(-2)).flatten(2)
                rows[positions, first:end] += (weighted @ stacked).to(rows.dtype)

    def _matrices_of(self, row: int, dtype: torch.dtype) -> list[Tensor]:
        """Return the (C, C) matrix of each window in a row of windows."""
        if row in self._matrices:
            return self._matrices[row]
        assert self._temperature is not None
        cell_rows = self._sums[row : row + 2]
        windows = [
            AttentionSums.total([sums for cells in cell_rows for sums in cells[n : n + 2]])
            for n in self._columns.windows
        ]
        return [sums.matrix(self._temperature, self._to_out).to(dtype) for sums in windows]


def blend_by_local_means(window: float, block: PromptBlock, x: Tensor) -> Tensor:
    """Mix prompts at each pixel by the means of the windows around it.

    Args:
        window: The side of the windows in pixels of these features.
        block: The prompts and the layer that weighs them.
        x: (B, C, H, W).

    Returns:
        (B, prompt_channels, H, W).
    """
    axes = [WindowAxis.of(length, window) for length in x.shape[-2:]]
    mean_rows, mean_columns = (axis.mean_matrix().to(x.device) for axis in axes)  # (windows, length) each
    means = torch.einsum("ih,bchw,jw->bijc", mean_rows, x.float(), mean_columns)
    row_weights, column_weights = (axis.weights.to(x.device) for axis in axes)
    weights = torch.einsum("ih,bijp,jw->pbhw", row_weights, block.weights_for(means), column_weights)
    blended = torch.zeros(len(x), block.prompts.shape[1], *x.shape[-2:], device=x.device)
    for weight, prompt in zip(weights, block.prompts, strict=True):
        blended += weight.unsqueeze(1) * F.interpolate(prompt[None], x.shape[-2:], mode="bilinear")
    return blended
