"""Means and spreads of what was measured: over the pictures of a task, and over tasks as published tables have them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dynet.evaluation.benchmark import Task
from dynet.evaluation.evaluate import Evaluation, Measured


@dataclass(frozen=True, slots=True)
class Spread:
    """Of some values: mean, standard deviation (of the values as they are, divided by their number), and exceptions.

    One infinite value makes the mean infinite, and one that is no number leaves none: a mean over the rest would
    rank a network that restores a picture perfectly below one that does not.
    """

    mean: float
    std: float
    not_finite: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Independent of the order of the values, to the last bit."""
        not_finite = sum(not math.isfinite(value) for value in values)
        mean = _mean(values)
        std = math.nan if not_finite else math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        return cls(mean, std, not_finite)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant, or the input, on one task."""

    task: Task
    variant: str
    images: int
    values: tuple[Spread, ...]  # as Evaluation.value_names
    ms: Spread | None
    peak_mb: float | None  # the largest of any picture


@dataclass(frozen=True, slots=True)
class TaskMean:
    """One variant, or the input, over all tasks: the mean of their means."""

    variant: str
    values: tuple[float, ...]


def _mean(values: Sequence[float]) -> float:
    exact = all(map(math.isfinite, values))
    return (math.fsum(values) if exact else sum(values)) / len(values)  # fsum refuses inf and -inf together


def summarise(measured: Iterable[Measured]) -> list[Row]:
    """A row for each task and variant, in the order of their first pictures."""
    groups: dict[tuple[str, float | None, str], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.task.benchmark.name, one.task.sigma, one.variant), []).append(one)
    return [_row(group) for group in groups.values()]


def _row(group: list[Measured]) -> Row:
    times = [one.ms for one in group if one.ms is not None]
    peaks = [one.peak_mb for one in group if one.peak_mb is not None]
    return Row(
        task=group[0].task,
        variant=group[0].variant,
        images=len(group),
        values=tuple(Spread.of(values) for values in zip(*(one.values for one in group), strict=True)),
        ms=Spread.of(times) if times else None,
        peak_mb=max(peaks) if peaks else None,
    )


def means_over_tasks(rows: Iterable[Row]) -> list[TaskMean]:
    """Each task counts once, however many pictures it has; every sigma is a task."""
    groups: dict[str, list[Row]] = {}
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


def count_not_finite(rows: Iterable[Row], how: Evaluation) -> dict[str, int]:
    """For each thing measured the number of pictures and variants without a finite number, where there are any."""
    counts = dict.fromkeys(how.value_names, 0)
    for row in rows:
        for name, spread in zip(how.value_names, row.values, strict=True):
            counts[name] += spread.not_finite
    return {name: count for name, count in counts.items() if count}
