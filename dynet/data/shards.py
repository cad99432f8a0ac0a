"""The parquet files of a data set in a folder or on the Hub: where they are, and ranges of their bytes."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynet.data.hub_set import http_error, load_config, reason
from dynet.errors import DataError

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

HUB = "hf://"


@dataclass(frozen=True, slots=True)
class ParquetShard:
    """One parquet file. On the Hub its path names a commit, so what is behind it never changes."""

    path: str
    size: int
    """In bytes."""
    changed: int
    """When a file on disk was last written, in nanoseconds; 0 on the Hub."""

    @property
    def name(self) -> str:
        """Folder and file, as messages have it."""
        return "/".join(self.path.rsplit("/", 2)[1:])

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`, in one request; huggingface_hub tries again where the network fails.

        Raises DataError in one line.
        """
        try:
            with self._opened() as file:
                file.seek(start)
                found: bytes = file.read(stop - start)
        except (OSError, http_error()) as error:
            raise DataError(f"{self.path} cannot be read: {reason(error)}") from error
        if len(found) != stop - start:
            raise DataError(f"{self.path} has {self.size} bytes, but of {stop - start} at {start} came {len(found)}")
        return found

    def _opened(self) -> Any:
        if self.path.startswith(HUB):
            # Without a cache of its own: each read is one request for just what is asked for.
            return _hub(os.getpid()).open(self.path, "rb", cache_type="none", size=self.size)
        return open(self.path, "rb")


def find_shards(location: str) -> dict[str, list[ParquetShard]]:
    """The files of each split of the config `patches`, or of the default one, in the order in which rows are counted.

    `datasets` says which they are, by the card of the data set or by the files' names, so they are those that it would
    load. Raises DataError in one line for what is no such set, or is out of reach.
    """
    import datasets
    from huggingface_hub.errors import HFValidationError

    datasets.disable_progress_bars()
    try:
        builder = load_config(datasets.load_dataset_builder, location)
        found = builder.config.data_files or {}
        if not all(str(path).endswith(".parquet") for paths in found.values() for path in paths):
            raise DataError(f"--data {location} is not stored in parquet files: it cannot be streamed")
        return {str(split): _sized([str(path) for path in paths]) for split, paths in found.items()}
    except (datasets.exceptions.DatasetsError, http_error(), HFValidationError, OSError) as error:
        raise DataError(f"--data {location}: {reason(error)}") from error
    except ValueError as error:
        raise DataError(f"--data {location} is no data set that can be streamed: {reason(error)}") from error


def _sized(paths: list[str]) -> list[ParquetShard]:
    remote = sorted({path.rpartition("/")[0] for path in paths if path.startswith(HUB)})
    listed: list[Any] = [entry for folder in remote for entry in _hub(os.getpid()).ls(folder, detail=True)]
    sizes = {HUB + entry["name"]: int(entry["size"]) for entry in listed}
    return [ParquetShard(path, sizes[path], 0) if path in sizes else _on_disk(path) for path in paths]


def _on_disk(path: str) -> ParquetShard:
    told = Path(path).stat()
    return ParquetShard(path, told.st_size, told.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _hub(_process: int) -> "HfFileSystem":
    """The Hub's files; connections must not be shared with the process that this one was forked from."""
    from huggingface_hub import HfFileSystem

    return HfFileSystem(skip_instance_cache=True)
