"""The tasks of a run and their datasets: every example is a function of (seed, step, index)."""

import functools
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
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
"""The largest share of a set's groups that is held out for validation, but at least one group."""

MAX_ATTEMPTS = 10
"""Unusable images in a row, for one example, after which training stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """One task: its weight in the draw, and how it degrades clean crops; `degrade` is None for a task of pairs."""

    name: str
    weight: float
    degrade: DegradeFunction | None


class TrainingExample(NamedTuple):
    """One input and target, both (size, size, 3), and the index of their task."""

    degraded: Image8
    clean: Image8
    task: int


@dataclass(frozen=True, slots=True)
class _SplitSet:
    """A set split into rows to train on and held-out rows, which may be of the set's own validation split."""

    images: ImageSet
    weight: float
    rows: Rows
    held_out: ImageSet
    held_out_rows: Rows


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(message)


class Mix:
    """A draw of a task by weight, then of one of its sets by weight, then of a row that is not held out.

    A set of clean images serves every task that degrades clean images, and a set of pairs every task of pairs. A set
    for one task (`ImageSet.task`) serves no other task.
    """

    def __init__(
        self,
        tasks: Sequence[TrainingTask],
        sets: Sequence[tuple[ImageSet, float]],
        *,
        seed: int,
        hold_out: int,
        exclude: Mapping[str, Set[str]],
        grid_share: float = 0.0,
    ) -> None:
        """Assign the sets to the tasks.

        Args:
            tasks: The tasks, in any order.
            sets: The datasets and their weights.
            seed: The seed of the run.
            hold_out: Images of each set to hold out for validation; 0 holds out none.
            exclude: Lists of file names, by list. Images from such files are not used; a list that matches no image
                causes a warning.
            grid_share: The share of crops that begin at multiples of 8 pixels; see `draw_crop_position`.

        Raises:
            DataError: No set serves one of the tasks, a set serves no task, or a set of pairs could serve several.
        """
        # Sorted by name, so that the draw does not depend on the order in the recipe.
        self.tasks = tuple(sorted(tasks, key=lambda task: task.name))
        self.seed = seed
        self._grid_share = grid_share
        for images, _ in sets:
            _check_usable(images, tasks)
        splits = [_split(images, weight, hold_out, exclude) for images, weight in sets]
        _log_exclusions(exclude, [images for images, _ in sets])
        self._sets_of_task = [[split for split in splits if serves(split.images, task)] for task in self.tasks]
        for task, of_task in zip(self.tasks, self._sets_of_task, strict=True):
            if not of_task:
                raise DataError(_missing_data(task))
        self._task_bounds = _bounds([task.weight for task in self.tasks])
        self._set_bounds = [_bounds([split.weight for split in of_task]) for of_task in self._sets_of_task]
        self._sets = tuple(splits)

    def fingerprint(self) -> str:
        """Return a hash that changes with the rows of a set, their order or its weight, but not with its folder."""
        digest = hashlib.sha256()
        for split in self._sets:
            images = split.images
            digest.update(f"{split.weight} {len(images)} {images.task} ".encode())
            digest.update(images.identity())
            digest.update(split.rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def example(self, step: int, index: int, size: int) -> TrainingExample:
        """Return example `index` of the batch of `step`: the same in any process and order.

        An image that gives no crop is skipped with a warning that names it, and another one is drawn, so that one
        damaged file in a million does not end weeks of training.

        Args:
            step: The step of the run.
            index: The position in its batch.
            size: The side of the crop in pixels.

        Raises:
            UnusableImage: MAX_ATTEMPTS images in a row gave no crop.
        """
        skipped: list[UnusableImage] = []
        for attempt in range(MAX_ATTEMPTS):
            try:
                example = self._example(step, index, size, attempt)
            except UnusableImage as error:
                skipped.append(error)
            else:
                for earlier in skipped:
                    _warn_once(f"skipped: {earlier}")
                return example
        raise skipped[-1]

    def _example(self, step: int, index: int, size: int, attempt: int) -> TrainingExample:
        retry = (attempt,) if attempt else ()
        random = generator(self.seed, "crop", step, index, *retry)
        task = _draw(self._task_bounds, random)
        split = self._sets_of_task[task][_draw(self._set_bounds[task], random)]
        row = draw_row(split.rows, split.images.row_spans(self.seed, step), random)
        crop = split.images.crop(row, size, random, self._grid_share)
        number = int(random.integers(8))
        degraded = None if crop.degraded is None else orient(crop.degraded, number)
        oriented = CropPair(degraded, orient(crop.clean, number))
        return self._degrade(task, oriented, generator(self.seed, "corruption", step, index, *retry))

    def validation(self, task: int, size: int) -> list[TrainingExample]:
        """Return the held-out examples of a task, upright, the same at every call.

        Args:
            task: The index of the task in `tasks`.
            size: The side of the crops in pixels.

        Raises:
            UnusableImage: No image gives a crop.
        """
        crops = self._held_out_crops(self._sets_of_task[task], size, "validation", task)
        return [self._degrade(task, crop, random) for crop, random in crops]

    def clean_crops(self, size: int) -> list[Image8]:
        """Return held-out clean crops of all sets, of pairs the clean side; upright, the same at every call.

        Args:
            size: The side of the crops in pixels.

        Raises:
            UnusableImage: No image gives a crop.
        """
        return [crop.clean for crop, _ in self._held_out_crops(self._sets, size, "validation of clean images")]

    def _held_out_crops(
        self, splits: Sequence[_SplitSet], size: int, stream: str, *counters: int
    ) -> Iterator[tuple[CropPair, np.random.Generator]]:
        """Yield a crop of each held-out row, and the generator of this stream that chose it."""
        has_crop = False
        last_error: UnusableImage | None = None
        for number, split in enumerate(splits):
            for row in split.held_out_rows:
                random = generator(self.seed, stream, *counters, number, int(row))
                try:
                    crop = split.held_out.crop(int(row), size, random, self._grid_share)
                except UnusableImage as error:
                    last_error = error
                    _warn_once(f"skipped: {error}")
                    continue
                has_crop = True
                yield crop, random
        if not has_crop and last_error is not None:
            raise last_error

    def _degrade(self, task: int, crop: CropPair, random: np.random.Generator) -> TrainingExample:
        degrade = self.tasks[task].degrade
        degraded = degrade(crop.clean, random) if degrade is not None else crop.degraded
        assert degraded is not None
        return TrainingExample(degraded, crop.clean, task)


def orient(image: Image8, number: int) -> Image8:
    """Return one of the eight orientations of an image (size, size, 3): flips and quarter turns; 0 is upright."""
    turned = np.rot90(image, number % 4)
    return turned[:, ::-1] if number >= 4 else turned


def serves(images: ImageSet, task: TrainingTask) -> bool:
    """Return whether a task draws from a set."""
    return images.paired == (task.degrade is None) and images.task in (None, task.name)


def _bounds(weights: Sequence[float]) -> npt.NDArray[np.float64]:
    sums = np.cumsum(weights)
    return np.asarray(sums / sums[-1], np.float64)


def _draw(bounds: npt.NDArray[np.float64], random: np.random.Generator) -> int:
    return int(np.searchsorted(bounds, random.random(), side="right"))


def _split(images: ImageSet, weight: float, hold_out: int, exclude: Mapping[str, Set[str]]) -> _SplitSet:
    """Choose held-out rows: from the set's own validation split, else whole groups by their number."""
    rows = _rows_without(images, exclude)
    if len(rows) == 0:
        raise DataError(f"--data {images.location}: all of its images are excluded by {', '.join(exclude)}")
    if images.validation is not None:
        held_out = _rows_without(images.validation, exclude)
        if len(held_out):
            return _SplitSet(images, weight, rows, images.validation, _spread(held_out, hold_out))
    if hold_out == 0:
        return _SplitSet(images, weight, rows, images, rows[:0])
    group_ids = images.group_ids()[rows]
    groups, sizes = np.unique(group_ids, return_counts=True)
    if len(groups) < 2:
        raise DataError(
            f"--data {images.location} holds one image, or crops of one: validation holds it out, and none is left"
        )
    # As many groups as have `hold_out` rows; often each row is its own group.
    enough = int(np.searchsorted(np.cumsum(sizes), hold_out)) + 1
    chosen = np.isin(group_ids, groups[: min(enough, max(1, int(len(groups) * MAX_HELD_OUT)))])
    return _SplitSet(images, weight, rows[~chosen], images, _spread(rows[chosen], hold_out))


def _spread(rows: Rows, count: int) -> Rows:
    """Return at most `count` of the rows, evenly spread, since neighbours are often similar."""
    return rows[np.arange(min(count, len(rows))) * len(rows) // max(1, min(count, len(rows)))]


def _rows_without(images: ImageSet, exclude: Mapping[str, Set[str]]) -> Rows:
    rows = np.arange(len(images), dtype=np.int64)
    stems = frozenset().union(*exclude.values())
    return np.setdiff1d(rows, images.rows_from_files(stems)) if stems else rows


def _log_exclusions(exclude: Mapping[str, Set[str]], sets: Sequence[ImageSet]) -> None:
    splits = [split for images in sets for split in (images, images.validation) if split is not None]
    for name, stems in exclude.items():
        count = sum(len(split.rows_from_files(stems)) for split in splits)
        if count == 0:
            logger.warning("exclude: %s matches no image of any dataset", name)
        else:
            logger.info("exclude: %s excludes %d image%s", name, count, "" if count == 1 else "s")


def _check_usable(images: ImageSet, tasks: Sequence[TrainingTask]) -> None:
    served = [task.name for task in tasks if serves(images, task)]
    kind = "pairs" if images.paired else "clean images"
    if not served:
        content = f"{kind} for task {images.task}" if images.task else kind
        known = ", ".join(f"{task.name} (of {_kind(task)})" for task in tasks)
        raise DataError(f"--data {images.location} holds {content}, but the recipe's tasks are {known}")
    if images.paired and len(served) > 1:
        raise DataError(
            f"--data {images.location} holds pairs, and does not say for which of {', '.join(served)}: "
            f"--data {served[0]}:{images.location} says it"
        )


def _kind(task: TrainingTask) -> str:
    return "pairs" if task.degrade is None else "clean images"


def _missing_data(task: TrainingTask) -> str:
    if task.degrade is None:
        return f"task {task.name} needs pairs: --data {task.name}:DIR_OR_REPO"
    return f"task {task.name} needs clean images: --data DIR_OR_REPO"
