"""Axes and bins on plain arrays."""

import re

import numpy as np
import pytest

from million_ird.reporting.histograms import FigureAxis, HistogramBin, HistogramCounts

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([0.0, 0.2, 0.9], [0.35]),
        ([1.0, 40.0, 5000.0, 20.0, 30.0], [1024.0]),
        ([0.0] * 50 + [0.001, 0.002, 0.9], [0.5]),
        ([73.0, 80.0, 100.0], [40.0]),
        ([5.0], []),
        ([0.0], [0.0]),
        ([], [3.0]),
        ([], []),
        ([-20.0, 35.5], [20.0]),
        ([1e-9, 3e12], []),
    ],
)
def test_an_axis_shows_every_number_and_limit(values: list[float], limits: list[float]) -> None:
    axis = FigureAxis.over(np.array([*values, NAN]), limits)
    assert axis.low < axis.high
    assert all(axis.least <= value <= axis.high for value in [*values, *limits])
    places = [place for place, _ in axis.ticks()]
    assert places == sorted(set(places))
    assert 2 <= len(places) <= 9
    back = axis.value(axis.place(np.array(limits)))
    np.testing.assert_allclose(back, np.maximum(limits, axis.low) if limits else [])


def count(values: np.ndarray, kept: np.ndarray, axis: FigureAxis) -> list[HistogramBin]:
    """The bars of some values, counted in three parts."""
    counts = HistogramCounts(axis)
    for own, good in zip(np.array_split(values, 3), np.array_split(kept, 3), strict=True):
        counts.add(own, good)
    return counts.bins()


@pytest.mark.parametrize("whole", [False, True])
def test_a_histogram_counts_every_number_once(whole: bool) -> None:
    draw = np.random.default_rng(1)
    values = draw.uniform(40, 100, 1000)
    values = np.rint(values) if whole else values
    values[:100] = NAN
    kept = draw.random(1000) < 0.5
    bins = count(values, kept, FigureAxis.over(values))
    counts = [tuple(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:kept|not)", bin.title)) for bin in bins]
    assert sum(good for good, _ in counts) == int(kept[100:].sum())
    assert sum(other for _, other in counts) == int((~kept[100:]).sum())
    assert max(bin.kept + bin.rest for bin in bins) == pytest.approx(100, abs=2)
    assert all(bin.left + bin.width <= 100.01 and bin.width > 0 for bin in bins)


def test_a_histogram_without_numbers_has_no_bins() -> None:
    assert count(np.array([NAN]), np.array([True]), FigureAxis.over(np.array([NAN]))) == []
