"""From `--data` to the datasets of a run: those that million_ird built, datasets of pairs, and image folders."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from dynet.data.folder_set import FolderSet
from dynet.data.hub_set import HubSet
from dynet.data.image_set import ImageSet
from dynet.data.mix import Mix, TrainingTask, serves
from dynet.data.streamed_set import StreamedSet
from dynet.errors import DataError, RecipeError

logger = logging.getLogger(__name__)
_PREFIX = re.compile(r"([\w-]+):(?!//|\\)(.+)", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#")


MAX_WEIGHT = 1e9
"""That of a task in a recipe, too: sums of far larger numbers are infinite."""


@dataclass(frozen=True, slots=True)
class DataSource:
    """One dataset to train on: its folder or repository, its weight in the draw, and its task if the user names one."""

    location: str
    weight: float = 1.0
    task: str | None = None

    @classmethod
    def parse(cls, argument: str) -> "DataSource":
        """Read `[TASK:]DIR_OR_REPO[=WEIGHT]`.

        Raises:
            DataError: The weight is not a positive number, or there is no folder and no repository.
        """
        rest, separator, weight = argument.rpartition("=")
        if not separator:
            rest, weight = argument, "1"
        prefixed = _PREFIX.fullmatch(rest)
        task, location = prefixed.groups() if prefixed else (None, rest)
        try:
            number = float(weight)
        except ValueError as error:
            raise DataError(f"--data {argument}: {weight!r} is not a weight") from error
        if not 0 < number <= MAX_WEIGHT:
            raise DataError(f"--data {argument}: a weight must be above zero and at most {MAX_WEIGHT:g}")
        if not location:
            raise DataError(f"--data {argument} names neither a folder nor a dataset")
        return cls(location, number, task)


def open_mix(
    tasks: Sequence[TrainingTask],
    sources: Sequence[DataSource],
    *,
    seed: int,
    hold_out: int,
    exclude: Sequence[str],
    stream: bool,
    cache: Path,
    grid_share: float = 0.0,
) -> Mix:
    """Open all datasets of a run.

    If a source has several sets, those for which the recipe has no task are skipped with a warning.

    Args:
        tasks: The tasks of the recipe.
        sources: The datasets.
        seed: The seed of the run.
        hold_out: Images of each set to hold out for validation.
        exclude: Text files with names of image files, without suffix, one a line, # for comments. Images from these
            files are not used.
        stream: Whether to read shards when they are needed.
        cache: The folder for streamed data.
        grid_share: The share of crops that begin at multiples of 8 pixels; see `draw_crop_position`.

    Raises:
        DataError: A source cannot be trained on; the message is one line.
        RecipeError: A list of `exclude` cannot be read or is empty.
    """
    lists = {file: _read_list(Path(file)) for file in exclude}
    sets = []
    for source in sources:
        opened = open_source(source, stream=stream, cache=cache)
        usable = [images for images in opened if any(serves(images, task) for task in tasks)]
        unused = [images for images in opened if images not in usable] if usable else []
        for images in unused:
            logger.warning("--data %s: the recipe has no task for %s", source.location, images.location)
        sets += [(images, source.weight) for images in usable or opened]
    return Mix(tasks, sets, seed=seed, hold_out=hold_out, exclude=lists, grid_share=grid_share)


def open_source(source: DataSource, *, stream: bool, cache: Path) -> list[ImageSet]:
    """Return the sets of one source: several if a folder has images for several tasks.

    Args:
        source: The source.
        stream: Whether to download shards to `cache` when they are needed; it has no effect on image folders.
        cache: The folder for streamed data.

    Raises:
        DataError: The source does not exist, is empty, or is not a dataset.
    """
    check_locations([source])
    folder = Path(source.location)
    if folder.is_dir() and not _is_dataset(folder):
        return list(FolderSet.open(source.location, source.task))
    if stream:
        return [StreamedSet(source.location, source.task, cache)]
    return [HubSet.open(source.location, source.task)]


def check_locations(sources: Sequence[DataSource]) -> None:
    """Check that each source is a folder with files in it, or may be a repository on the Hub; open none.

    Raises:
        DataError: One is neither.
    """
    for source in sources:
        folder = Path(source.location)
        if folder.is_file():
            raise DataError(f"--data {source.location} is a file; a folder or a dataset is expected")
        # A repository is user/name: a bare name, and what looks like a path, need no request to the Hub.
        if not folder.exists() and (folder.parent == Path() or folder.parent.exists()):
            raise DataError(f"--data {source.location}: no such folder; a dataset on the Hub is user/name")
        if folder.is_dir() and not any(folder.iterdir()):
            raise DataError(f"--data {source.location}: the folder is empty")


def check_out_is_apart(sources: Sequence[DataSource], out: Path) -> None:
    """Check that the files of a new run do not become files of its data, which would then be other data on resuming.

    Image folders leave out runs below them. A folder of shards is read by `datasets`, which takes every file in it
    unless its card lists them.

    Raises:
        DataError: `out` is inside such a folder.
    """
    for source in sources:
        folder = Path(source.location)
        if not folder.is_dir() or not out.resolve().is_relative_to(folder.resolve()):
            continue
        if _is_dataset(folder) and not _card_lists_files(folder):
            raise DataError(
                f"--out {out} is inside --data {source.location}, which has no card that lists its files, so the run "
                "would change its own data: name a folder outside"
            )


def _card_lists_files(folder: Path) -> bool:
    """Return whether the README.md of a dataset says which files are read."""
    try:
        _, header, _ = (folder / "README.md").read_text(encoding="utf-8").split("---\n", maxsplit=2)
        return any("data_files" in config for config in yaml.safe_load(header)["configs"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False


def _read_list(file: Path) -> frozenset[str]:
    """Return the names in a list, in lower case: one a line, # for comments."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"exclude: {file} cannot be read: {error}") from error
    stems = frozenset(stem.casefold() for line in lines if (stem := _COMMENT.split(line)[0].strip()))
    if not stems:
        raise RecipeError(f"exclude: {file} lists nothing")
    return stems


def _is_dataset(folder: Path) -> bool:
    """Return whether `datasets` should read the folder: there are shards in it or in one of its folders."""
    return any(next(folder.glob(pattern), None) for pattern in ("*.parquet", "*/*.parquet", "*.arrow", "*/*.arrow"))
