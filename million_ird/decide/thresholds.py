"""Thresholds from examples: which gates best separate images to keep from images to drop.

Pure functions of arrays. A threshold is in the middle of the gap between the last good image that it keeps and the
first bad image that it drops, so that similar images fall on the same side.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from million_ird.config.gates import Gate

MeasureColumns = Mapping[str, NDArray[np.float64]]
"""Ledger column to (n,) numbers, one per image, NaN for null."""
MIN_GAIN = 0.01
"""Least share of all bad images that one more gate must drop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureThreshold:
    """The best gate on one column at a chosen recall, on its own."""

    gate: Gate
    good_kept: float
    """Share of the good images that it keeps: the recall."""
    bad_dropped: float
    """Share of the bad images that it drops."""
    area: float
    """Area under the ROC curve of the column, 0.5 to 1 for either direction, without nulls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointGates:
    """Several gates that are applied together."""

    gates: tuple[Gate, ...]
    good_kept: float
    """Share of the good images that all gates together keep."""
    bad_dropped: float
    """Share of the bad images that they drop."""
    precision: float
    """Share of good images among the kept ones; NaN if none is kept."""


def best_thresholds(good: MeasureColumns, bad: MeasureColumns, recall: float) -> list[MeasureThreshold]:
    """Return for each column the gate that drops most bad images and keeps `recall` of the good; best first."""
    thresholds = []
    for field in good:
        options = [(gate, *_shares(gate, good[field], bad[field])) for gate in _gates(field, good, bad, recall)]
        if options:
            gate, kept, dropped = max(options, key=lambda option: (option[2], option[1]))
            area = _area(good[field], bad[field])
            thresholds.append(MeasureThreshold(gate=gate, good_kept=kept, bad_dropped=dropped, area=area))
    return sorted(thresholds, key=lambda threshold: (-threshold.bad_dropped, -threshold.area))


def choose_gates(good: MeasureColumns, bad: MeasureColumns, recall: float) -> JointGates:
    """Choose gates greedily: each time the one that drops most of the bad images that the others keep.

    Together they keep at least `recall` of the good images, and each drops at least `MIN_GAIN` of all bad ones. Of two
    gates that drop equally many, the one that keeps more good images wins, then the first by name.
    """
    count_good, count_bad = _length(good), _length(bad)
    good_left, bad_left = np.ones(count_good, bool), np.ones(count_bad, bool)
    chosen: list[Gate] = []
    while True:
        best: tuple[tuple[int, int], Gate, NDArray[np.bool_], NDArray[np.bool_]] | None = None
        for field in sorted(good):
            for gate in _gates(field, good, bad, recall):
                keeps_good = good_left & ~_drops(gate, good[field])
                keeps_bad = bad_left & ~_drops(gate, bad[field])
                rank = (int(bad_left.sum() - keeps_bad.sum()), int(keeps_good.sum()))
                if keeps_good.sum() >= recall * count_good and (best is None or rank > best[0]):
                    best = (rank, gate, keeps_good, keeps_bad)
        if best is None or best[0][0] < max(1.0, MIN_GAIN * count_bad):
            break
        _, gate, good_left, bad_left = best
        chosen.append(gate)
    kept = int(good_left.sum() + bad_left.sum())
    return JointGates(
        gates=tuple(chosen),
        good_kept=float(good_left.mean()),
        bad_dropped=float(1 - bad_left.mean()),
        precision=float(good_left.sum() / kept) if kept else float("nan"),
    )


def _gates(field: str, good: MeasureColumns, bad: MeasureColumns, recall: float) -> Iterator[Gate]:
    """Yield gates on one column that keep `recall` of the good images: both directions, with 0, 1, 2, … lost."""
    values = np.sort(good[field][np.isfinite(good[field])])
    others = np.sort(bad[field][np.isfinite(bad[field])])
    if not len(values) or not len(others):
        return
    for lost in range(int((1 - recall) * len(values) + 1e-9) + 1):
        below = others[others < values[lost]]
        if len(below):
            yield Gate(field=field, min=_rounded_between(float(below[-1]), float(values[lost])))
        above = others[others > values[-1 - lost]]
        if len(above):
            yield Gate(field=field, max=_rounded_between(float(values[-1 - lost]), float(above[0])))


def _rounded_between(low: float, high: float) -> float:
    """Return the middle of a gap, with as few digits as keep it inside."""
    middle = (low + high) / 2
    for digits in range(2, 17):
        short = float(f"{middle:.{digits}g}")
        if low < short < high:
            return short
    return middle


def _drops(gate: Gate, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    low = values < gate.min if gate.min is not None else np.zeros(len(values), bool)
    high = values > gate.max if gate.max is not None else np.zeros(len(values), bool)
    return np.asarray(low | high)


def _shares(gate: Gate, good: NDArray[np.float64], bad: NDArray[np.float64]) -> tuple[float, float]:
    """Return the share of good values that a gate keeps and the share of bad values that it drops."""
    return float(1 - _drops(gate, good).mean()), float(_drops(gate, bad).mean())


def _area(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve by rank sums (Mann–Whitney U), 0.5 to 1."""
    positives, negatives = good[np.isfinite(good)], bad[np.isfinite(bad)]
    if not len(positives) or not len(negatives):
        return 0.5
    ranks = rankdata(np.concatenate([positives, negatives]))[: len(positives)].sum()
    area = (ranks - len(positives) * (len(positives) + 1) / 2) / (len(positives) * len(negatives))
    return float(max(area, 1 - area))


def _length(columns: MeasureColumns) -> int:
    return len(next(iter(columns.values())))
