"""Shifts of brightness or colour in a decoded JPEG, which its decoder cannot notice.

Some damage leaves a valid stream of the right length, and causes no warning. But a JPEG stores the mean of a block as
the difference to the one before, so that one wrong difference shifts everything after it. What is looked for is a step
of one size along the lower or upper edge of a row of blocks, up to a column, and one row of blocks higher from there
on, in an image without any step elsewhere on these lines.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.images.jpeg_steps import best_turns, boundary_steps, half_stepped, step_parts

_MIN_STEP = 4.0
"""Levels; a smaller shift is not seen."""
_MIN_COLUMNS = 48
_MAX_STEP = 24.0
"""Levels that count of a step, so that edges do not outweigh it."""
_NONSENSE = 6
"""Units of blocks that a decoder takes to find its way again."""
_MAX_PLAIN = 0.3
"""Largest jump, as a share of the step, where there should be none."""
_CALM = 0.5
"""Least share of the columns there that jump by less than half a step: in the seeming stairs of 1,465 shifted whole
pictures at most 0.36, behind damage 0.54 and more."""
_SEGMENTS = 8
_MIN_SEGMENT = 32
"""Columns: each half of a stair is looked at in up to eight parts of this width and more."""
_STEADY = 0.2
"""Least median step in each part, as a share of the step. A wrong difference shifts all columns alike. Of the steps
between plain blocks of a sky that was compressed hard, some part never has one."""
_EVEN = 0.8
"""Largest share of columns along a stair with plain blocks on both sides: a sky whose only steps are those between the
levels of a strong compression looks shifted, too."""
_EVEN_LEVELS = 1.2
"""How much a plain block may change within three rows."""
_SHARP_COLOUR = 8
"""Height of a unit up to which upsampling leaves colours sharp from row to row."""
_AT_BOUNDARY, _BESIDE = 0.6, 0.7
"""Least share of the step that lies at the boundary itself (between two rows of pixels, or within four where upsampling
blurs a colour), and largest share within two rows before or after it. A nearly level edge of a scene lies anywhere in
the nine rows that are compared. In 181 shifts by one changed bit (a script that is not kept) the former is at least
0.67, the latter at most 0.66."""
_UNUSUAL = 3.0
"""How often the step is as large as nine tenths of the jumps along other rows of blocks."""
_EDGE_IN_LUMA = 3.0
"""How many times as far as a colour luma jumps at the edge of something, such as a horizon."""


def find_shift(pixels: NDArray[np.uint8], height: int, width: int) -> int | None:
    """Return the row of pixels at which a shift begins, or None.

    Args:
        pixels: (H, W, 3) uint8, as stored.
        height: of a unit of blocks (MCU), 8 to 32 pixels.
        width: of a unit.
    """
    if pixels.shape[0] < 3 * height or pixels.shape[1] < 2 * _MIN_COLUMNS + width:
        return None
    boundaries = np.arange(height, pixels.shape[0] - 4, height)
    channels = boundary_steps(pixels, boundaries)
    for channel, steps in enumerate(channels):
        reach = 1 if channel and height > _SHARP_COLOUR else 0
        for number, column in _candidates(steps, width):
            if not _is_stair(steps, number, column, width):
                continue
            left, right = _halves(column, width)
            if channel and _is_edge(channels[0], steps, number, (left, right)):
                continue
            upper, lower = (_Line(pixels, int(boundaries[k]), channel, steps[k]) for k in (number, number + 1))
            even = np.concatenate([lower.is_even()[left], upper.is_even()[right]])
            if even.mean() < _EVEN and lower.is_sharp(left, reach) and upper.is_sharp(right, reach):
                return int(boundaries[number])
    return None


@dataclass(frozen=True, slots=True)
class _Line:
    """A boundary of rows of blocks in one channel: luma (0) or a colour difference."""

    pixels: NDArray[np.uint8]
    row: int
    channel: int
    steps: NDArray[np.float32]
    """(W,), how far the channel jumps over it."""

    def is_even(self) -> NDArray[np.bool_]:
        """Return whether the blocks on both sides are plain: (W,)."""
        values = self._values([-7, -4, 3, 6])  # away from what upsampled colour blurs
        return np.asarray(np.abs(values[::2] - values[1::2]).max(axis=0) < _EVEN_LEVELS)

    def is_sharp(self, columns: slice, reach: int) -> bool:
        """Return whether most of the median step is at the boundary, and little beside it.

        Args:
            columns: which are looked at.
            reach: rows before and after the boundary over which upsampling blurs it.
        """
        before, last, first, after = self._values([-3 - reach, -1 - reach, reach, 2 + reach])[:, columns]
        step = np.median(self.steps[columns])
        beside = max(abs(np.median(last - before)), abs(np.median(after - first)))
        return bool(np.median(first - last) / step >= _AT_BOUNDARY and beside <= _BESIDE * abs(step))

    def _values(self, offsets: list[int]) -> NDArray[np.float32]:
        rows = np.minimum(self.row + np.array(offsets), len(self.pixels) - 1)
        return np.asarray(_channels(self.pixels[rows].astype(np.float32))[self.channel], np.float32)


def _halves(column: int, width: int) -> tuple[slice, slice]:
    """Return the columns of a stair that is lower up to `column`: before it may come blocks of nonsense, left out."""
    return slice(max(_MIN_COLUMNS, column - _NONSENSE * width)), slice(column, None)


def _channels(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return luma and two colour differences: (..., 3) → (3, ...)."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([luma, 0.564 * (blue - luma), 0.713 * (red - luma)]).astype(np.float32)


def _candidates(steps: NDArray[np.float32], width: int) -> list[tuple[int, int]]:
    """Return the pairs of boundaries with a step along half of the columns or more: the upper one, and where it turns.

    Args:
        steps: (n, W), the jump over each boundary of a row of blocks.
        width: of a unit of blocks.
    """
    columns = np.arange(-(-_MIN_COLUMNS // width) * width, steps.shape[1] - _MIN_COLUMNS, width)
    scores, turns = zip(*(_stairs(steps, sign, columns) for sign in (1, -1)), strict=True)
    turn = np.where(scores[0] > scores[1], turns[0], turns[1])
    left = np.maximum(_MIN_COLUMNS, turn - _NONSENSE * width)
    found = half_stepped(steps, left, turn, _MIN_STEP)
    return [(int(row), int(turn[row])) for row in np.flatnonzero(found)]


def _stairs(
    steps: NDArray[np.float32], sign: int, columns: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return how well a stair, up or down, fits each pair of boundaries, and where it turns: both (n - 1,)."""
    parts = step_parts(steps, sign, _MAX_STEP, _MIN_STEP / 2, np.concatenate([[0], columns]))
    gains, turns = best_turns(parts)
    return gains + parts[:-1].sum(axis=1), columns[turns]


