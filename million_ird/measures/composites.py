"""What is put around a photograph or beside it: bars, joints between images, mirrored sides.

All look for what a program draws and a lens does not: lines that are level or upright to the pixel, over the whole
image. Null under 64 px.

- `bar_share` (0–1, down is better): share of the height, or of the width, whichever is larger, that even bars at the
  sides cover, as in a letterbox. A row is even if its standard deviation is 2 levels or less. A bar is at least 2 rows
  of one level, and ends at a straight edge: among the next eight rows there are two within which more than 30 % of the
  pixels become different from the bar by more than 8 levels. A black sky, a studio's backdrop and a white cyclorama end
  raggedly or gradually, and do not count.
- `gutter_share` (0–1, down is better): the same of even bars inside the image, with two straight edges: between the
  images of a collage.
- `joint_share` (0–1, down is better): largest share of the pixels along a line, from side to side or from top to
  bottom, whose step across exactly this line is larger than those across the five lines on both sides: images joined
  without a gap, sides that were filled by a blurred copy, a desktop's task bar. In texture of any kind it is about
  a tenth of the pixels by chance; along a joint, half of them and more. A line counts if its mean step is at least 3
  levels, and if its two neighbours are raised above the other lines by less than a quarter of what it is: the horizon
  of a calm sea is as level, but a lens spreads it over two lines and more. 0 where more than four lines in this
  direction have 60 % of this share, as the courses of a wall have, blocks of JPEG, and a mosaic of six cells and more
  in a row.
- `mirror_share` (0–1, down is better): correlation of both sides of the image with what is next to them, mirrored, the
  lower of the two at the width where it is largest; fine structure, left and right or top and bottom. Sides that were
  filled by mirroring have 0.9 and more. A lake mirrors at one line, not at two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures import line_sums

EVEN = 2.0
_MIN_SIDE = 64
_MIN_ROWS = 2
_ONE_LEVEL = 3.0
"""How much two adjacent rows of a bar may differ in their means, in levels; all of them twice as much."""
_SAMPLES = 512
"""Pixels of a row that are looked at for bars."""
_DIFFERENT, _EDGE = 8, 0.3
_EDGE_ROWS = 8
"""Rows in which a bar must end: as far as JPEG carries a straight edge into it."""
_MIN_STEP, _SPREAD = 3.0, 0.25
_ALIKE, _FEW = 0.6, 4
"""Where more lines have so much of the largest share, these are courses of bricks, windows or repeated pixels."""
_BANDS = 64
"""Pieces of each line that are averaged when mirrored sides are looked for."""
_LONGEST = 1500
"""Lines that are compared; of larger images neighbours are averaged."""
_IN_TURN = 7
"""Up to this many numbers NumPy adds one after the other, so adding whole columns gives the same sums, faster."""
_NARROWEST, _WIDEST = 50, 3
"""A mirrored side is at least a fiftieth of the image, and at most a third."""
_MIN_STRUCTURE = 0.3


@dataclass(frozen=True, slots=True)
class CompositeMeasure:
    """Bars, joints and mirrored sides."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["composites"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["composites"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure rows and columns of the luma; null under 64 px."""
        luma = image.luma
        if min(luma.shape) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        sides, gutters = zip(bar_shares(luma), bar_shares(luma, columns=True), strict=True)
        return {
            "bar_share": max(sides),
            "gutter_share": max(gutters),
            "joint_share": joint_share(luma),
            "mirror_share": mirror_share(luma),
        }


