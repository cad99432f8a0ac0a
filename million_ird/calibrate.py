"""Thresholds from two folders of examples: images to keep and images to drop."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from million_ird.candidate import Candidate, Failed
from million_ird.config.recipe import Recipe
from million_ird.config.user_measures import UserMeasure
from million_ird.decide.thresholds import JointGates, MeasureColumns, MeasureThreshold, best_thresholds, choose_gates
from million_ird.errors import OutputError, ReadError, SourceError, UsageError
from million_ird.images.encoded_image import EncodedImage
from million_ird.ledger import Row
from million_ird.measures.nss_fit import fit_niqe
from million_ird.measures.nss_models import save_niqe
from million_ird.measures.scores import prepare
from million_ird.runtime.executor import Executor
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder
from million_ird.scan.cascade import Cascade
from million_ird.schema import measure_fields
from million_ird.sources.files import FilesSource
from million_ird.sources.registry import image_path

IMAGES_PER_TASK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The numbers of two sets of images and the thresholds that separate them."""

    good: MeasureColumns
    """Numbers of the images to keep."""
    bad: MeasureColumns
    """Numbers of the images to drop."""
    unreadable: int
    """Files that could not be read."""
    recall: float
    """Share of the good images that was to be kept."""
    thresholds: list[MeasureThreshold]
    """The best gate of each column on its own."""
    joint: JointGates
    """The gates that work best together."""

    def recipe(self) -> Recipe:
        """Return the joint gates as a recipe."""
        return Recipe(name="calibrated", gates=self.joint.gates)


@dataclass(frozen=True, slots=True)
class _CalibrationTask:
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
    measures: Sequence[UserMeasure] = (),
    models: str | None = None,
    workers: int | None = None,
    listener: Listener | None = None,
) -> Calibration:
    """Measure all images of both sets completely, and choose the gates that separate them.

    Args:
        good: Folders or files of images to keep.
        bad: Folders or files of images to drop.
        recall: Share of the good images that the gates together must keep, in (0, 1].
        scores: Quality scores to measure beside the built-in measures.
        measures: Measures of your own modules, likewise.
        models: Folder of score parameters.
        workers: Number of worker processes, as in `build`.
        listener: Receives progress.

    Raises:
        SourceError: A set is missing, is no folder or file of images, or contains no readable image.
        ModelUnavailable: The parameters of a score are missing.
    """
    recipe = Recipe(measure_all=True, scores=tuple(scores), measures=tuple(measures))
    prepare(recipe, models)
    tasks = {name: _tasks(roots, recipe, models) for name, roots in (("good", good), ("bad", bad))}
    _check_disjoint(tasks["good"], tasks["bad"])
    if listener:
        listener.stage("measure", sum(len(task.candidates) for of_set in tasks.values() for task in of_set), "images")
    numbers: dict[str, MeasureColumns] = {}
    unreadable = 0
    with Executor(workers) as executor:
        for name, of_set in tasks.items():
            rows: list[Row] = []
            for batch in executor.run(_measure, of_set, inline_below=4):
                rows += batch
                if listener:
                    listener.advance(len(batch))
            readable = [row for row in rows if row.get("failure_class") is None]
            unreadable += len(rows) - len(readable)
            if not readable:
                raise SourceError(f"the {name} images: no readable file among {len(rows)}")
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


def _tasks(roots: Sequence[str], recipe: Recipe, models: str | None) -> list[_CalibrationTask]:
    tasks = []
    for root in map(image_path, roots):
        source = FilesSource(root, Folder(root).url, recipe.limits.max_bytes, follow_links=True)  # nothing is published
        candidates = [candidate for chunk in source.chunks() for candidate in source.candidates(chunk)]
        tasks += [
            _CalibrationTask(source, tuple(candidates[start : start + IMAGES_PER_TASK]), recipe, models)
            for start in range(0, len(candidates), IMAGES_PER_TASK)
        ]
    return tasks


def _check_disjoint(good: Sequence[_CalibrationTask], bad: Sequence[_CalibrationTask]) -> None:
    """Check that no image is on both sides, under one name or two: it would be evidence for and against each gate.

    Raises:
        UsageError: One is.
    """
    seen = dict(_contents(good))
    for digest, name in _contents(bad):
        if digest in seen:
            raise UsageError(f"{name} (--bad) is the same image as {seen[digest]} (--good): name it on one side only")


def _contents(tasks: Sequence[_CalibrationTask]) -> Iterator[tuple[bytes, str]]:
    """Yield the hash and the name of each file that can be read."""
    for task in tasks:
        for candidate in task.candidates:
            encoded = task.source.fetch(candidate)
            if not isinstance(encoded, Failed) and encoded:
                yield hashlib.sha256(encoded).digest(), f"{task.source.root}/{candidate.uri}"


def _measure(task: _CalibrationTask) -> list[Row]:
    cascade = Cascade(task.recipe, task.models)
    return list(cascade.rows(task.candidates, task.source.fetch))


def _columns(rows: Sequence[Row], recipe: Recipe) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    return {
        field: np.array([np.nan if row[field] is None else row[field] for row in rows], np.float64)
        for field in measure_fields(recipe.ledger_entries)
    }


def fit_niqe_file(roots: Sequence[str], out: str) -> int:
    """Fit NIQE's pristine model to images, and write it.

    Args:
        roots: Folders or files of pristine photographs.
        out: The file to write, `*.npz`.

    Returns:
        The number of images.

    Raises:
        UsageError: A source is missing, an image cannot be read, there are too few, or `out` cannot be written.
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
                yield EncodedImage(encoded).pixels

    try:
        model = fit_niqe(pixels())
    except ReadError as error:
        raise SourceError(f"image {count} of {', '.join(roots)}: {error}") from error
    save_niqe(model, path)
    return count


def write_calibration(calibration: Calibration, out: str) -> list[str]:
    """Write a chart of both distributions per column, `distributions.png`, and `recipe.yaml` into the folder `out`.

    Returns:
        The paths of both files.

    Raises:
        OutputError: `out` contains other files.
    """
    folder = Folder(out)
    written = {"distributions.png", "recipe.yaml"}
    others = sorted(set(folder.names()) - written)
    if others:
        raise OutputError(f"{out}: contains other files ({others[0]}, …); choose a new or empty folder")
    folder.write("distributions.png", _chart(calibration))
    folder.write("recipe.yaml", calibration.recipe().dump().encode())
    return [folder.path(name) for name in sorted(written)]


def _chart(calibration: Calibration) -> bytes:
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
