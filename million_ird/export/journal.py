"""What an export has written, split by split: the memory that makes it go on after a kill and forget what has left.

A unit is one shard of the set in one layout; its name is a hash of both. Before its first byte is written, the files
that it will write are noted (`UNIT.begun.parquet`); after its last, what it has written (`UNIT.done.parquet`). So
whatever an export ever wrote is known by name, and is found again when the set no longer asks for it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from million_ird.export.destination import STATE
from million_ird.export.reading import FILE_NAME
from million_ird.runtime.storage import Folder

_BEGUN, _DONE = ".begun.parquet", ".done.parquet"
_TOTALS = b"million_ird.export"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the pictures of a unit."""

    bytes: int
    """Of the pictures as they lie in the export."""
    reencoded: int
    """Pictures that are not the bytes of the set."""


class Journal:
    """The journal of one split; whoever opens it holds the destination."""

    def __init__(self, folder: Folder, split: str) -> None:
        self._folder, self._state = folder, f"{STATE}/{split}"
        names = folder.names(self._state)
        self.done = {name.removesuffix(_DONE) for name in names if name.endswith(_DONE)}
        self.begun = {name.removesuffix(_BEGUN) for name in names if name.endswith(_BEGUN)}
        for unit in self.begun & self.done:  # killed between the two
            folder.remove(self._path(unit, _BEGUN))
        self.begun -= self.done

    def begin(self, unit: str, columns: pa.Table) -> None:
        """Notes that the files of `columns` are about to be written."""
        self._folder.write_table(self._path(unit, _BEGUN), columns.select([FILE_NAME]))
        self.begun.add(unit)

    def finish(self, unit: str, columns: pa.Table, totals: Totals) -> None:
        """Notes that they are."""
        told = json.dumps({"bytes": totals.bytes, "reencoded": totals.reencoded})
        self._folder.write_table(self._path(unit, _DONE), columns.replace_schema_metadata({_TOTALS: told}))
        self._folder.remove(self._path(unit, _BEGUN))
        self.done.add(unit)
        self.begun.discard(unit)

    def reopen(self, unit: str) -> None:
        """Notes that a finished unit lacks something and has to be written again."""
        self.begin(unit, self._folder.read_table(self._path(unit, _DONE), [FILE_NAME]))
        self._folder.remove(self._path(unit, _DONE))
        self.done.discard(unit)

    def forget(self, unit: str) -> None:
        """Forgets a unit of which nothing is left."""
        for suffix in (_BEGUN, _DONE):
            self._folder.remove(self._path(unit, suffix))
        self.done.discard(unit)
        self.begun.discard(unit)

    def files(self, unit: str) -> list[str]:
        """What a unit has written or was about to write, relative to the split's folder."""
        suffix = _DONE if unit in self.done else _BEGUN
        names: list[str] = self._folder.read_table(self._path(unit, suffix), [FILE_NAME])[FILE_NAME].to_pylist()
        return names

    def columns(self, units: list[str]) -> Iterator[pa.Table]:
        """All columns of finished units, one table for each."""
        for unit in units:
            yield self._folder.read_table(self._path(unit, _DONE)).replace_schema_metadata(None)

    def totals(self, unit: str) -> Totals:
        """The sums of a finished unit."""
        told = json.loads(self._folder.read_schema(self._path(unit, _DONE)).metadata[_TOTALS])
        return Totals(told["bytes"], told["reencoded"])

    def listed(self) -> object:
        """The units that the split's index files list; None where none are."""
        return self._folder.read_json(f"{self._state}/listed.json")

    def list(self, units: list[str]) -> None:
        """Notes that the index files list these units."""
        self._folder.write_json(f"{self._state}/listed.json", units)

    def unlist(self) -> None:
        """Notes that the index files are out of date."""
        self._folder.remove(f"{self._state}/listed.json")

    def close(self) -> None:
        """Removes the journal of a split that is no more."""
        self._folder.remove(self._state)

    def _path(self, unit: str, suffix: str) -> str:
        return f"{self._state}/{unit}{suffix}"


def journalled(folder: Folder) -> set[str]:
    """The splits of which an earlier export wrote something."""
    return {name for name in folder.names(STATE) if "." not in name and name != "lock"}
