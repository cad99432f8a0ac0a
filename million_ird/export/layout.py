"""What a format has to do; the flow of an export knows no more of it."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from million_ird.export.reading import Picture, Shard
from million_ird.runtime.storage import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One split of an export."""

    folder: Folder
    """The destination."""
    split: str
    config: str
    shards: Sequence[Shard]
    """What the set has for it now; none where the split is no more."""

    def path(self, file: str) -> str:
        """Relative to the destination, of a file relative to the split."""
        return f"{self.split}/{file}"


@dataclass(frozen=True, slots=True)
class Stored:
    """A picture that lies in the export."""

    file: str
    """Relative to the split."""
    bytes: int
    reencoded: bool = False


class Layout(Protocol):
    """How one split is laid out. Every method may be called again after a kill in the midst of it."""

    def __init__(self, place: Place) -> None:
        """Raises `UsageError` where this format cannot be written."""

    @property
    def index(self) -> Sequence[str]:
        """Files about all pictures of the split, relative to it."""

    def terms(self, shard: Shard) -> str:
        """All that the files of a shard depend on beside its content."""

    def planned(self, shard: Shard, files: Sequence[str]) -> list[str]:
        """The file of each picture, relative to the split, by which `remove` will find it."""

    def write(self, shard: Shard, pictures: Iterator[Picture], *, resumed: bool) -> Iterator[Stored]:
        """Writes a shard's pictures; `resumed` says that an earlier run, killed since, began to."""

    def lacks(self, files: Sequence[str]) -> bool:
        """Whether any of these files, once written, is gone."""

    def remove(self, units: Iterable[Sequence[str]]) -> None:
        """Removes the files of units, so that none of their bytes are left."""

    def write_index(self, parts: Iterator[pa.Table]) -> None:
        """Writes the index files from the columns of all units in their order."""


def chunks(pictures: Iterator[Picture], size: int) -> Iterator[list[Picture]]:
    """The pictures in lists of at most `size`."""
    while chunk := list(itertools.islice(pictures, size)):
        yield chunk
