"""The fine structure of two copies at one scale: which is noisier, smoother, sharpened or enlarged."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.aligned import Box, turn

_FLOOR = 0.1
"""Standard deviation, in levels, that is added to both of two that are compared: less is rounding."""
_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class FineStructure:
    """The fine structure of two copies at the finest scale that both have, as log2 of first / second."""

    octaves: float
    """Resolution of the scene in px: positive if the first has more."""
    faint: float
    """Fine structure where there is least."""
    middle: float
    """Fine structure where there is some."""
    strong: float
    """Fine structure where there is most."""
    quiet: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(3, 2) each: where this one is quietest, it and the other one, at the common scale and its two halves; standard
    deviations of noise."""
    loud: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(3,) each: the same where there is most."""
    strong_coarser: NDArray[np.float64]
    """(2,) `strong` at half and a quarter of the scale."""
    own_slope: tuple[float, float]
    """Of each at its own scale: the finest structure relative to that at half the scale, where there is most."""
    cells: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(2, 8, 8) each: the fine structure of the overlap at the common scale and at half of it."""

    def at_same_contrast(self, octaves: float) -> "FineStructure":
        """Return what two copies would have if the one of more contrast had the other's.

        Args:
            octaves: How much more contrast the first has, as log2.
        """
        richer = 0 if octaves > 0 else 1
        scale = 2.0 ** -abs(octaves)
        quiet = [own.copy() for own in self.quiet]
        quiet[richer][:, 0] *= scale
        quiet[1 - richer][:, 1] *= scale
        loud, cells = (
            [own * scale if side == richer else own for side, own in enumerate(both)]
            for both in (self.loud, self.cells)
        )
        return replace(
            self,
            faint=_less(self.faint, octaves),
            middle=_less(self.middle, octaves),
            strong=_less(self.strong, octaves),
            quiet=(quiet[0], quiet[1]),
            loud=(loud[0], loud[1]),
            strong_coarser=np.array([_less(value, octaves) for value in self.strong_coarser]),
            cells=(cells[0], cells[1]),
        )


def _less(value: float, octaves: float) -> float:
    """Return what is left of a difference that may be one of contrast; never of the other sign."""
    return float(np.sign(value) * max(0.0, abs(value) - abs(octaves))) if value * octaves > 0 else value


def compare_fine(
    fine: tuple[NDArray[np.float64], NDArray[np.float64]],
    quiet: tuple[NDArray[np.float64], NDArray[np.float64]],
    boxes: tuple[Box, Box],
    octaves: float,
) -> FineStructure | None:
    """Compare two copies; None if they have no scale in common.

    Args:
        fine: (levels, n, n) of each, turned alike.
        quiet: (levels, m, m) of each, turned alike.
        boxes: The overlap in each, 0 to 1.
        octaves: How many times finer than the second the first shows the scene, as a logarithm of base 2.
    """
    cells = [_sampled(levels, box) for levels, box in zip(fine, boxes, strict=True)]
    floors = [_sampled(levels, box) for levels, box in zip(quiet, boxes, strict=True)]
    starts = max(0.0, octaves), max(0.0, -octaves)
    levels = [[_level(c, start + k) for k in range(3)] for c, start in zip(cells, starts, strict=True)]
    first, second = levels
    if any(np.isnan(level).any() for level in (first[0], second[0])):
        return None
    ratios = [np.log2((a + _FLOOR) / (b + _FLOOR)).ravel() for a, b in zip(first, second, strict=True)]
    order = np.argsort((first[0] * second[0]).ravel(), kind="stable")
    quarter = len(order) // 4
    faint, middle, strong = order[:quarter], order[quarter:-quarter], order[-quarter:]
    spots = [[_level(f, start + k).ravel() for k in range(3)] for f, start in zip(floors, starts, strict=True)]
    quiet_spots = [
        np.array([_where_quietest(own, other) for own, other in zip(spots[side], spots[1 - side], strict=True)])
        for side in (0, 1)
    ]
    loud = [np.array([np.median(level.ravel()[strong]) for level in own]) for own in levels]
    slopes = [float(np.median(np.log2((c[0] + _FLOOR) / (c[1] + _FLOOR)).ravel()[strong])) for c in cells]
    return FineStructure(
        octaves=octaves,
        faint=float(np.median(ratios[0][faint])),
        middle=float(np.median(ratios[0][middle])),
        strong=float(np.median(ratios[0][strong])),
        quiet=(quiet_spots[0], quiet_spots[1]),
        loud=(loud[0], loud[1]),
        strong_coarser=np.array([np.median(ratio[strong]) for ratio in ratios[1:]]),
        own_slope=(slopes[0], slopes[1]),
        cells=(np.stack(first[:2]), np.stack(second[:2])),
    )


def _where_quietest(own: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Return the medians of both in that quarter of the cells in which the first has least."""
    cells = np.argsort(own, kind="stable")[: len(own) // 4]
    return float(np.median(own[cells])), float(np.median(other[cells]))


def turned(levels: NDArray[np.float64], orientation: int) -> NDArray[np.float64]:
    """Return (levels, n, n) cells of an image in another orientation."""
    return np.stack([np.asarray(turn(level, orientation), np.float64) for level in levels])


def _sampled(levels: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    """Return the cells of a part of an image: (levels, 8, 8)."""
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    count = levels.shape[1]
    # A cell across the border of the part has something else in it, too.
    margin = 0.5 / count
    left, top = (side + margin if side > 0.01 else side for side in box[:2])
    right, bottom = (side - margin if side < 0.99 else side for side in box[2:])
    box = (left, top, right, bottom) if right - left > margin and bottom - top > margin else box
    x = (box[0] + (box[2] - box[0]) * steps) * count - 0.5
    y = (box[1] + (box[3] - box[1]) * steps) * count - 0.5
    across, down = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    border = cv2.BORDER_REPLICATE
    return np.stack(
        [
            cv2.remap(level.astype(np.float32), across, down, cv2.INTER_LINEAR, borderMode=border).astype(np.float64)
            for level in levels
        ]
    )


def _level(levels: NDArray[np.float64], position: float) -> NDArray[np.float64]:
    """Return the cells between two of the stored resolutions; NaN beyond the last."""
    low = int(position)
    part = position - low
    if low + (part >= 0.02) >= len(levels):
        return np.full(levels.shape[1:], np.nan)
    if part < 0.02:
        return np.asarray(levels[low], np.float64)
    between = (1 - part) * np.log(levels[low] + 0.01) + part * np.log(levels[low + 1] + 0.01)
    return np.asarray(np.exp(between) - 0.01, np.float64)
