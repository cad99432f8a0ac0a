"""From `--data` to what a run draws from: sets built by million_ird, data sets of pairs, and folders of pictures."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynet.data.folder_set import FolderSet
from dynet.data.hub_set import HubSet
from dynet.data.image_set import ImageSet
from dynet.data.mix import Mix, TrainingTask, serves
from dynet.data.streamed_set import StreamedSet
from dynet.errors import DataError, RecipeError

logger = logging.getLogger(__name__)
_PREFIX = re.compile(r"([\w-]+):(?!//|\\)(.+)", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#")


@dataclass(frozen=True, slots=True)
class DataSource:
    """What to train on, the task that it is for if the user says so, and its weight among the sets of a task."""

    location: str
    weight: float = 1.0
    task: str | None = None

    @classmethod
    def parse(cls, argument: str) -> "DataSource":
        """Read `[TASK:]DIR_OR_REPO[=WEIGHT]`."""
        rest, separator, weight = argument.rpartition("=")
        if not separator:
            rest, weight = argument, "1"
        prefixed = _PREFIX.fullmatch(rest)
        task, location = prefixed.groups() if prefixed else (None, rest)
        try:
            number = float(weight)
        except ValueError as error:
            raise DataError(f"--data {argument}: {weight!r} is not a weight") from error
        if not 0 < number < float("inf"):
            raise DataError(f"--data {argument}: a weight must be above zero")
        if not location:
            raise DataError(f"--data {argument} names no folder and no data set")
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
) -> Mix:
    """What a run draws from. Raises DataError in one line for all that cannot be trained on as it is.

    `exclude` names text files with the names of pictures' files, without suffix, one a line and # for comments: what
    comes from such a file is left out. `hold_out` pictures of each set are kept for validation.
    Of a source with parts for several tasks, those that the recipe has no task for are left out, with a warning.
    """
    lists = {file: _read_list(Path(file)) for file in exclude}
    sets = []
    for source in sources:
        parts = open_source(source, stream=stream, cache=cache)
        wanted = [part for part in parts if any(serves(part, task) for task in tasks)]
        left = [part for part in parts if part not in wanted] if wanted else []
        for part in left:
            logger.warning("--data %s: the recipe has no task for %s", source.location, part.location)
        sets += [(part, source.weight) for part in wanted or parts]
    return Mix(tasks, sets, seed=seed, hold_out=hold_out, exclude=lists)


def open_source(source: DataSource, *, stream: bool, cache: Path) -> list[ImageSet]:
    """The sets of one source: several for a folder with parts for several tasks.

    `stream` reads a data set's shards one by one into `cache` as they are needed, and changes nothing for pictures
    that lie in folders.
    """
    folder = Path(source.location)
    if folder.is_file():
        raise DataError(f"--data {source.location} is a file; a folder or a data set is expected")
    # A repository is user/name; of a bare name, and of what looks like a path, the Hub need not be asked.
    if not folder.exists() and (folder.parent == Path() or folder.parent.exists()):
        raise DataError(f"--data {source.location}: no such folder; a data set on the Hub is user/name")
    if folder.is_dir() and not any(folder.iterdir()):
        raise DataError(f"--data {source.location}: the folder is empty")
    if folder.is_dir() and not _is_data_set(folder):
        return list(FolderSet.open(source.location, source.task))
    if stream:
        return [StreamedSet(source.location, source.task, cache)]
    return [HubSet.open(source.location, source.task)]


def _read_list(file: Path) -> frozenset[str]:
    """The names in a list, in lower case: one a line, # for comments."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"exclude: {file} cannot be read: {error}") from error
    stems = frozenset(stem.casefold() for line in lines if (stem := _COMMENT.split(line)[0].strip()))
    if not stems:
        raise RecipeError(f"exclude: {file} lists nothing")
    return stems


def _is_data_set(folder: Path) -> bool:
    """Whether a folder is to be read by `datasets`: shards lie in it or in one of its folders."""
    return any(next(folder.glob(pattern), None) for pattern in ("*.parquet", "*/*.parquet", "*.arrow", "*/*.arrow"))
