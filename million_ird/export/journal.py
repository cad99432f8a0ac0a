"""The journal of an export: what files it has written, to continue after a kill and to remove old files.

A unit is one shard of the dataset in one format; its name is a hash of both. Before the first byte of a unit is
written, the journal lists the files that it will write (`UNIT.begun.parquet`); after the last, those that it has
written (`UNIT.done.parquet`). So every file that an export ever wrote is known, and can be removed when the dataset no
longer has it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from million_ird.export.destination import STATE
from million_ird.export.shard_reader import FILE_NAME
from million_ird.runtime.storage import Folder
from million_ird.strict_json import to_json

_BEGUN, _DONE = ".begun.parquet", ".done.parquet"
_TOTALS = b"million_ird.export"


@dataclass(frozen=True, slots=True)
class UnitTotals:
    """Sums over the images of a unit."""

    bytes: int
    """Size of the encoded images in the export."""
    reencoded: int
    """Images whose bytes are not those of the dataset."""


class Journal:
    """The journal of one split; its owner holds the lock of the destination."""

    def __init__(self, folder: Folder, split: str) -> None:
        self._folder, self._state = folder, f"{STATE}/{split}"
        names = folder.names(self._state)
        self.done = {name.removesuffix(_DONE) for name in names if name.endswith(_DONE)}
        self.begun = {name.removesuffix(_BEGUN) for name in names if name.endswith(_BEGUN)}
        for unit in self.begun & self.done:  # killed between the two
            folder.remove(self._path(unit, _BEGUN))
        self.begun -= self.done

    def begin(self, unit: str, columns: pa.Table) -> None:
        """Record that the files of `columns` are about to be written."""
        self._folder.write_table(self._path(unit, _BEGUN), columns.select([FILE_NAME]))
        self.begun.add(unit)

    def finish(self, unit: str, columns: pa.Table, totals: UnitTotals) -> None:
        """Record that they were written."""
        sums = to_json({"bytes": totals.bytes, "reencoded": totals.reencoded})
        self._folder.write_table(self._path(unit, _DONE), columns.replace_schema_metadata({_TOTALS: sums}))
        self._folder.remove(self._path(unit, _BEGUN))
        self.done.add(unit)
        self.begun.discard(unit)

    def reopen(self, unit: str) -> None:
        """Record that a finished unit lacks files and must be written again."""
        self.begin(unit, self._folder.read_table(self._path(unit, _DONE), [FILE_NAME]))
        self._folder.remove(self._path(unit, _DONE))
        self.done.discard(unit)

    def forget(self, unit: str) -> None:
        """Remove a unit from the journal, after its files were removed."""
        for suffix in (_BEGUN, _DONE):
            self._folder.remove(self._path(unit, suffix))
        self.done.discard(unit)
        self.begun.discard(unit)

    def files(self, unit: str) -> list[str]:
        """Return the files that a unit has written or was about to write, relative to the split's folder."""
        suffix = _DONE if unit in self.done else _BEGUN
        names: list[str] = self._folder.read_table(self._path(unit, suffix), [FILE_NAME])[FILE_NAME].to_pylist()
        return names

    def columns(self, units: list[str]) -> Iterator[pa.Table]:
        """Yield all columns of finished units, one table per unit."""
        for unit in units:
            yield self._folder.read_table(self._path(unit, _DONE)).replace_schema_metadata(None)

    def totals(self, unit: str) -> UnitTotals:
        """Return the sums of a finished unit."""
        sums = json.loads(self._folder.read_schema(self._path(unit, _DONE)).metadata[_TOTALS])
        return UnitTotals(sums["bytes"], sums["reencoded"])

    def indexed_units(self) -> object:
        """Return the units that the index files of the split list; None if there are no current index files."""
        return self._folder.read_json(f"{self._state}/listed.json")

    def set_indexed(self, units: list[str]) -> None:
        """Record that the index files list these units."""
        self._folder.write_json(f"{self._state}/listed.json", units)

    def clear_indexed(self) -> None:
        """Record that the index files are out of date."""
        self._folder.remove(f"{self._state}/listed.json")

    def close(self) -> None:
        """Remove the journal of a split that the dataset no longer has."""
        self._folder.remove(self._state)

    def _path(self, unit: str, suffix: str) -> str:
        return f"{self._state}/{unit}{suffix}"


def listed_files(folder: Folder) -> Iterator[pa.ChunkedArray]:
    """Yield the files that each unit of an export has written or was about to write; nothing is changed.

    Args:
        folder: The export, which another process may hold.
    """
    for split in sorted(exported_splits(folder)):
        for name in folder.names(f"{STATE}/{split}"):
            if name.endswith((_BEGUN, _DONE)):
                yield folder.read_table(f"{STATE}/{split}/{name}", [FILE_NAME])[FILE_NAME]


def exported_splits(folder: Folder) -> set[str]:
    """Return the splits of which an earlier export wrote something."""
    return {name for name in folder.names(STATE) if "." not in name and name != "lock"}
