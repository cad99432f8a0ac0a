"""The interface of an export format; `export` knows nothing else of it."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from million_ird.export.shard_reader import DatasetImage, DatasetShard
from million_ird.runtime.storage import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSplit:
    """One split of an export."""

    folder: Folder
    """The destination."""
    name: str
    """`train` or `validation`."""
    config: str
    shards: Sequence[DatasetShard]
    """Current shards of the dataset; none if the dataset no longer has the split."""

    def path(self, file: str) -> str:
        """Return the path relative to the destination of a file relative to the split."""
        return f"{self.name}/{file}"


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An image in the export."""

    file: str
    """Path relative to the split."""
    bytes: int
    """Size of the encoded image."""
    reencoded: bool = False
    """Whether the bytes are not those of the dataset."""


class ExportLayout(Protocol):
    """The layout of one split. Every method may be called again after the process was killed in it."""

    def __init__(self, split: ExportSplit) -> None:
        """Raise `UsageError` if this format cannot be written to the split's folder."""

    @property
    def index(self) -> Sequence[str]:
        """Index files of the split, relative to it."""

    def cache_key(self, shard: DatasetShard) -> str:
        """Return a text for everything that the files of a shard depend on beside its content."""

    def planned_files(self, shard: DatasetShard, files: Sequence[str]) -> list[str]:
        """Return the file of each image, relative to the split, by which `remove` finds it."""

    def write(self, shard: DatasetShard, images: Iterator[DatasetImage], *, resumed: bool) -> Iterator[ExportedImage]:
        """Write the images of a shard; `resumed` if an earlier run was killed while writing it."""

    def is_incomplete(self, files: Sequence[str]) -> bool:
        """Return whether any of these files, which were written, is missing."""

    def remove(self, units: Iterable[Sequence[str]]) -> None:
        """Remove the files of units, so that none of their bytes are left."""

    def write_index(self, parts: Iterator[pa.Table]) -> None:
        """Write the index files from the columns of all units, in order."""


def chunks(images: Iterator[DatasetImage], size: int) -> Iterator[list[DatasetImage]]:
    """Yield the images in lists of at most `size`."""
    while chunk := list(itertools.islice(images, size)):
        yield chunk
