"""Datasets that `datasets` reads, from a folder or from the Hub: memory-mapped, and cropped row by row."""

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
from dynet.runtime.hub_errors import http_error

if TYPE_CHECKING:
    import datasets

CONFIG = "patches"
"""The config to train on in a dataset that million_ird built; of any other dataset it is the default one."""
CLEAN, PAIR = "image", ("input", "target")
"""The column of clean images, or those of pairs."""


@dataclass(frozen=True, slots=True)
class HubSet:
    """The rows of a split, in their order; `task` is the one that the user names."""

    location: str
    task: str | None
    paired: bool
    validation: Self | None
    _rows: "datasets.Dataset"
    _images: "datasets.Dataset"
    """The same rows, with the image columns only."""

    @classmethod
    def open(cls, location: str, task: str | None) -> Self:
        """Open the split `train`, and `validation` if there is one.

        Raises:
            DataError: The dataset does not exist, cannot be reached, or has no images; the message is one line.
        """
        splits = _load(location)
        if not splits:
            raise DataError(f"--data {location} holds no images")
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
                raise DataError(f"--data {location}: column {name!r} holds no images, but {rows.features[name]}")
            rows = rows.cast_column(name, datasets.Image(decode=False))
        return cls(location, task, paired, validation, rows, rows.select_columns(list(names)))

    def __len__(self) -> int:
        return len(self._rows)

    def identity(self) -> bytes:
        """Return a hash of the rows' ids, or of the sizes of the image files if the dataset has no ids."""
        import pyarrow.compute as compute

        digest = hashlib.sha256()
        has_ids = "id" in self._rows.column_names
        for name in ("id",) if has_ids else tuple(self._images.column_names):
            for chunk in self._rows.data.column(name).chunks:
                values = chunk if has_ids else compute.binary_length(chunk.field("bytes"))
                digest.update("\n".join(map(str, values.to_pylist())).encode())
        return digest.digest()

    def group_ids(self) -> npt.NDArray[np.uint64]:
        """Return the numbers of groups: patches of the same image, or single rows if no column says which."""
        column = next((name for name in ("parent", "id") if name in self._rows.column_names), None)
        if column is None:
            return np.array([hash64(str(row)) for row in range(len(self))], np.uint64)
        names, indices = _distinct_values(self._rows, column)
        numbers = np.array([hash64(str(name)) for name in names], np.uint64)
        return np.asarray(numbers[indices])

    def rows_from_files(self, stems: Set[str]) -> npt.NDArray[np.int64]:
        """Return the rows whose column `uri`, which says where an image comes from, has one of these names."""
        if "uri" not in self._rows.column_names:
            return np.empty(0, np.int64)
        names, indices = _distinct_values(self._rows, "uri")
        is_listed = np.array([PurePosixPath(str(name)).stem.casefold() in stems for name in names], bool)
        return np.flatnonzero(is_listed[indices])

    def row_spans(self, seed: int, step: int) -> None:
        """Return None: all rows can be drawn at every step."""
        return

    def crop(self, row: int, size: int, random: np.random.Generator, grid_share: float = 0.0) -> CropPair:
        """Return a crop, as `ImageSet.crop` says; messages name images by row."""
        encoded = self._images[row]
        if self.paired:
            degraded, clean = (self._stored(encoded[name], f"{name} of row {row}") for name in PAIR)
            return crop_from(degraded, clean, size, random, grid_share)
        return crop_from(None, self._stored(encoded[CLEAN], f"row {row}"), size, random, grid_share)

    def _stored(self, value: dict[str, Any] | None, name: str) -> StoredImage:
        name = f"{name} of {self.location}"
        if value is None or (value["bytes"] is None and value["path"] is None):
            raise DataError(f"{name} has no image")
        return StoredImage(value["bytes"] if value["bytes"] is not None else Path(value["path"]), name)


def _distinct_values(rows: "datasets.Dataset", name: str) -> tuple[list[object], npt.NDArray[np.int64]]:
    """Return the distinct values of a column, and for each row the index of its value among them."""
    import pyarrow.compute as compute

    encoded = compute.dictionary_encode(rows.data.column(name), null_encoding="encode").combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def hash64(name: str) -> int:
    """Return 64 bits of the hash of a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def _load(location: str) -> dict[str, "datasets.Dataset"]:
    """Return the splits of a dataset that have rows; `datasets` cannot load an empty one."""
    import datasets
    from huggingface_hub.errors import HFValidationError

    datasets.disable_progress_bars()
    try:
        with _silent_datasets():
            builder = load_config(datasets.load_dataset_builder, location)
            if Path(location).is_dir():
                builder = _builder_of_files(builder)
            builder.download_and_prepare()
            names = [name for name, split in builder.info.splits.items() if split.num_examples]
            return {str(name): builder.as_dataset(split=name) for name in names}
    except (datasets.exceptions.DatasetsError, http_error(), HFValidationError, OSError) as error:
        raise DataError(f"--data {location}: {first_line(error)}") from error
    except ValueError as error:
        raise DataError(f"--data {location} is not a dataset with a config {CONFIG!r}: {first_line(error)}") from error


def _builder_of_files(builder: "datasets.DatasetBuilder") -> "datasets.DatasetBuilder":
    """Return a builder for the same files, whose cache depends on their names and times.

    The cache of a builder for a folder depends on the folder's last name and its card only. For a dataset that was
    built again, or another one of that name, it would return the cached rows of the first.
    """
    import datasets

    files = {split: list(paths) for split, paths in (builder.config.data_files or {}).items()}
    return datasets.load_dataset_builder(builder.name, data_files=files)


def load_config(load: Callable[..., Any], location: str) -> Any:
    """Call a function of `datasets` with CONFIG if the dataset has it, else with the default config."""
    try:
        return load(location, CONFIG)
    except ValueError as error:  # `datasets` raises it for a config that does not exist
        if f"BuilderConfig '{CONFIG}' not found" not in str(error):
            raise
        return load(location)


@contextlib.contextmanager
def _silent_datasets() -> Iterator[None]:
    """Keep `datasets` from printing errors, which it raises as well."""
    import datasets

    before = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type; of a DatasetGenerationError that of its cause."""
    if type(error).__name__ == "DatasetGenerationError" and error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
