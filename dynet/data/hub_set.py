"""Data sets that `datasets` reads, from a folder or from the Hub: memory-mapped, and cut a row at a time."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from dynet.data.image_set import CropPair, StoredImage, crop_from
from dynet.errors import DataError

if TYPE_CHECKING:
    import datasets

CONFIG = "patches"
"""The config of a set built by million_ird that is trained on; of any other set the default one is."""
CLEAN, PAIR = "image", ("input", "target")
"""The column of clean pictures, or those of pairs."""


@dataclass(frozen=True, slots=True)
class HubSet:
    """The rows of a split, in their order; `task` is what the user said it is for."""

    location: str
    task: str | None
    paired: bool
    validation: Self | None
    _rows: "datasets.Dataset"
    _pictures: "datasets.Dataset"
    """The same rows, with nothing but their pictures."""

    @classmethod
    def open(cls, location: str, task: str | None) -> Self:
        """Open the split `train`, and `validation` beside it where there is one.

        Raises DataError in one line for what is no such set, or is out of reach.
        """
        splits = _load(location)
        if not splits:
            raise DataError(f"--data {location} holds no pictures")
        if "train" not in splits:
            raise DataError(f"--data {location} has no split 'train', but {', '.join(splits)}")
        validation = cls._of(location, task, splits["validation"], None) if "validation" in splits else None
        return cls._of(location, task, splits["train"], validation)

    @classmethod
    def _of(cls, location: str, task: str | None, rows: "datasets.Dataset", validation: Self | None) -> Self:
        import datasets

        paired = set(PAIR) <= set(rows.column_names)
        if not paired and CLEAN not in rows.column_names:
            columns = ", ".join(rows.column_names)
            raise DataError(f"--data {location} has neither a column 'image' nor 'input' and 'target', but {columns}")
        names = PAIR if paired else (CLEAN,)
        for name in names:
            if not isinstance(rows.features[name], datasets.Image):
                raise DataError(f"--data {location}: column {name!r} holds no pictures, but {rows.features[name]}")
            rows = rows.cast_column(name, datasets.Image(decode=False))
        return cls(location, task, paired, validation, rows, rows.select_columns(list(names)))

    def __len__(self) -> int:
        return len(self._rows)

    def identity(self) -> bytes:
        """A hash of the rows' ids, or of the sizes of their pictures' files where a set has no ids."""
        import pyarrow.compute as compute

        digest = hashlib.sha256()
        with_ids = "id" in self._rows.column_names
        for name in ("id",) if with_ids else tuple(self._pictures.column_names):
            for chunk in self._rows.data.column(name).chunks:
                values = chunk if with_ids else compute.binary_length(chunk.field("bytes"))
                digest.update("\n".join(map(str, values.to_pylist())).encode())
        return digest.digest()

    def group_ids(self) -> npt.NDArray[np.uint64]:
        """By the picture that a patch is a part of; in a set that does not say, each row is its own."""
        column = next((name for name in ("parent", "id") if name in self._rows.column_names), None)
        if column is None:
            return np.array([hash64(str(row)) for row in range(len(self))], np.uint64)
        names, indices = _distinct(self._rows, column)
        numbers = np.array([hash64(str(name)) for name in names], np.uint64)
        return np.asarray(numbers[indices])

    def rows_from_files(self, stems: Set[str]) -> npt.NDArray[np.int64]:
        """By the column `uri`, which says where the builder had a picture from."""
        if "uri" not in self._rows.column_names:
            return np.empty(0, np.int64)
        names, indices = _distinct(self._rows, "uri")
        listed = np.array([PurePosixPath(str(name)).stem.casefold() in stems for name in names], bool)
        return np.flatnonzero(listed[indices])

    def row_spans(self, seed: int, step: int) -> None:
        """All rows are at hand at every step."""
        return

    def crop(self, row: int, size: int, random: np.random.Generator) -> CropPair:
        """As `ImageSet.crop`; files are named by row."""
        stored = self._pictures[row]
        if self.paired:
            degraded, clean = (self._encoded(stored[name], f"{name} of row {row}") for name in PAIR)
            return crop_from(degraded, clean, size, random)
        return crop_from(None, self._encoded(stored[CLEAN], f"row {row}"), size, random)

    def _encoded(self, stored: dict[str, Any] | None, name: str) -> StoredImage:
        name = f"{name} of {self.location}"
        if stored is None or (stored["bytes"] is None and stored["path"] is None):
            raise DataError(f"{name} has no picture")
        return StoredImage(stored["bytes"] if stored["bytes"] is not None else Path(stored["path"]), name)


def _distinct(rows: "datasets.Dataset", name: str) -> tuple[list[object], npt.NDArray[np.int64]]:
    """The different values of a column, and for each row the place of its own among them."""
    import pyarrow.compute as compute

    encoded = compute.dictionary_encode(rows.data.column(name), null_encoding="encode").combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def hash64(name: str) -> int:
    """64 bits of a name's hash, by which rows of one family are known."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _load(location: str) -> dict[str, "datasets.Dataset"]:
    """The splits of a data set that have rows: `datasets` loads none of the others, not even as empty."""
    import datasets
    from huggingface_hub.errors import HFValidationError

    datasets.disable_progress_bars()
    try:
        with _quiet():
            builder = load_config(datasets.load_dataset_builder, location)
            if Path(location).is_dir():
                builder = _of_files(builder)
            builder.download_and_prepare()
            found = [name for name, split in builder.info.splits.items() if split.num_examples]
            return {str(name): builder.as_dataset(split=name) for name in found}
    except (datasets.exceptions.DatasetsError, http_error(), HFValidationError, OSError) as error:
        raise DataError(f"--data {location}: {reason(error)}") from error
    except ValueError as error:
        raise DataError(f"--data {location} is no data set with a config {CONFIG!r}: {reason(error)}") from error


def _of_files(builder: "datasets.DatasetBuilder") -> "datasets.DatasetBuilder":
    """The same for a folder's files by their own names and times.

    As a folder, `datasets` would know a set by the folder's last name and its card alone: of one that was built anew,
    or of another of that name, it would give the rows that it kept of the first.
    """
    import datasets

    files = {split: list(paths) for split, paths in (builder.config.data_files or {}).items()}
    return datasets.load_dataset_builder(builder.name, data_files=files)


def load_config(load: Callable[..., Any], location: str) -> Any:
    """What a function of `datasets` loads of CONFIG where the set has it, else of the default config."""
    try:
        return load(location, CONFIG)
    except ValueError as error:  # what `datasets` raises for a config that is not there
        if f"BuilderConfig '{CONFIG}' not found" not in str(error):
            raise
        return load(location)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What goes wrong is raised: `datasets` need not write it to the terminal as well."""
    import datasets

    before = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before)


def http_error() -> type[Exception]:
    """The root of what the Hub's client raises: of its own errors, and of those of the HTTP library beneath it."""
    from huggingface_hub.errors import HfHubHTTPError

    root = HfHubHTTPError.__bases__[0]
    assert issubclass(root, Exception)
    return root


def reason(error: BaseException) -> str:
    """The first line of an error's message, or its kind; where `datasets` only says that there was one, of that one."""
    if type(error).__name__ == "DatasetGenerationError" and error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
