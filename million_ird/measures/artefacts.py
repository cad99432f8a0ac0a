"""What an earlier, harder JPEG compression left in the pixels, whatever the header says now.

- `jpeg_trace` (1–100, up is better): the IJG quality of the coarsest JPEG compression whose quantisation
  still shows: the coefficients of 8×8 blocks gather at multiples of a step (Fridrich and Lukáš 2003). For
  each of ten low frequencies the largest step is taken at which they do; the median ratio to IJG's table
  gives the quality. Tried on the grid as it lies and on the grid where the blocks show most, so that a crop
  does not hide it. Null where fewer than four frequencies show a step: never compressed, compressed finely
  (over about 85), or resized since.
- `blockiness` (%, ≥ 0, down is better): by how many per cent the mean step between neighbouring pixels is
  larger across the borders of an 8×8 grid than elsewhere (median of the eight phases), for the position of
  the grid where it is largest; the mean of both directions. After Wang, Bovik and Evans 2000. Large for
  soft pictures at any quality, since it is relative to what else there is. Null where there is no step in
  one direction.

Both null under 32 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.header import IJG_LUMA
from million_ird.schema import MEASURE_SPECS, Tier

GRID = 8
BLOCKS = 4096
FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0), (2, 2))
_LEAST_SIDE = 32
_LEAST_STEP, _MOST_STEP = 5, 255
_BINS = 512
_LEAST_COUNT = 20
_LEAST_SCORE = 0.6
_LEAST_FOUND = 4


@dataclass(frozen=True, slots=True)
class ArtefactMeasure:
    """Traces of JPEG: its quantisation and its grid."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["artefacts"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["artefacts"].tier

    def measure(self, sample: EncodedImage) -> Mapping[str, float | None]:
        """Steps between neighbours, and the cosine transform of up to 4,096 blocks of the luma."""
        luma = sample.luma
        if min(luma.shape) < _LEAST_SIDE:
            return dict.fromkeys(self.fields)
        across, left = _grid(_mean_steps(luma[:, 1:], luma[:, :-1], axis=0))
        down, top = _grid(_mean_steps(luma[1:], luma[:-1], axis=1))
        traces = [jpeg_trace(luma[y:, x:]) for y, x in sorted({(0, 0), (top, left)})]
        found = [trace for trace in traces if trace is not None]
        return {
            "jpeg_trace": min(found) if found else None,
            "blockiness": None if across is None or down is None else 50 * (across + down),
        }


def jpeg_trace(luma: NDArray[np.uint8]) -> float | None:
    """The IJG quality at whose steps the blocks' coefficients gather; luma: (H, W), grid at its corner."""
    coefficients = _coefficients(luma)
    cosines, mask = _combs()
    ratios = []
    for row, column in FREQUENCIES:
        sizes = np.minimum(np.rint(np.abs(coefficients[:, row, column])), _BINS - 1).astype(np.intp)
        histogram = np.bincount(sizes, minlength=_BINS).astype(np.float32)
        histogram[-1] = 0  # the overflow
        count = mask @ histogram
        score = np.where(count >= _LEAST_COUNT, cosines @ histogram / np.maximum(count, 1), 0)
        gathered = np.flatnonzero(score > _LEAST_SCORE)
        if gathered.size:
            # Every divisor of the step fits too, so it is the best one near the largest.
            near = gathered[_LEAST_STEP + gathered > 0.85 * (_LEAST_STEP + gathered[-1])]
            step = _LEAST_STEP + int(near[score[near].argmax()])
            ratios.append(100 * step / IJG_LUMA[GRID * row + column])
    if len(ratios) < _LEAST_FOUND:
        return None
    scale = float(np.median(ratios))
    return max(1.0, 5000 / scale if scale > 100 else (200 - scale) / 2)


def _coefficients(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Cosine transforms of blocks from rows spread over the picture; luma: (H, W) → (n, 8, 8)."""
    rows, columns = luma.shape[0] // GRID, luma.shape[1] // GRID
    wanted = min(rows, max(1, -(-BLOCKS // columns)))
    chosen = np.unique(np.linspace(0, rows - 1, wanted).astype(np.intp))
    bands = np.stack([luma[GRID * row : GRID * (row + 1), : GRID * columns] for row in chosen])
    blocks = bands.reshape(-1, GRID, columns, GRID).swapaxes(1, 2).reshape(-1, GRID, GRID)
    basis = _cosine_basis()
    return np.asarray(basis @ blocks.astype(np.float32) @ basis.T, np.float32)


@cache
def _cosine_basis() -> NDArray[np.float32]:
    k = np.arange(GRID)
    basis = 0.5 * np.cos((2 * k[None] + 1) * k[:, None] * np.pi / (2 * GRID))
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)


@cache
def _combs() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each step: cos(2π·size/step) and which sizes count; both (steps, _BINS).

    Sizes under a quarter of the step say nothing (most coefficients are small, with any table); those up to
    three quarters speak against it. Over four steps a later compression's rounding blurs the comb.
    """
    size = np.arange(_BINS)[None]
    step = np.arange(_LEAST_STEP, _MOST_STEP + 1)[:, None]
    mask = (size > step / 4) & (size < 4.5 * step)
    return np.where(mask, np.cos(2 * np.pi * size / step), 0).astype(np.float32), mask.astype(np.float32)


def _mean_steps(one: NDArray[np.uint8], other: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
    reduced = cv2.reduce(cv2.absdiff(one, other), axis, cv2.REDUCE_AVG, dtype=cv2.CV_64F)
    return np.asarray(reduced, np.float64).ravel()


def _grid(steps: NDArray[np.float64]) -> tuple[float | None, int]:
    """How much larger the steps at the worst of 8 phases are than usual, and that grid's offset; steps: (n,)."""
    whole = len(steps) // GRID * GRID
    phases = steps[:whole].reshape(-1, GRID).mean(axis=0)
    usual = float(np.median(phases))
    worst = int(phases.argmax())
    return (None if usual <= 0 else float(phases[worst]) / usual - 1), (worst + 1) % GRID