def bar_shares(luma: NDArray[np.uint8], *, columns: bool = False) -> tuple[float, float]:
    """Return the share of the rows, or columns, that are even bars, at both ends and inside; luma: (H, W)."""
    lines = luma.T if columns else luma
    step = max(1, lines.shape[1] // _SAMPLES)
    mean, even = _even_lines(luma, step, columns=columns)
    # Where the level changes from one even row to the next, a bar ends, as a page does at its header.
    joined = even[1:] & even[:-1] & (np.abs(np.diff(mean)) <= _ONE_LEVEL)
    starts = np.flatnonzero(even & ~np.concatenate([[False], joined]))
    ends = np.flatnonzero(even & ~np.concatenate([joined, [False]])) + 1
    outer = inner = 0
    for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
        level = mean[first:end]
        if end - first < _MIN_ROWS or float(np.ptp(level)) > 2 * _ONE_LEVEL or end - first == len(lines):
            continue
        beside = (lines[max(0, first - _EDGE_ROWS) : first + 1][::-1], lines[end - 1 : end + _EDGE_ROWS])
        inside = first > 0 and end < len(lines)
        if all(_is_edge(part[:, ::step]) for part in beside if len(part) > 1):
            outer, inner = outer + (end - first) * (not inside), inner + (end - first) * inside
    return outer / len(lines), inner / len(lines)


def _even_lines(luma: NDArray[np.uint8], step: int, *, columns: bool) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the mean of each row, or column, if it is even, and whether it is."""
    sums, verdicts = line_sums.even_lines(luma, step, EVEN, columns=columns)
    lines = (luma.T if columns else luma)[:, ::step]
    mean, even = (sums / lines.shape[1]).astype(np.float32), verdicts == line_sums.EVEN
    nearly = verdicts == line_sums.NEARLY
    if nearly.any():  # the limit is one of float32
        even |= nearly & (lines.astype(np.float32).std(axis=1) <= EVEN)
    return mean, even


def _is_edge(rows: NDArray[np.uint8]) -> bool:
    """Return whether many pixels become different from the first row, the bar's last, within two rows; (rows, n)."""
    different = np.abs(rows.astype(np.int16) - rows[0]) > _DIFFERENT
    before = np.vstack([different[:1], different[:-2]])
    return bool((different[1:] & ~before).mean(axis=1).max() > _EDGE)


def joint_share(luma: NDArray[np.uint8]) -> float:
    """Return the largest share of the pixels of a line that step more there than beside it; luma: (H, W)."""
    return max(_straightest(luma, columns=False), _straightest(luma, columns=True))


def _straightest(luma: NDArray[np.uint8], *, columns: bool) -> float:
    sums, counts = line_sums.largest_steps(luma, columns=columns)
    length = luma.shape[int(not columns)]
    margin = max(8, len(sums) // 30)
    lines = np.arange(margin, len(sums) - margin)
    shares, steps = counts[lines] / length, sums / length
    if np.count_nonzero(shares >= _ALIKE * shares.max()) > _FEW:
        return 0.0
    next_to, *beside = ((steps[lines - k] + steps[lines + k]) / 2 for k in range(1, line_sums.REACH + 1))
    level = np.mean(beside, axis=0)
    sharp = (steps[lines] >= _MIN_STEP) & (next_to - level < _SPREAD * (steps[lines] - level))
    return float(shares[sharp].max(initial=0.0))


def mirror_share(luma: NDArray[np.uint8]) -> float:
    """Return by how much two opposite sides mirror what is next to them; luma: (H, W)."""
    return min(1.0, max(0.0, *map(_mirrored, line_sums.mean_levels(luma, _BANDS))))


def _mirrored(bands: NDArray[np.float32]) -> float:
    """Return the correlation of the first and the last columns with what is next to them; bands: (h, W)."""
    small = _averaged(bands, -(-bands.shape[1] // _LONGEST))
    width = small.shape[1]
    fine = np.asarray(small - cv2.blur(small, (2 * (width // 64) + 1, 1)), np.float32)
    widths = np.arange(max(3, width // _NARROWEST), width // _WIDEST + 1)
    power = (fine.astype(np.float64) ** 2).sum(axis=0)
    sides = _powers(power, widths), _powers(power[::-1], widths)
    least = _MIN_STRUCTURE * widths * len(fine)
    enough = np.minimum(*(np.minimum(own, next_to) for own, next_to in sides)) > least
    if not enough.any():
        return 0.0
    first, last = (_mirrored_at(part, widths, *side) for part, side in zip((fine, fine[:, ::-1]), sides, strict=True))
    return float(np.where(enough, np.minimum(first, last), 0.0).max())


def _powers(power: NDArray[np.float64], widths: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the power of the first n columns, and of the n next ones, for each n; power: (w,)."""
    sums = np.concatenate([[0.0], np.cumsum(power)])
    return sums[widths], sums[2 * widths] - sums[widths]


def _averaged(bands: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the mean of every `factor` columns; bands: (h, w · factor or a few more) → (h, w)."""
    width = bands.shape[1] // factor
    groups = bands[:, : width * factor].reshape(len(bands), width, factor)
    if factor == 1:
        return bands
    if factor > _IN_TURN:
        return np.asarray(groups.mean(axis=2), np.float32)
    total = groups[..., 0]
    for k in range(1, factor):
        total = total + groups[..., k]
    return np.asarray(total / factor, np.float32)


def _mirrored_at(
    fine: NDArray[np.float32],
    widths: NDArray[np.int64],
    own: NDArray[np.float64],
    next_to: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the correlation of the first n columns, mirrored, with the n next ones, for each n; fine: (h, w)."""
    # The columns at x and 2n − 1 − x are multiplied: this sum over x is entry 2n − 1 of a convolution with itself.
    spectrum = fft.rfft(fine[:, : 2 * int(widths[-1])], 4 * int(widths[-1]))
    convolved = fft.irfft((spectrum * spectrum).sum(axis=0))
    # Each product is in the convolution twice, except that it is a sum over both halves.
    return np.asarray(convolved[2 * widths - 1] / 2 / np.maximum(np.sqrt(own * next_to), 1e-9), np.float64)
