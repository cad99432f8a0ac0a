"""The parquet files of a dataset in a folder or on the Hub: their paths, and ranges of their bytes."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynet.data.hub_set import first_line, load_config
from dynet.errors import DataError
from dynet.runtime.hub_errors import http_error

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

HUB = "hf://"


@dataclass(frozen=True, slots=True)
class ParquetShard:
    """One parquet file. On the Hub its path contains a commit, so its content never changes."""

    path: str
    size: int
    """In bytes."""
    modified_ns: int
    """When a file on disk was last modified, in nanoseconds; 0 on the Hub."""

    @property
    def name(self) -> str:
        """Folder and file name, for messages."""
        return "/".join(self.path.rsplit("/", 2)[1:])

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`, in one request; huggingface_hub retries if the network fails.

        Raises:
            DataError: They cannot be read; the message is one line.
        """
        try:
            with self._open() as file:
                file.seek(start)
                content: bytes = file.read(stop - start)
        except (OSError, http_error()) as error:
            raise DataError(f"{self.path} cannot be read: {first_line(error)}") from error
        if len(content) != stop - start:
            raise DataError(
                f"{self.path} has {self.size} bytes, but {len(content)} instead of {stop - start} were read at {start}"
            )
        return content

    def _open(self) -> Any:
        if self.path.startswith(HUB):
            # Without the cache of the client: each read is one request for exactly these bytes.
            return _hub(os.getpid()).open(self.path, "rb", cache_type="none", size=self.size)
        return open(self.path, "rb")


def find_shards(location: str) -> dict[str, list[ParquetShard]]:
    """Return the files of each split of the config `patches`, or of the default one, in the order of their rows.

    They are the files that `datasets` would load, as the dataset's card or the names of the files define them.

    Raises:
        DataError: The dataset does not exist, cannot be reached, or is not stored in parquet files; the message is one
            line.
    """
    import datasets
    from huggingface_hub.errors import HFValidationError

    datasets.disable_progress_bars()
    try:
        builder = load_config(datasets.load_dataset_builder, location)
        files = builder.config.data_files or {}
        if not all(str(path).endswith(".parquet") for paths in files.values() for path in paths):
            raise DataError(f"--data {location} is not stored in parquet files: it cannot be streamed")
        return {str(split): _with_sizes([str(path) for path in paths]) for split, paths in files.items()}
    except (datasets.exceptions.DatasetsError, http_error(), HFValidationError, OSError) as error:
        raise DataError(f"--data {location}: {first_line(error)}") from error
    except ValueError as error:
        raise DataError(f"--data {location} is not a dataset that can be streamed: {first_line(error)}") from error


def _with_sizes(paths: list[str]) -> list[ParquetShard]:
    remote = sorted({path.rpartition("/")[0] for path in paths if path.startswith(HUB)})
    listed: list[Any] = [entry for folder in remote for entry in _hub(os.getpid()).ls(folder, detail=True)]
    sizes = {HUB + entry["name"]: int(entry["size"]) for entry in listed}
    return [ParquetShard(path, sizes[path], 0) if path in sizes else _on_disk(path) for path in paths]


def _on_disk(path: str) -> ParquetShard:
    stat = Path(path).stat()
    return ParquetShard(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _hub(_process: int) -> "HfFileSystem":
    """Return the file system of the Hub; a forked process must not share connections with its parent."""
    from huggingface_hub import HfFileSystem

    return HfFileSystem(skip_instance_cache=True)
