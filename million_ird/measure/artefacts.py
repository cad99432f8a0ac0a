"""What an earlier, harder JPEG compression left in the pixels, whatever the header says now.

- `blockiness` (%, ≥ 0, down is better): by how many per cent the mean step between neighbouring pixels is larger across
  the borders of an 8×8 grid than elsewhere, for the position of the grid (of 8, per direction) where it is largest, so
  that a crop does not hide it; the mean of both directions. After Wang, Bovik and Evans 2000. Null under 32 px and
  without any step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.record import Sample, Tier

GRID = 8
_LEAST_SIDE = 32


@dataclass(frozen=True, slots=True)
class ArtefactMeasure:
    """Traces of JPEG's grid."""

    fields: ClassVar[tuple[str, ...]] = ("blockiness",)
    tier: ClassVar[Tier] = Tier.PIXELS

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """Steps between neighbours of the luma."""
        luma = sample.luma
        if min(luma.shape) < _LEAST_SIDE:
            return {"blockiness": None}
        across = _excess(cv2.absdiff(luma[:, 1:], luma[:, :-1]).mean(axis=0))
        down = _excess(cv2.absdiff(luma[1:], luma[:-1]).mean(axis=1))
        if across is None or down is None:
            return {"blockiness": None}
        return {"blockiness": 50 * (across + down)}


def _excess(steps: NDArray[np.float64]) -> float | None:
    """How much larger the steps at the worst of 8 phases are than the median of the phases; steps: (n,)."""
    whole = len(steps) // GRID * GRID
    phases = steps[:whole].reshape(-1, GRID).mean(axis=0)
    usual = float(np.median(phases))
    return None if usual <= 0 else float(phases.max()) / usual - 1