def _is_stair(steps: NDArray[np.float32], number: int, column: int, width: int) -> bool:
    """Return whether a step runs along line `number` + 1 up to a column and along line `number` from there on.

    Args:
        steps: (n, W), the jump over each boundary of a row of blocks.
        number: of the upper boundary.
        column: at which the step turns.
        width: of a unit of blocks.
    """
    upper, lower = steps[number], steps[number + 1]
    left, right = _halves(column, width)
    stepped = [float(np.median(lower[left])), float(np.median(upper[right]))]
    low, high = sorted(map(abs, stepped))
    if low < _MIN_STEP or high > 2 * low or stepped[0] * stepped[1] < 0:
        return False
    sign = np.sign(stepped[0])
    if min(_least_step(sign * part) for part in (lower[left], upper[right])) < _STEADY * low:
        return False
    plain = [float(np.median(upper[left])), float(np.median(lower[right]))]
    calm = min(float((np.abs(part) < low / 2).mean()) for part in (upper[left], lower[right]))
    if max(map(abs, plain)) > _MAX_PLAIN * low or calm < _CALM:
        return False
    others = np.delete(steps, [number, number + 1], axis=0)
    if not len(others):
        return False  # nothing tells what is usual in this image
    usual = max(float(np.percentile(np.abs(np.median(others[:, part], axis=1)), 90)) for part in (left, right))
    return low >= _UNUSUAL * usual


def _is_edge(luma: NDArray[np.float32], colour: NDArray[np.float32], number: int, halves: tuple[slice, slice]) -> bool:
    """Return whether luma jumps so much along a stair of a colour that it belongs to the scene.

    Where damage shifts luma as well, luma has a stair of its own.

    Args:
        luma: (n, W), as `steps` of `_is_stair`.
        colour: (n, W), the same of the colour.
        number: of the upper boundary.
        halves: the columns of the lower and of the upper half.
    """
    lines = zip((number + 1, number), halves, strict=True)
    jumps = [[abs(float(np.median(steps[line, part]))) for steps in (luma, colour)] for line, part in lines]
    return all(bright > _EDGE_IN_LUMA * tint for bright, tint in jumps)


def _least_step(steps: NDArray[np.float32]) -> float:
    """Return the least median over the segments of half a stair; steps: (columns,), 48 and more."""
    segments = np.array_split(steps, min(_SEGMENTS, len(steps) // _MIN_SEGMENT))
    return min(float(np.median(segment)) for segment in segments)
