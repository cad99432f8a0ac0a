"""Colours of a palette that were saved with loss: few colours, each with a narrow cloud of others around it.

- `palette` (0–1, down is better): how many of the colours near a colour are very near. Colours are those of up to 6,000
  flat blocks of 3×3 pixels. For each, the blocks within 1.5 levels are counted as a share of those within 7 levels
  (Euclidean distance of luma and colour differences), and the mean is weighted such that each region of colours counts
  the same, however many blocks have it. In a photograph colours fill a line, a surface or a space, so that the share
  is 0.21 or less: 0.21 to the power of their dimension (Grassberger and Procaccia 1983, "Measuring the strangeness of
  strange attractors": the correlation integral). Photographs mostly have 0.01 to 0.17. Around the colours of a palette
  the share is near 1 without loss; after JPEG 92 or WebP 90 it is mostly 0.2 to 0.5 with 64 colours, and 0.1 to 0.3
  with 256.

`colours` counts the palettes of files without loss. Null under 64 px, for grey, toned and nearly grey images, whose
colours are a curve by nature (see `hue_spread`), and where fewer than 100 blocks are flat and neither black nor white,
fewer than 50 of them have 6 others near, or these fill fewer than 6 regions: an even background is one region.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.runtime.jit import compiled

_MIN_SIDE = 64
_SIDE = 3
_SAMPLES = 65_536
"""Blocks that are looked at, in rows and columns at equal distances."""
_BLOCKS, _FEWEST = 6000, 100
_UNIT = 256.0
"""Of one level in what is computed, so that all numbers are whole."""
_TOTAL = _SIDE * _SIDE * _UNIT
"""Of one level in the sum of a block."""
_FLAT = 7.0
"""Largest range of luma and of colour differences within a block, in levels."""
_DARK, _BRIGHT = 8.0, 247.0
_NEAR, _NEARBY = 1.5, 7.0
_LEAST_NEAR, _LEAST_COUNTED, _LEAST_REGIONS = 6, 50, 6.0
_ONE_HUE = 2.4
"""Levels: toned images mostly have less than 2, those of a palette mostly 4 and more, photographs 7 and more."""


@dataclass(frozen=True, slots=True)
class PaletteMeasure:
    """Share of the near colours that are very near."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["palette"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["palette"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Compare the colours of up to 6,000 flat blocks."""
        return {"palette": palette(image.pixels)}


def palette(pixels: NDArray[np.uint8]) -> float | None:
    """Return the share of the near colours that are very near; None where it tells nothing; pixels: (H, W, 3)."""
    if min(pixels.shape[:2]) < _MIN_SIDE:
        return None
    step = max(_SIDE, int(np.ceil(np.sqrt(pixels.shape[0] * pixels.shape[1] / _SAMPLES))))
    # Numba would compile once more for what is read-only.
    colours = _flat_blocks(np.require(pixels, requirements=["C", "W"]), step)
    if len(colours) > _BLOCKS:
        colours = colours[np.arange(_BLOCKS) * len(colours) // _BLOCKS]
    if len(colours) < _FEWEST or hue_spread(colours / _TOTAL) < _ONE_HUE:
        return None
    ordered = colours[np.argsort(colours[:, 0], kind="stable")]
    near, nearby = count_near(np.ascontiguousarray(ordered.T), _NEAR * _TOTAL, _NEARBY * _TOTAL)
    counted = nearby >= _LEAST_NEAR
    weights = 1 / nearby[counted]
    regions = float(weights.sum())
    if len(weights) < _LEAST_COUNTED or regions < _LEAST_REGIONS:
        return None
    return float((weights * weights * near[counted]).sum()) / regions


def hue_spread(colours: NDArray[np.float64]) -> float:
    """Return how far the colours are from being a smooth curve over luma, in levels.

    For each level of luma that occurs, the mean deviation of the two colour differences from their mean, plus how much
    this mean differs from that of the level before that occurs, divided by the root of how many levels lie between; the
    90th percentile of these.

    Args:
        colours: (n, 3), n ≥ 1: luma from 0 to 255, red and blue difference.
    """
    level = np.rint(colours[:, 0]).astype(np.intp)
    counts = np.bincount(level, minlength=256)
    occurs = np.flatnonzero(counts)
    spread = np.zeros(len(occurs))
    for difference in (colours[:, 1], colours[:, 2]):
        mean = np.bincount(level, difference, 256) / np.maximum(counts, 1)
        spread += np.bincount(level, np.abs(difference - mean[level]), 256)[occurs] / counts[occurs]
        spread[1:] += np.abs(np.diff(mean[occurs])) / np.sqrt(np.diff(occurs))
    return float(np.quantile(spread, 0.9))


@compiled()
def _flat_blocks(pixels: NDArray[np.uint8], step: int) -> NDArray[np.float64]:
    """Return `_TOTAL` times luma, red and blue difference of each flat block, (n, 3); pixels: (H, W, 3)."""
    rows, columns = (pixels.shape[0] - _SIDE) // step + 1, (pixels.shape[1] - _SIDE) // step + 1
    colours = np.empty((rows * columns, 3))
    count = 0
    for row in range(rows):
        for column in range(columns):
            flat = True
            for channel in range(3):
                if flat:
                    low, high, total = _channel_of_block(pixels, row * step, column * step, channel)
                    flat = high - low <= _FLAT * _UNIT
                    colours[count, channel] = total
            if flat and _DARK * _TOTAL < colours[count, 0] < _BRIGHT * _TOTAL:
                count += 1
    return colours[:count]


@compiled()
def _channel_of_block(pixels: NDArray[np.uint8], top: int, left: int, channel: int) -> tuple[int, int, int]:
    """Return the least and the largest value, and the sum, of luma (0), red (1) or blue difference (2) in a block."""
    red, green, blue = ((77, 150, 29), (128, -107, -21), (-43, -85, 128))[channel]
    low, high, total = 1 << 30, -(1 << 30), 0
    for y in range(top, top + _SIDE):
        for x in range(left, left + _SIDE):
            value = red * int(pixels[y, x, 0]) + green * int(pixels[y, x, 1]) + blue * int(pixels[y, x, 2])
            low, high, total = min(low, value), max(high, value), total + value
    return low, high, total


@compiled()
def count_near(colours: NDArray[np.float64], near: float, nearby: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count for each of n colours, (3, n), the others within two distances, the first of them the smaller.

    Lumas must ascend: only colours whose luma is within `nearby` are compared.
    """
    luma = colours[0]
    n = len(luma)
    first, second = np.empty(n, np.int64), np.empty(n, np.int64)
    start, end = 0, 0
    for i in range(n):
        while luma[i] - luma[start] > nearby:
            start += 1
        while end < n and luma[end] - luma[i] <= nearby:
            end += 1
        a, b = _count_around(luma[start:end], colours[1, start:end], colours[2, start:end], colours[:, i], near, nearby)
        first[i], second[i] = a - 1, b - 1
    return first, second


@compiled()
def _count_around(
    luma: NDArray[np.float64],
    red: NDArray[np.float64],
    blue: NDArray[np.float64],
    colour: NDArray[np.float64],
    near: float,
    nearby: float,
) -> tuple[int, int]:
    """Count the colours within two distances of one. A function of its own, for only so does numba vectorise it."""
    a, b = 0, 0
    for j in range(len(luma)):
        square = (luma[j] - colour[0]) ** 2 + (red[j] - colour[1]) ** 2 + (blue[j] - colour[2]) ** 2
        a += square <= near * near
        b += square <= nearby * nearby
    return a, b
