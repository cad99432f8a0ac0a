"""Numbers to histograms: an axis, its ticks, and how much of each bin was kept. Pure functions of arrays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.reporting.formatting import number

Floats = NDArray[np.float64]

BINS = 48
SKEWED = 50
"""An axis is logarithmic where the largest number is so many times the median of those above zero."""
DEEPEST = 1e-6
"""A logarithmic axis begins no lower than this share of its end; all below lies in its first bin."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps numbers to places from 0 (left) to 1 (right)."""

    low: float
    high: float
    log: bool
    whole: bool
    """Whether only whole numbers lie on it."""
    least: float
    """The smallest number that it has to show; under `low` on a logarithmic axis that begins above zero."""

    @classmethod
    def over(cls, values: Floats, limits: Sequence[float] = ()) -> "Axis":
        """An axis that shows all finite `values` and has room on both sides of every limit.

        values: (n,) float64, NaN for null.
        """
        found = values[np.isfinite(values)]
        if not found.size and not limits:
            return cls(0.0, 1.0, False, False, 0.0)
        least, most = _hull(found, limits)
        above = found[found > 0]
        whole = bool(np.all(found == np.rint(found))) and all(limit == round(limit) for limit in limits)
        if least >= 0 and above.size and most > SKEWED * float(np.median(above)):
            smallest = min([float(above.min()), *(limit for limit in limits if limit > 0)])
            low = _round_down(max(smallest, most * DEEPEST))
            return cls(low, most * 1.05, True, whole, min(least, low))
        step = max(_step(least, most), 1.0 if whole else 0.0)
        low, high = math.floor(least / step) * step, math.ceil(most / step) * step
        if low in limits and low != 0:
            low -= step
        if high in limits or high == low:
            high += step
        return cls(low, high, False, whole, low)

    def place(self, values: Floats) -> Floats:
        """Where numbers lie, cut to [0, 1]; NaN stays."""
        if self.log:
            scaled = np.log(np.maximum(values, self.low) / self.low) / math.log(self.high / self.low)
        else:
            scaled = (values - self.low) / (self.high - self.low)
        return np.clip(scaled, 0.0, 1.0)

    def value(self, places: Floats) -> Floats:
        """The numbers at these places."""
        if self.log:
            return np.asarray(self.low * (self.high / self.low) ** places)
        return np.asarray(self.low + places * (self.high - self.low))

    def ticks(self) -> list[tuple[float, str]]:
        """Places in per cent and labels of round numbers, few enough for a phone."""
        if self.log:
            marks = _log_marks(self.low, self.high)
        else:
            step = _step(self.low, self.high)
            first = math.ceil(self.low / step - 1e-9)
            marks = [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]
        places = self.place(np.array(marks, float))
        ticks = [(round(100 * float(p), 2), number(m)) for p, m in zip(places, marks, strict=True)]
        if self.log and self.least < self.low:
            ticks = [(0.0, number(float(f"{self.least:.1g}"))), *(tick for tick in ticks if tick[0] > 16)]
        return ticks

    def edges(self) -> Floats:
        """Borders of the bins, (BINS + 1,); whole numbers fall into bins of equally many of them."""
        if self.whole and not self.log:
            width = max(1, math.ceil((self.high - self.low) / BINS))
            return np.arange(self.low, self.high + width, width, dtype=float)
        return self.value(np.linspace(0, 1, BINS + 1))


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar: heights in per cent of the tallest, and what it says when it is pointed at."""

    left: float
    width: float
    kept: float
    rest: float
    title: str


def histogram(values: Floats, kept: NDArray[np.bool_], axis: Axis) -> list[Bin]:
    """Counts kept and other values per bin; empty bins are left out.

    values, kept: (n,); a NaN is in no bin.
    """
    edges = axis.edges()
    inside = np.isfinite(values)
    index = np.clip(np.searchsorted(edges, values[inside], side="right") - 1, 0, len(edges) - 2)
    counts = [np.bincount(index[kept[inside] == side], minlength=len(edges) - 1) for side in (True, False)]
    tallest = max(1, int((counts[0] + counts[1]).max()))
    places = 100 * (np.arange(len(edges)) / (len(edges) - 1))
    if axis.whole and not axis.log:
        places = 100 * (edges - axis.low) / (axis.high - axis.low)
    bins = []
    for i, (good, other) in enumerate(zip(counts[0].tolist(), counts[1].tolist(), strict=True)):
        if good or other:
            first = number(axis.least if i == 0 else edges[i])
            title = f"{first} to {number(edges[i + 1])}: {good:,} kept, {other:,} not"
            left, right = min(float(places[i]), 100.0), min(float(places[i + 1]), 100.0)
            tall = [max(1.0, 100 * n / tallest) if n else 0.0 for n in (good, other)]
            bins.append(Bin(round(left, 3), round(right - left, 3), round(tall[0], 2), round(tall[1], 2), title))
    return bins


def _hull(found: Floats, limits: Sequence[float]) -> tuple[float, float]:
    numbers = [*limits, *([float(found.min()), float(found.max())] if found.size else [])]
    return min(numbers), max(numbers)


def _step(low: float, high: float) -> float:
    """1, 2 or 5 times a power of ten, so that some five steps span the range."""
    rough = (high - low or abs(high) or 1.0) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def _round_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return math.floor(value / power * (1 + 1e-12)) * power


def _log_marks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 3 else (1,)
    marks = [m * 10.0**p for p in powers for m in steps if low * 0.999 <= m * 10.0**p <= high]
    return marks[:: max(1, math.ceil(len(marks) / 7))]
