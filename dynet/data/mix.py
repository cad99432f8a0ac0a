"""The tasks of a run, and the sets that each draws from: every example is a function of (seed, step, index)."""

import functools
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dynet.data.image_set import CropPair, Image8, ImageSet
from dynet.data.shuffle_window import draw_row
from dynet.errors import DataError, UnusableImage
from dynet.runtime.rng import generator

logger = logging.getLogger(__name__)
DegradeFunction = Callable[[Image8, np.random.Generator], Image8]
Rows = npt.NDArray[np.int64]

MAX_HELD_OUT = 0.1
"""Of a set's pictures, for validation; of a small set one."""

MAX_ATTEMPTS = 10
"""Pictures that are drawn for one example before a set is taken to be of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """What a run learns: how clean crops are spoilt, or None where pairs are given; and how often it is drawn."""

    name: str
    weight: float
    degrade: DegradeFunction | None


class TrainingExample(NamedTuple):
    """One input and target, both (size, size, 3), and the number of their task."""

    degraded: Image8
    clean: Image8
    task: int


@dataclass(frozen=True, slots=True)
class _SplitSet:
    """A set as tasks draw from it: rows to train on, and rows of it or of its validation split that are held out."""

    pictures: ImageSet
    weight: float
    rows: Rows
    held_out: ImageSet
    held_out_rows: Rows


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(message)


class Mix:
    """Tasks by weight; within a task sets by weight; within a set any row that is not held out.

    A set of clean pictures serves every task that degrades clean pictures, a set of pairs every task of pairs, but a
    set that is for one task (`ImageSet.task`) serves no other.
    """

    def __init__(
        self,
        tasks: Sequence[TrainingTask],
        sets: Sequence[tuple[ImageSet, float]],
        *,
        seed: int,
        hold_out: int,
        exclude: Mapping[str, Set[str]],
    ) -> None:
        """Give each task its sets.

        `hold_out` pictures of each set (0: none) are kept for validation, and pictures from files of the names that
        `exclude` gives, by list, are left out; a list that leaves none out is warned of. Raises DataError for a task
        that no set serves, a set that serves no task, and a set of pairs that may be for several.
        """
        # By name: in whatever order a recipe lists them, the draw is the same.
        self.tasks = tuple(sorted(tasks, key=lambda task: task.name))
        self.seed = seed
        for pictures, _ in sets:
            _refuse_useless(pictures, tasks)
        parts = [_split(pictures, weight, hold_out, exclude) for pictures, weight in sets]
        _warn_of_idle(exclude, [pictures for pictures, _ in sets])
        self._parts = [[part for part in parts if serves(part.pictures, task)] for task in self.tasks]
        for task, mine in zip(self.tasks, self._parts, strict=True):
            if not mine:
                raise DataError(_missing(task))
        self._task_bounds = _bounds([task.weight for task in self.tasks])
        self._set_bounds = [_bounds([part.weight for part in mine]) for mine in self._parts]
        self._sets = tuple(parts)

    def fingerprint(self) -> str:
        """Changes when a set's rows, their order or its weight do; not when a folder is moved."""
        digest = hashlib.sha256()
        for part in self._sets:
            pictures = part.pictures
            digest.update(f"{part.weight} {len(pictures)} {pictures.task} ".encode())
            digest.update(pictures.identity())
            digest.update(part.rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def example(self, step: int, index: int, size: int) -> TrainingExample:
        """Example `index` of the batch of `step`: the same whoever asks, in whatever order.

        A picture that no crop can be cut from is passed over with a warning that names it, and another is drawn: weeks
        of training do not end at one of a million files. Raises UnusablePicture where ATTEMPTS in a row are so.
        """
        passed_over: list[UnusableImage] = []
        for attempt in range(MAX_ATTEMPTS):
            try:
                example = self._example(step, index, size, attempt)
            except UnusableImage as fault:
                passed_over.append(fault)
            else:
                for one in passed_over:
                    _warn_once(f"passed over: {one}")
                return example
        raise passed_over[-1]

    def _example(self, step: int, index: int, size: int, attempt: int) -> TrainingExample:
        again = (attempt,) if attempt else ()
        random = generator(self.seed, "crop", step, index, *again)
        which = _draw(self._task_bounds, random)
        part = self._parts[which][_draw(self._set_bounds[which], random)]
        row = draw_row(part.rows, part.pictures.row_spans(self.seed, step), random)
        crop = part.pictures.crop(row, size, random)
        turn = int(random.integers(8))
        turned = CropPair(None if crop.degraded is None else orient(crop.degraded, turn), orient(crop.clean, turn))
        return self._finish(which, turned, generator(self.seed, "corruption", step, index, *again))

    def validation(self, which: int, size: int) -> list[TrainingExample]:
        """The held-out examples of task number `which`, upright, the same at every call.

        Raises UnusablePicture where none of the pictures is of use.
        """
        examples: list[TrainingExample] = []
        fault: UnusableImage | None = None
        for number, part in enumerate(self._parts[which]):
            for row in part.held_out_rows:
                random = generator(self.seed, "validation", which, number, int(row))
                try:
                    crop = part.held_out.crop(int(row), size, random)
                except UnusableImage as error:
                    fault = error
                    _warn_once(f"passed over: {error}")
                    continue
                examples.append(self._finish(which, crop, random))
        if not examples and fault is not None:
            raise fault
        return examples

    def _finish(self, which: int, crop: CropPair, random: np.random.Generator) -> TrainingExample:
        degrade = self.tasks[which].degrade
        degraded = degrade(crop.clean, random) if degrade is not None else crop.degraded
        assert degraded is not None
        return TrainingExample(degraded, crop.clean, which)


def orient(picture: Image8, which: int) -> Image8:
    """One of the eight flips and quarter turns of (size, size, 3); 0 leaves the picture upright."""
    turned = np.rot90(picture, which % 4)
    return turned[:, ::-1] if which >= 4 else turned


def serves(pictures: ImageSet, task: TrainingTask) -> bool:
    """Whether a task draws from a set."""
    return pictures.paired == (task.degrade is None) and pictures.task in (None, task.name)


def _bounds(weights: Sequence[float]) -> npt.NDArray[np.float64]:
    sums = np.cumsum(weights)
    return np.asarray(sums / sums[-1], np.float64)


def _draw(bounds: npt.NDArray[np.float64], random: np.random.Generator) -> int:
    return int(np.searchsorted(bounds, random.random(), side="right"))


def _split(pictures: ImageSet, weight: float, hold_out: int, exclude: Mapping[str, Set[str]]) -> _SplitSet:
    """The rows to train on and those held out: of the set's own validation split, else whole families by their hash."""
    rows = _rows_without(pictures, exclude)
    if len(rows) == 0:
        raise DataError(f"--data {pictures.location}: all of its pictures are excluded by {', '.join(exclude)}")
    if pictures.validation is not None:
        held_out = _rows_without(pictures.validation, exclude)
        if len(held_out):
            return _SplitSet(pictures, weight, rows, pictures.validation, _spread(held_out, hold_out))
    if hold_out == 0:
        return _SplitSet(pictures, weight, rows, pictures, rows[:0])
    group_ids = pictures.group_ids()[rows]
    unlike, sizes = np.unique(group_ids, return_counts=True)
    if len(unlike) < 2:
        raise DataError(
            f"--data {pictures.location} holds one picture, or parts of one: validation holds one out, and none is left"
        )
    # As many families as hold the count: mostly a row is a family of its own.
    enough = int(np.searchsorted(np.cumsum(sizes), hold_out)) + 1
    chosen = np.isin(group_ids, unlike[: min(enough, max(1, int(len(unlike) * MAX_HELD_OUT)))])
    return _SplitSet(pictures, weight, rows[~chosen], pictures, _spread(rows[chosen], hold_out))


def _spread(rows: Rows, count: int) -> Rows:
    """At most `count` of the rows, evenly spread: neighbours are often alike."""
    return rows[np.arange(min(count, len(rows))) * len(rows) // max(1, min(count, len(rows)))]


def _rows_without(pictures: ImageSet, exclude: Mapping[str, Set[str]]) -> Rows:
    rows = np.arange(len(pictures), dtype=np.int64)
    stems = frozenset().union(*exclude.values())
    return np.setdiff1d(rows, pictures.rows_from_files(stems)) if stems else rows


def _warn_of_idle(exclude: Mapping[str, Set[str]], sets: Sequence[ImageSet]) -> None:
    splits = [split for pictures in sets for split in (pictures, pictures.validation) if split is not None]
    for name, stems in exclude.items():
        count = sum(len(split.rows_from_files(stems)) for split in splits)
        if count == 0:
            logger.warning("exclude: %s names no picture of any set", name)
        else:
            logger.info("exclude: %s leaves out %d pictures", name, count)


def _refuse_useless(pictures: ImageSet, tasks: Sequence[TrainingTask]) -> None:
    served = [task.name for task in tasks if serves(pictures, task)]
    kind = "pairs" if pictures.paired else "clean pictures"
    if not served:
        wanted = f"{kind} for task {pictures.task}" if pictures.task else kind
        known = ", ".join(f"{task.name} (of {_kind(task)})" for task in tasks)
        raise DataError(f"--data {pictures.location} holds {wanted}, but the recipe's tasks are {known}")
    if pictures.paired and len(served) > 1:
        raise DataError(
            f"--data {pictures.location} holds pairs, and does not say for which of {', '.join(served)}: "
            f"--data {served[0]}:{pictures.location} says it"
        )


def _kind(task: TrainingTask) -> str:
    return "pairs" if task.degrade is None else "clean pictures"


def _missing(task: TrainingTask) -> str:
    if task.degrade is None:
        return f"task {task.name} needs pairs: --data {task.name}:DIR_OR_REPO"
    return f"task {task.name} needs clean pictures: --data DIR_OR_REPO"
