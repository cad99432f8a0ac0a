"""Means and spreads over seeds, and the words that they allow."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Values:
    """PSNR in dB, one for each seed."""

    of_seed: dict[int, float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.of_seed.values())

    @property
    def std(self) -> float:
        """Of a sample; 0 of a single seed."""
        return statistics.stdev(self.of_seed.values()) if len(self.of_seed) > 1 else 0.0

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}"


def values(rows: Rows, run: str, variant: str, task: str) -> Values:
    """What a run of this name reached, by seed; KeyError if it was not measured."""
    found = {
        row["seed"]: row["psnr"] for row in rows if (row["run"], row["variant"], row["task"]) == (run, variant, task)
    }
    if not found:
        raise KeyError(f"{run}, {variant}, {task}: not measured")
    return Values(found)


def seconds_of_a_step(rows: Rows, run: str, key: str = "step_seconds", variant: str | None = None) -> float:
    """The least of the seeds' medians: what else a machine does, and a slower machine, only add to it."""
    return min(row[key] for row in rows if row["run"] == run and variant in (None, row["variant"]))


@dataclass(frozen=True)
class Difference:
    """Of two runs, seed by seed: the same seed begins with the same weights and sees the same crops."""

    mean: float
    spread: float
    """The larger of the two standard deviations over seeds, or that of the differences: whichever is largest."""
    same_sign: bool
    seeds: int

    @property
    def counts(self) -> bool:
        """Larger than the spread between seeds, and of the same sign at every seed, of which there are several."""
        return self.seeds > 1 and abs(self.mean) > self.spread and self.same_sign


def difference(one: Values, other: Values) -> Difference:
    """`one` less `other`, over the seeds that both have."""
    seeds = sorted(one.of_seed.keys() & other.of_seed.keys())
    by_seed = [one.of_seed[seed] - other.of_seed[seed] for seed in seeds]
    std = statistics.stdev(by_seed) if len(by_seed) > 1 else 0.0
    same_sign = all(value > 0 for value in by_seed) or all(value < 0 for value in by_seed)
    return Difference(statistics.fmean(by_seed), max(one.std, other.std, std), same_sign, len(seeds))


def verdict(what: str, found: Difference) -> str:
    """A sentence that the numbers carry."""
    if found.seeds == 1:
        return f"{what}: {found.mean:+.2f} dB, of one seed, which has no spread."
    if not found.counts and abs(found.mean) > found.spread:
        return (
            f"{what}: {found.mean:+.2f} dB, but not of one sign at all {found.seeds} seeds (spread {found.spread:.2f})."
        )
    if not found.counts:
        shown = f"{found.mean:+.2f} against {found.spread:.2f} dB"
        return f"{what}: no difference larger than the spread between seeds ({shown})."
    return f"{what}: {found.mean:+.2f} dB at all {found.seeds} seeds (spread {found.spread:.2f})."


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *lines])


def chart(file: Path, title: str, bars: dict[str, dict[str, Values]], baseline: str) -> None:
    """A dot for each seed and run, in dB above the mean of `baseline`; one panel for each of `bars`."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = title  # the same numbers are the same file
    from matplotlib import pyplot

    names = [*dict.fromkeys(name for of_run in bars.values() for name in of_run)]  # not every panel has each of them
    size = (2 + 2.6 * len(bars), 0.8 + 0.32 * len(names))
    figure, panels = pyplot.subplots(1, len(bars), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, (title_of_panel, of_run) in zip(panels[0], bars.items(), strict=True):
        zero = of_run[baseline].mean
        for name, reached in of_run.items():
            place = len(names) - 1 - names.index(name)
            points = [value - zero for value in reached.of_seed.values()]
            axes.plot(points, [place] * len(points), "o", color="#30638e", alpha=0.6, markersize=5)
            axes.plot([reached.mean - zero] * 2, [place - 0.3, place + 0.3], color="#d1495b", linewidth=2)
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
