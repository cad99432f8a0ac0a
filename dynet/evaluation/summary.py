"""Means and spreads of results: over the images of a task, and over tasks as in published tables."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dynet.evaluation.benchmark import BenchmarkTask, TaskKey
from dynet.evaluation.evaluate import EvalResult, Evaluation


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of some values.

    One infinite value makes the mean infinite, and one nan makes it nan: a mean over the rest would rank a network that
    restores an image perfectly below one that does not.
    """

    mean: float
    std: float
    """Of the values as a population: divided by their number."""
    not_finite: int
    """Number of values that are infinite or nan."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Compute the spread; bitwise independent of the order of the values."""
        not_finite = sum(not math.isfinite(value) for value in values)
        mean = _mean(values)
        std = math.nan if not_finite else math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        return cls(mean, std, not_finite)


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """The figures of one variant, or of the input, on one task."""

    task: BenchmarkTask
    variant: str
    images: int
    values: tuple[Spread, ...]
    """In the order of `Evaluation.value_names`."""
    ms: Spread | None
    peak_mb: float | None
    """The largest of any image."""


@dataclass(frozen=True, slots=True)
class TaskMean:
    """The mean over all tasks of one variant, or of the input."""

    variant: str
    values: tuple[float, ...]


def _mean(values: Sequence[float]) -> float:
    exact = all(map(math.isfinite, values))
    return (math.fsum(values) if exact else sum(values)) / len(values)  # fsum refuses inf and -inf together


def summarise(results: Iterable[EvalResult]) -> list[SummaryRow]:
    """Return a row for each task and variant, in the order of their first images."""
    groups: dict[tuple[TaskKey, str], list[EvalResult]] = {}
    for result in results:
        groups.setdefault((result.task.key, result.variant), []).append(result)
    return [_row(group) for group in groups.values()]


def _row(group: list[EvalResult]) -> SummaryRow:
    times = [result.ms for result in group if result.ms is not None]
    peaks = [result.peak_mb for result in group if result.peak_mb is not None]
    return SummaryRow(
        task=group[0].task,
        variant=group[0].variant,
        images=len(group),
        values=tuple(Spread.of(values) for values in zip(*(result.values for result in group), strict=True)),
        ms=Spread.of(times) if times else None,
        peak_mb=max(peaks) if peaks else None,
    )


def means_over_tasks(rows: Iterable[SummaryRow]) -> list[TaskMean]:
    """Return the means over tasks; each task counts once, however many images it has, and every sigma is a task."""
    groups: dict[str, list[SummaryRow]] = {}
    for row in rows:
        groups.setdefault(row.variant, []).append(row)
    return [
        TaskMean(
            variant,
            tuple(
                _mean([spread.mean for spread in spreads])
                for spreads in zip(*(row.values for row in group), strict=True)
            ),
        )
        for variant, group in groups.items()
    ]


def count_not_finite(rows: Iterable[SummaryRow], evaluation: Evaluation) -> dict[str, int]:
    """Count by metric the images and variants without a finite value; metrics without such values are left out."""
    counts = dict.fromkeys(evaluation.value_names, 0)
    for row in rows:
        for name, spread in zip(evaluation.value_names, row.values, strict=True):
            counts[name] += spread.not_finite
    return {name: count for name, count in counts.items() if count}
