"""From the numbers of pictures to keep and pictures to drop: which threshold on which measure tells them apart.

Pure functions of arrays. A threshold lies in the middle of the gap between the last good picture that it keeps and the
first bad one that it drops, so that pictures like these, but not these, fall on the same side.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from million_ird.config.gates import Gate

Numbers = Mapping[str, NDArray[np.float64]]
"""Field to one number per picture, NaN for null."""
LEAST_GAIN = 0.01
"""Share of all bad pictures that one more gate must drop to be worth having."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One measure's best gate at a chosen recall, judged alone."""

    gate: Gate
    good_kept: float
    """Share of the good pictures that it keeps: the recall."""
    bad_dropped: float
    """Share of the bad pictures that it drops."""
    area: float
    """Area under the ROC curve of the measure, 0.5 to 1, whatever its direction; nulls left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Several gates together."""

    gates: tuple[Gate, ...]
    good_kept: float
    bad_dropped: float
    precision: float
    """Share of good pictures among those that are kept; NaN when nothing is."""


def best_thresholds(good: Numbers, bad: Numbers, recall: float) -> list[Threshold]:
    """For each field the side and limit that drop most bad pictures and keep `recall` of the good; best first."""
    found = []
    for field in good:
        options = [(gate, *_shares(gate, good[field], bad[field])) for gate in _gates(field, good, bad, recall)]
        if options:
            gate, kept, dropped = max(options, key=lambda option: (option[2], option[1]))
            area = _area(good[field], bad[field])
            found.append(Threshold(gate=gate, good_kept=kept, bad_dropped=dropped, area=area))
    return sorted(found, key=lambda threshold: (-threshold.bad_dropped, -threshold.area))


def choose_gates(good: Numbers, bad: Numbers, recall: float) -> Joint:
    """Adds gates one by one, each time the one that drops most of the bad pictures that are left.

    Together they keep at least `recall` of the good pictures; a gate must drop at least `LEAST_GAIN` of all bad ones.
    Of two that drop as many, the one that costs fewer good pictures wins, then the first by name.
    """
    goods, bads = _length(good), _length(bad)
    left_good, left_bad = np.ones(goods, bool), np.ones(bads, bool)
    chosen: list[Gate] = []
    while True:
        most = recall * goods
        best: tuple[tuple[int, int], Gate, NDArray[np.bool_], NDArray[np.bool_]] | None = None
        for field in sorted(good):
            for gate in _gates(field, good, bad, recall):
                keeps_good = left_good & ~_drops(gate, good[field])
                keeps_bad = left_bad & ~_drops(gate, bad[field])
                rank = (int(left_bad.sum() - keeps_bad.sum()), int(keeps_good.sum()))
                if keeps_good.sum() >= most and (best is None or rank > best[0]):
                    best = (rank, gate, keeps_good, keeps_bad)
        if best is None or best[0][0] < max(1.0, LEAST_GAIN * bads):
            break
        _, gate, left_good, left_bad = best
        chosen.append(gate)
    kept = int(left_good.sum() + left_bad.sum())
    return Joint(
        gates=tuple(chosen),
        good_kept=float(left_good.mean()),
        bad_dropped=float(1 - left_bad.mean()),
        precision=float(left_good.sum() / kept) if kept else float("nan"),
    )


def _gates(field: str, good: Numbers, bad: Numbers, recall: float) -> Iterator[Gate]:
    """Gates on one field that keep `recall` of the good pictures: for each number of losses, both sides."""
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
    """The middle of a gap, with no more digits than it takes to stay inside."""
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
    return float(1 - _drops(gate, good).mean()), float(_drops(gate, bad).mean())


def _area(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    one, two = good[np.isfinite(good)], bad[np.isfinite(bad)]
    if not len(one) or not len(two):
        return 0.5
    ranks = rankdata(np.concatenate([one, two]))[: len(one)].sum()
    area = (ranks - len(one) * (len(one) + 1) / 2) / (len(one) * len(two))
    return float(max(area, 1 - area))


def _length(numbers: Numbers) -> int:
    return len(next(iter(numbers.values())))
