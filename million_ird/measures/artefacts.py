"""Traces of an earlier, stronger JPEG compression in the pixels, whatever the header says now.

- `jpeg_trace` (1–100, up is better): the IJG quality of the coarsest JPEG compression whose quantisation
  still shows: the coefficients of 8×8 blocks cluster at multiples of a step (Fridrich and Lukáš 2003). For
  each of ten low frequencies the largest such step is taken; the median ratio to IJG's table gives the
  quality. Two grids are tried, the one at the corner and the one where the blocks show most, so that a crop
  does not hide it. Null where fewer than four frequencies show a step: never compressed, compressed finely
  (over about 85), or resized since.
- `blockiness` (%, ≥ 0, down is better): by how many per cent the mean step between neighbouring pixels is
  larger across the borders of an 8×8 grid than elsewhere (median of the eight phases), for the position of
  the grid where it is largest; the mean of both directions. After Wang, Bovik and Evans 2000. Large for
  soft images at any quality, since it is relative to the other steps. Null where there is no step in one
  direction.

Both null under 32 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.edge_sums import mean_steps
from million_ird.measures.header import IJG_LUMA

GRID = 8
BLOCKS = 4096
FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0), (2, 2))
_MIN_SIDE = 32
_MIN_STEP, _MAX_STEP = 5, 255
_BINS = 512
_MIN_COUNT = 20
_MIN_SCORE = 0.6
_MIN_FREQUENCIES = 4


@dataclass(frozen=True, slots=True)
class ArtefactMeasure:
    """Traces of JPEG: quantisation and block grid."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["artefacts"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["artefacts"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure steps between neighbours and the cosine transform of up to 4,096 blocks of the luma."""
        luma = image.luma
        if min(luma.shape) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        (across, left), (down, top) = (_find_grid(steps) for steps in mean_steps(luma))
        traces = [jpeg_trace(luma[y:, x:]) for y, x in sorted({(0, 0), (top, left)})]
        qualities = [trace for trace in traces if trace is not None]
        return {
            "jpeg_trace": min(qualities) if qualities else None,
            "blockiness": None if across is None or down is None else 50 * (across + down),
        }


def jpeg_trace(luma: NDArray[np.uint8]) -> float | None:
    """Return the IJG quality at whose steps the coefficients cluster; None where too few frequencies show a step.

    Args:
        luma: (H, W); the block grid starts at its corner.
    """
    coefficients = _coefficients(luma)
    cosines, mask = _combs()
    ratios = []
    for row, column in FREQUENCIES:
        sizes = np.minimum(np.rint(np.abs(coefficients[:, row, column])), _BINS - 1).astype(np.intp)
        histogram = np.bincount(sizes, minlength=_BINS).astype(np.float32)
        histogram[-1] = 0  # sizes beyond the last bin
        count = mask @ histogram
        score = np.where(count >= _MIN_COUNT, cosines @ histogram / np.maximum(count, 1), 0)
        candidates = np.flatnonzero(score > _MIN_SCORE)
        if candidates.size:
            # Every divisor of the step fits too, so the step is the best candidate near the largest one.
            near = candidates[_MIN_STEP + candidates > 0.85 * (_MIN_STEP + candidates[-1])]
            step = _MIN_STEP + int(near[score[near].argmax()])
            ratios.append(100 * step / IJG_LUMA[GRID * row + column])
    if len(ratios) < _MIN_FREQUENCIES:
        return None
    scale = float(np.median(ratios))
    return max(1.0, 5000 / scale if scale > 100 else (200 - scale) / 2)


def _coefficients(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return cosine transforms of blocks from rows spread over the image; luma: (H, W) → (n, 8, 8)."""
    rows, columns = luma.shape[0] // GRID, luma.shape[1] // GRID
    n_rows = min(rows, max(1, -(-BLOCKS // columns)))
    block_rows = np.unique(np.linspace(0, rows - 1, n_rows).astype(np.intp))
    bands = np.stack([luma[GRID * row : GRID * (row + 1), : GRID * columns] for row in block_rows])
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
    """Return cos(2π·size/step) and which sizes count, for each step; both (steps, _BINS).

    Sizes under a quarter of the step are no evidence (most coefficients are small, with any table); sizes up to three
    quarters are evidence against it. Over four steps the rounding of a later compression blurs the comb.
    """
    size = np.arange(_BINS)[None]
    step = np.arange(_MIN_STEP, _MAX_STEP + 1)[:, None]
    mask = (size > step / 4) & (size < 4.5 * step)
    return np.where(mask, np.cos(2 * np.pi * size / step), 0).astype(np.float32), mask.astype(np.float32)


def _find_grid(steps: NDArray[np.float64]) -> tuple[float | None, int]:
    """Return how much larger the steps at the worst of 8 phases are than usual, and that grid's offset; steps: (n,)."""
    end = len(steps) // GRID * GRID
    phases = steps[:end].reshape(-1, GRID).mean(axis=0)
    usual = float(np.median(phases))
    worst = int(phases.argmax())
    return (None if usual <= 0 else float(phases[worst]) / usual - 1), (worst + 1) % GRID
