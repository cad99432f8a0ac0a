"""Proposes thresholds from two folders: pictures to keep, pictures to drop."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from million_ird.candidate import Candidate, Failed, Sample
from million_ird.config.recipe import Recipe
from million_ird.decide.thresholds import Joint, Numbers, Threshold, best_thresholds, choose_gates
from million_ird.errors import OutputError, ReadError, SourceError, UsageError
from million_ird.ledger import Row, measure_fields
from million_ird.measures.nss_fit import fit_niqe
from million_ird.measures.nss_models import save_niqe
from million_ird.measures.scores import prepare
from million_ird.runtime.executor import Engine
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder
from million_ird.scan.cascade import Cascade
from million_ird.sources.files import FilesSource

PER_TASK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What two sets of pictures say about thresholds."""

    good: Numbers
    bad: Numbers
    unreadable: int
    recall: float
    thresholds: list[Threshold]
    joint: Joint

    def recipe(self) -> Recipe:
        """The joint gates as a recipe."""
        return Recipe(name="calibrated", gates=self.joint.gates)


@dataclass(frozen=True, slots=True)
class _Task:
    source: FilesSource
    candidates: tuple[Candidate, ...]
    recipe: Recipe
    models: str | None


def calibrate(
    good: Sequence[str],
    bad: Sequence[str],
    *,
    recall: float = 0.97,
    scores: Sequence[str] = (),
    models: str | None = None,
    workers: int | None = None,
    listener: Listener | None = None,
) -> Calibration:
    """Measures all pictures of both sets in full and looks for the gates that tell them apart.

    Args:
        good: folders or files of pictures to keep.
        bad: folders or files of pictures to drop.
        recall: share of the good pictures that the gates together must keep, in (0, 1].
        scores: quality scores to measure beside the measures that are always taken.
        models: folder of their parameters.
        workers: as in `build`.
        listener: is told of progress.

    Raises:
        SourceError: a set is missing, or holds no picture that can be read.
        ModelUnavailable: the parameters of a score cannot be had.
    """
    recipe = Recipe(measure_all=True, scores=tuple(scores))
    prepare(recipe.scores, models)
    tasks = {name: _tasks(roots, recipe, models) for name, roots in (("good", good), ("bad", bad))}
    if listener:
        listener.stage("measure", sum(len(t.candidates) for part in tasks.values() for t in part), "images")
    numbers: dict[str, Numbers] = {}
    unreadable = 0
    with Engine(workers) as engine:
        for name, part in tasks.items():
            rows: list[Row] = []
            for measured in engine.run(_measure, part, few=4):
                rows += measured
                if listener:
                    listener.advance(len(measured))
            readable = [row for row in rows if row.get("failure_class") is None]
            unreadable += len(rows) - len(readable)
            if not readable:
                raise SourceError(f"the {name} pictures: none of {len(rows)} files can be read")
            readable.sort(key=lambda row: str(row["key"]))
            numbers[name] = _columns(readable, recipe)
    return Calibration(
        good=numbers["good"],
        bad=numbers["bad"],
        unreadable=unreadable,
        recall=recall,
        thresholds=best_thresholds(numbers["good"], numbers["bad"], recall),
        joint=choose_gates(numbers["good"], numbers["bad"], recall),
    )


def _tasks(roots: Sequence[str], recipe: Recipe, models: str | None) -> list[_Task]:
    found = []
    for root in roots:
        source = FilesSource(label=root, root=Folder(root).url, max_bytes=recipe.limits.max_bytes)
        candidates = [candidate for unit in source.units() for candidate in source.candidates(unit)]
        found += [
            _Task(source, tuple(candidates[start : start + PER_TASK]), recipe, models)
            for start in range(0, len(candidates), PER_TASK)
        ]
    return found


def _measure(task: _Task) -> list[Row]:
    cascade = Cascade(task.recipe, task.models)
    return list(cascade.rows(task.candidates, task.source.fetch))


def _columns(rows: Sequence[Row], recipe: Recipe) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    return {
        field: np.array([np.nan if row[field] is None else row[field] for row in rows], np.float64)
        for field in measure_fields(recipe.measured)
    }


def fit_niqe_file(roots: Sequence[str], out: str) -> int:
    """Fits NIQE's pristine model to the pictures of some sources, writes it, and returns how many there were.

    Raises:
        UsageError: a source is missing, a picture cannot be read, there are too few, or `out` cannot be written.
    """
    path = Path(out)
    if path.suffix != ".npz":
        raise UsageError(f"--out {out}: must end in .npz")
    if not path.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {path.parent}")
    tasks = _tasks(roots, Recipe(), None)
    count = 0

    def pixels() -> Iterator[NDArray[np.uint8]]:
        nonlocal count
        for task in tasks:
            for candidate in task.candidates:
                encoded = task.source.fetch(candidate)
                if isinstance(encoded, Failed):
                    raise SourceError(f"{task.source.root}/{candidate.uri}: {encoded.detail}")
                count += 1
                yield Sample(encoded).pixels

    try:
        model = fit_niqe(pixels())
    except ReadError as error:
        raise SourceError(f"picture {count} of {', '.join(roots)}: {error}") from error
    save_niqe(model, path)
    return count


def draw(calibration: Calibration, out: str) -> list[str]:
    """Writes a picture of both distributions per measure, `distributions.png`, and `recipe.yaml` into `out`.

    Raises:
        OutputError: `out` holds something else.
    """
    folder = Folder(out)
    ours = {"distributions.png", "recipe.yaml"}
    strange = sorted(set(folder.names()) - ours)
    if strange:
        raise OutputError(f"{out}: holds something else ({strange[0]}, …); choose a new or empty folder")
    folder.write("distributions.png", _picture(calibration))
    folder.write("recipe.yaml", calibration.recipe().dump().encode())
    return [folder.path(name) for name in sorted(ours)]


def _picture(calibration: Calibration) -> bytes:
    from matplotlib.figure import Figure

    shown = calibration.thresholds
    columns = 3
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for number, threshold in enumerate(shown):
        gate = threshold.gate
        axes = figure.add_subplot(rows, columns, number + 1)
        pair = [
            numbers[gate.field][np.isfinite(numbers[gate.field])] for numbers in (calibration.good, calibration.bad)
        ]
        bins = np.histogram_bin_edges(np.concatenate(pair), 24).tolist()
        for values, label, colour in zip(pair, ("good", "bad"), ("#0969da", "#bc4c00"), strict=True):
            weights = np.full(len(values), 1 / max(1, len(values)))
            axes.hist(values, bins, weights=weights, label=label, color=colour, alpha=0.55)
        axes.axvline(gate.min if gate.min is not None else gate.max or 0.0, color="black", linewidth=1)
        dropped = f"drops {threshold.bad_dropped:.0%} of bad, keeps {threshold.good_kept:.0%} of good"
        axes.set_title(f"{gate.field}\n{dropped}", fontsize=9)
        axes.tick_params(labelsize=7)
        if number == 0:
            axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
