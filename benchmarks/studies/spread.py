"""Means and spreads over seeds, and the sentences that they support."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Values:
    """PSNR in dB by seed."""

    of_seed: dict[int, float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.of_seed.values())

    @property
    def std(self) -> float:
        """Sample standard deviation; 0 for a single seed."""
        return statistics.stdev(self.of_seed.values()) if len(self.of_seed) > 1 else 0.0

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}"


def values(rows: Rows, run: str, variant: str, task: str) -> Values:
    """Return the PSNR of a run by seed.

    Raises:
        KeyError: The run was not measured.
    """
    by_seed = {
        row["seed"]: row["psnr"] for row in rows if (row["run"], row["variant"], row["task"]) == (run, variant, task)
    }
    if not by_seed:
        raise KeyError(f"{run}, {variant}, {task}: not measured")
    return Values(by_seed)


def seconds_of_a_step(rows: Rows, run: str, key: str = "step_seconds", variant: str | None = None) -> float:
    """Return the least of the seeds' medians, since other work of a machine only adds to the time."""
    return min(row[key] for row in rows if row["run"] == run and variant in (None, row["variant"]))


@dataclass(frozen=True)
class Difference:
    """The difference of two runs by seed; equal seeds start with the same weights and use the same crops."""

    mean: float
    spread: float
    """The largest of three standard deviations over seeds: of either run, and of the differences."""
    same_sign: bool
    seeds: int

    @property
    def counts(self) -> bool:
        """Whether it is larger than the spread, and has the same sign for every seed of several."""
        return self.seeds > 1 and abs(self.mean) > self.spread and self.same_sign


def difference(one: Values, other: Values) -> Difference:
    """Return `one` minus `other`, over the seeds that both have."""
    seeds = sorted(one.of_seed.keys() & other.of_seed.keys())
    by_seed = [one.of_seed[seed] - other.of_seed[seed] for seed in seeds]
    std = statistics.stdev(by_seed) if len(by_seed) > 1 else 0.0
    same_sign = all(value > 0 for value in by_seed) or all(value < 0 for value in by_seed)
    return Difference(statistics.fmean(by_seed), max(one.std, other.std, std), same_sign, len(seeds))


def verdict(subject: str, result: Difference) -> str:
    """Return a sentence that the numbers support."""
    if result.seeds == 1:
        return f"{subject}: {result.mean:+.2f} dB, of one seed, which has no spread."
    if not result.counts and abs(result.mean) > result.spread:
        spread = f"(spread {result.spread:.2f})"
        return f"{subject}: {result.mean:+.2f} dB, but not of one sign at all {result.seeds} seeds {spread}."
    if not result.counts:
        shown = f"{result.mean:+.2f} against {result.spread:.2f} dB"
        return f"{subject}: no difference larger than the spread between seeds ({shown})."
    return f"{subject}: {result.mean:+.2f} dB at all {result.seeds} seeds (spread {result.spread:.2f})."


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *lines])


def chart(file: Path, title: str, bars: dict[str, dict[str, Values]], baseline: str) -> None:
    """Draw a dot for each seed and run, in dB above the mean of `baseline`; one panel for each of `bars`."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = title  # equal numbers give an equal file
    from matplotlib import pyplot

    names = [*dict.fromkeys(name for of_run in bars.values() for name in of_run)]  # not every panel has each run
    size = (2 + 2.6 * len(bars), 0.8 + 0.32 * len(names))
    figure, panels = pyplot.subplots(1, len(bars), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, (title_of_panel, of_run) in zip(panels[0], bars.items(), strict=True):
        zero = of_run[baseline].mean
        for name, reached in of_run.items():
            row = len(names) - 1 - names.index(name)
            points = [value - zero for value in reached.of_seed.values()]
            axes.plot(points, [row] * len(points), "o", color="#30638e", alpha=0.6, markersize=5)
            axes.plot([reached.mean - zero] * 2, [row - 0.3, row + 0.3], color="#d1495b", linewidth=2)
        axes.set_yticks(range(len(names)), [*reversed(names)])
        axes.axvline(0, color="#999999", linewidth=0.8)
        axes.set_title(title_of_panel, fontsize=9)
        axes.set_xlabel(f"dB against “{baseline}”", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
