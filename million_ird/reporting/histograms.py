"""Histograms: an axis, its ticks, and how much of each bin was kept. All of them are counted batch by batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.reporting.formatting import number
from million_ird.reporting.number_range import NumberRange

Floats = NDArray[np.float64]

BINS = 48
LOWEST_SHARE = 1e-6
"""A logarithmic axis begins no lower than this share of its end; smaller numbers are in its first bin."""


@dataclass(frozen=True, slots=True)
class FigureAxis:
    """Maps numbers to places on an axis, from 0 (left) to 1 (right)."""

    low: float
    high: float
    log: bool
    whole: bool
    """Whether all numbers on it are whole numbers."""
    least: float
    """The smallest number to show; it is below `low` on a logarithmic axis that begins above zero."""

    @classmethod
    def over(cls, values: Floats, limits: Sequence[float] = ()) -> "FigureAxis":
        """Make an axis for numbers that are in memory; see `of`.

        Args:
            values: (n,) float64, NaN for null.
            limits: The limits to show.
        """
        numbers = NumberRange(limits)
        numbers.add(values)
        numbers.add_again(values)
        return cls.of(numbers)

    @classmethod
    def of(cls, numbers: NumberRange) -> "FigureAxis":
        """Make an axis that shows all finite numbers and has room on both sides of every limit."""
        limits = numbers.limits
        if not numbers.count and not limits:
            return cls(0.0, 1.0, False, False, 0.0)
        least, most = numbers.shown
        whole = numbers.whole and all(limit == round(limit) for limit in limits)
        if numbers.is_skewed:
            smallest = min([numbers.least_positive, *(limit for limit in limits if limit > 0)])
            low = _round_down(max(smallest, most * LOWEST_SHARE))
            return cls(low, most * 1.05, True, whole, min(least, low))
        step = max(_step(least, most), 1.0 if whole else 0.0)
        low, high = math.floor(least / step) * step, math.ceil(most / step) * step
        if low in limits and low != 0:
            low -= step
        if high in limits or high == low:
            high += step
        return cls(low, high, False, whole, low)

    def place(self, values: Floats) -> Floats:
        """Return the places of numbers, clipped to [0, 1]; NaN stays NaN."""
        if self.log:
            scaled = np.log(np.maximum(values, self.low) / self.low) / math.log(self.high / self.low)
        else:
            scaled = (values - self.low) / (self.high - self.low)
        return np.clip(scaled, 0.0, 1.0)

    def value(self, places: Floats) -> Floats:
        """Return the numbers at these places."""
        if self.log:
            return np.asarray(self.low * (self.high / self.low) ** places)
        return np.asarray(self.low + places * (self.high - self.low))

    def ticks(self) -> list[tuple[float, str]]:
        """Return places in per cent and labels of round numbers, few enough for a phone's screen."""
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
        """Return the edges of the bins, (BINS + 1,); bins of whole numbers hold equally many of them."""
        if self.whole and not self.log:
            width = max(1, math.ceil((self.high - self.low) / BINS))
            return np.arange(self.low, self.high + width, width, dtype=float)
        return self.value(np.linspace(0, 1, BINS + 1))


@dataclass(frozen=True, slots=True)
class HistogramBin:
    """One bar: heights in per cent of the tallest bar, and the text that a pointer shows."""

    left: float
    width: float
    kept: float
    rest: float
    title: str


class HistogramCounts:
    """How many kept and other values are in each bin of an axis; NaN is in none."""

    def __init__(self, axis: FigureAxis) -> None:
        self._axis = axis
        self._edges = axis.edges()
        self._counts = np.zeros((2, len(self._edges) - 1), np.int64)
        """(2, bins): of kept values, of others."""

    def add(self, values: Floats, kept: NDArray[np.bool_]) -> None:
        """Count some more values.

        Args:
            values: (n,) float64.
            kept: (n,) bool, which rows were kept.
        """
        inside = np.isfinite(values)
        last = len(self._edges) - 2
        index = np.clip(np.searchsorted(self._edges, values[inside], side="right") - 1, 0, last)
        for row, side in enumerate((True, False)):
            self._counts[row] += np.bincount(index[kept[inside] == side], minlength=last + 1)

    def bins(self) -> list[HistogramBin]:
        """Return the bars; empty bins are left out."""
        axis, edges, counts = self._axis, self._edges, self._counts
        tallest = max(1, int((counts[0] + counts[1]).max()))
        places = 100 * (np.arange(len(edges)) / (len(edges) - 1))
        if axis.whole and not axis.log:
            places = 100 * (edges - axis.low) / (axis.high - axis.low)
        bins = []
        for i, (n_kept, n_other) in enumerate(zip(counts[0].tolist(), counts[1].tolist(), strict=True)):
            if n_kept or n_other:
                first = number(axis.least if i == 0 else edges[i])
                title = f"{first} to {number(edges[i + 1])}: {n_kept:,} kept, {n_other:,} not"
                left, right = min(float(places[i]), 100.0), min(float(places[i + 1]), 100.0)
                kept_height, rest_height = (
                    round(max(1.0, 100 * n / tallest), 2) if n else 0.0 for n in (n_kept, n_other)
                )
                bins.append(HistogramBin(round(left, 3), round(right - left, 3), kept_height, rest_height, title))
        return bins


def _step(low: float, high: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that about five steps cover the range."""
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
