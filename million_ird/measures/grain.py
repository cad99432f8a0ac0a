"""Grain: noise whose neighbouring pixels are alike, so that it is still there at half the size.

- `grain` (grey levels, ≥ 0, down is better): standard deviation of the noise of the luma at half the size beyond that
  at full size (variances are subtracted). White noise has half of its deviation there and gives 0; a camera's noise,
  which the interpolation of colours spreads, gives 1 to 2 at σ 10 of the sensor and up to 3.6 at σ 20; noise that was
  blurred, enlarged or smoothed away in its finest part gives more. Both are the 5th percentile over blocks of 16×16
  that are neither dark nor bright, by the filter of `noise`.
  Texture such as gravel and foliage is as coarse, but no noise: the responses to the filter in the smoothest tenth of
  the blocks have a kurtosis of 3 where they are noise, mostly 3.5 to 10 where they are texture, and 1.5 in even waves.
  The number counts whole from 2.7 to 3.2, not at all under 2.2 and over 4.2, and in part between these. Photographs
  have 0 to 2.9, white noise of σ 25 in each channel that was blurred by one pixel and brought to σ 25 again has 3 to 6.

Where all of a picture is textured, grain is not seen. Null under 128 px, and where fewer than 20 blocks are neither
dark nor bright.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.halved_rows import halved_rows
from million_ird.measures.response_variances import BLOCK, response_variances

_BLOCKS = 2048
"""Blocks looked at, in rows spread over the image."""
_MIN_SIDE, _MIN_BLOCKS = 128, 20
_DARK, _BRIGHT = 30, 225
"""Mean levels between which noise is not clipped."""
_PERCENTILE, _LOWEST = 5, 0.9
"""Percentile of the blocks, and what it has of the deviation of white noise."""
_GAIN = 6.0
_SMOOTHEST = 10
"""The kurtosis is computed on one block in this many, the smoothest ones."""
_KURTOSIS = 2.2, 2.7, 3.2, 4.2
"""Where waves end, noise begins and ends, and texture begins."""


@dataclass(frozen=True, slots=True)
class GrainMeasure:
    """Noise at half the size beyond that at full size."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["grain"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["grain"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure one 3×3 filter over up to 2,048 blocks of the luma at two sizes."""
        return {"grain": grain(image.luma)}


def grain(luma: NDArray[np.uint8]) -> float | None:
    """Return the deviation of coarse noise in grey levels; None where too few blocks show it; luma: (H, W)."""
    if min(luma.shape) < _MIN_SIDE:
        return None
    half = _strips(luma)
    fine = _blocks(luma, BLOCK * _chosen(luma.shape[0], luma.shape[1]))
    coarse = _blocks(half, np.arange(0, half.shape[0], BLOCK + 2))
    if min(len(fine.variances), len(coarse.variances)) < _MIN_BLOCKS:
        return None
    beyond = max(0.0, _variance(coarse) - _variance(fine))
    share = float(np.interp(_kurtosis(half, coarse), _KURTOSIS, (0, 1, 1, 0))) if beyond else 0.0
    return float(np.sqrt(beyond)) * share


def _chosen(height: int, width: int) -> NDArray[np.intp]:
    """Return the numbers of the rows of blocks that are looked at, spread over an image."""
    rows, columns = (height - 2) // BLOCK, (width - 2) // BLOCK
    return np.unique(np.linspace(0, rows - 1, min(rows, -(-_BLOCKS // columns))).astype(np.intp))


def _strips(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the rows of blocks that are looked at at half the size; (H, W) → (18 n, W // 2)."""
    tops = BLOCK * _chosen(luma.shape[0] // 2, luma.shape[1] // 2)
    return halved_rows(luma, (tops[:, None] + np.arange(BLOCK + 2)).ravel())


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Blocks that are neither dark nor bright."""

    variances: NDArray[np.float32]
    """(n,), of the responses to the filter."""
    corners: NDArray[np.intp]
    """(n, 2), y and x of the pixel before a block's first one."""


def _blocks(luma: NDArray[np.uint8], tops: NDArray[np.intp]) -> _Blocks:
    """Return the blocks below these rows; luma: (H, W)."""
    variances, levels = response_variances(luma, tops)
    row, column = np.nonzero((levels > _DARK) & (levels < _BRIGHT))
    return _Blocks(variances[row, column], np.stack([tops[row], BLOCK * column], axis=1))


def _variance(blocks: _Blocks) -> float:
    """Return the variance of the noise that the smoother blocks show."""
    return float(np.percentile(blocks.variances, _PERCENTILE)) / (_GAIN * _LOWEST) ** 2


def _kurtosis(luma: NDArray[np.uint8], blocks: _Blocks) -> float:
    """Return the fourth moment of the responses in the smoothest blocks over their squared variance; luma: (H, W)."""
    deviation = np.sqrt(blocks.variances)
    order = np.argsort(deviation, kind="stable")[: max(4, len(deviation) // _SMOOTHEST)]
    y, x = blocks.corners[order].T
    windows = np.lib.stride_tricks.sliding_window_view(luma, (BLOCK + 2, BLOCK + 2))[y, x].astype(np.int16)
    responses = np.diff(np.diff(windows, 2, axis=1), 2, axis=2).reshape(len(order), -1).astype(np.float32)
    alike = responses / np.maximum(deviation[order, None], 1e-6)
    return float((alike**4).mean())
