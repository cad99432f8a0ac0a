"""Jumps over the boundaries of rows of blocks in a decoded JPEG, compiled; see `jpeg_shift.py`.

Sums are added in the order in which `np.add.reduceat` adds, and products are rounded one by one, as NumPy does.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Floats: TypeAlias = NDArray[np.float32]

_F32 = np.float32
_LANES = 8


@compiled()
def _boundary_steps(pixels: NDArray[np.uint8], boundaries: NDArray[np.int64], out: Floats) -> None:
    """Fill what `boundary_steps` returns."""
    half, three = _F32(0.5), _F32(3)
    r, g, b = _F32(0.299), _F32(0.587), _F32(0.114)
    blue, red = _F32(0.564), _F32(0.713)
    width = pixels.shape[1]
    flat = np.empty(3 * width, np.float32)
    for n in range(boundaries.shape[0]):
        y = boundaries[n]
        one, two = pixels[y - 5].reshape(3 * width), pixels[y - 2].reshape(3 * width)
        three_, four = pixels[y + 1].reshape(3 * width), pixels[y + 4].reshape(3 * width)
        for x in range(3 * width):
            jump = three * (_F32(three_[x]) - _F32(two[x])) + _F32(one[x]) - _F32(four[x])
            flat[x] = jump * half
        first, second, third = out[0, n], out[1, n], out[2, n]
        for x in range(width):
            luma = r * flat[3 * x] + g * flat[3 * x + 1] + b * flat[3 * x + 2]
            first[x] = luma
            second[x] = blue * (flat[3 * x + 2] - luma)
            third[x] = red * (flat[3 * x] - luma)


def boundary_steps(pixels: NDArray[np.uint8], boundaries: NDArray[np.int64]) -> Floats:
    """Return how far luma and two colour differences jump over each boundary, less their slope.

    Args:
        pixels: (H, W, 3).
        boundaries: (n,), rows from 5 to H - 5.

    Returns:
        (3, n, W).
    """
    out = np.empty((3, len(boundaries), pixels.shape[1]), np.float32)
    _boundary_steps(np.ascontiguousarray(pixels), boundaries, out)
    return out


@compiled()
def _sum_in_order(values: Floats) -> np.float32:
    """Return the sum of values (n,), n from 2 to 129: the first, plus the rest in eight lanes."""
    n = values.shape[0] - 1
    rest = values[1:]
    if n < _LANES:
        total = _F32(-0.0)
        for x in range(n):
            total += rest[x]
        return _F32(values[0] + total)
    a, b, c, d = rest[0], rest[1], rest[2], rest[3]
    e, f, g, h = rest[4], rest[5], rest[6], rest[7]
    whole = n - n % _LANES
    for x in range(_LANES, whole, _LANES):
        a += rest[x]
        b += rest[x + 1]
        c += rest[x + 2]
        d += rest[x + 3]
        e += rest[x + 4]
        f += rest[x + 5]
        g += rest[x + 6]
        h += rest[x + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for x in range(whole, n):
        total += rest[x]
    return _F32(values[0] + total)


@compiled()
def _step_parts(
    steps: Floats, sign: np.float32, most: np.float32, least: np.float32, starts: NDArray[np.int64], out: Floats
) -> None:
    """Fill what `step_parts` returns."""
    rows, width = steps.shape
    line = np.empty(width, np.float32)
    for y in range(rows):
        row = steps[y]
        for x in range(width):
            step = row[x] * sign
            step = -most if step < -most else step
            line[x] = (most if step > most else step) - least
        for k in range(starts.shape[0]):
            stop = starts[k + 1] if k + 1 < starts.shape[0] else width
            out[y, k] = _sum_in_order(line[starts[k] : stop])


def step_parts(steps: Floats, sign: int, most: float, least: float, starts: NDArray[np.int64]) -> Floats:
    """Return the sums of parts of each row, where each step counts as far as `most`, less `least`.

    Args:
        steps: (n, W).
        sign: 1, or -1 for steps downwards.
        most: largest size that counts.
        least: what is subtracted from each.
        starts: (parts,), the first column of each; they are 2 to 129 columns wide.

    Returns:
        (n, parts).
    """
    out = np.empty((len(steps), len(starts)), np.float32)
    _step_parts(steps, _F32(sign), _F32(most), _F32(least), starts, out)
    return out


@compiled()
def _best_turns(parts: Floats, gains: Floats, turns: NDArray[np.int64]) -> None:
    """Fill what `best_turns` returns."""
    for y in range(turns.shape[0]):
        upper, lower = parts[y], parts[y + 1]
        total = lower[0] - upper[0]
        best, at = total, 0
        for k in range(1, upper.shape[0] - 1):
            total += lower[k] - upper[k]
            if total > best:
                best, at = total, k
        gains[y], turns[y] = best, at


def best_turns(parts: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return by how much the lower of two neighbouring rows exceeds the upper one up to its best part, and which it is.

    Args:
        parts: (n, parts), two parts or more.

    Returns:
        (n - 1,) each. The best part is never the last one.
    """
    gains, turns = np.empty(len(parts) - 1, np.float32), np.empty(len(parts) - 1, np.int64)
    _best_turns(parts, gains, turns)
    return gains, turns


@compiled()
def _count(row: Floats, least: np.float32) -> int:
    """Return how many values of a row (n,) have at least this size; they are at most 2²⁴."""
    count = 0
    for x in range(row.shape[0]):
        count += 1 if np.abs(row[x]) >= least else 0
    return count


@compiled()
def _half_stepped(
    steps: Floats, left: NDArray[np.int64], turn: NDArray[np.int64], least: np.float32, out: NDArray[np.bool_]
) -> None:
    """Fill what `half_stepped` returns."""
    width = steps.shape[1]
    for k in range(out.shape[0]):
        lower, upper = steps[k + 1, : left[k]], steps[k, turn[k] :]
        out[k] = 2 * _count(lower, least) >= left[k] and 2 * _count(upper, least) >= width - turn[k]


def half_stepped(steps: Floats, left: NDArray[np.int64], turn: NDArray[np.int64], least: float) -> NDArray[np.bool_]:
    """Return for which pairs of boundaries half of a stair's columns have a step.

    Args:
        steps: (n, W).
        left: (n - 1,), the column up to which the lower boundary of a pair is looked at.
        turn: (n - 1,), the column from which on the upper one is.
        least: size of a step.

    Returns:
        (n - 1,).
    """
    out = np.empty(len(left), np.bool_)
    _half_stepped(steps, left, turn, _F32(least), out)
    return out
