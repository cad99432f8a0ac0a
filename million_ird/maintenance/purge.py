"""Erases from `.work` what it still holds of pictures that were taken down.

The bytes of streamed originals are overwritten in their tars, and their index says that they were removed, so that no
later run asks for them again; what they could be known by leaves the scanned rows; shards that wait to be put in place
go, and are written again. Doing it twice is doing it once.
"""

import tarfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.dataset.shards import STAGING
from million_ird.ledger import REMOVED, SIGNATURE
from million_ird.runtime.storage import Folder
from million_ird.scan.download_cache import FOLDER as ORIGINALS
from million_ird.scan.measuring import ROWS
from million_ird.scan.vanished import VANISHED_ROWS

DETAIL = "removed on request"
_CHUNK = 1 << 20


def forget(out: Folder, keys: frozenset[str]) -> None:
    """Erases what `.work` holds of the candidates of these keys.

    Raises:
        DamagedFile: a file of it cannot be read.
        BuildError: the disk is full; run again to go on.
    """
    out.remove(STAGING)
    for name in _files(out, ORIGINALS, ".tar"):  # first these: the index is how they are known to be there
        _erase(out, name, keys)
    for name in _files(out, ORIGINALS, ".parquet"):
        _note(out, name, keys)
    for name in [*_files(out, ROWS, ".parquet"), *([VANISHED_ROWS] if out.exists(VANISHED_ROWS) else [])]:
        _strip(out, name, keys)


def _files(out: Folder, folder: str, suffix: str) -> list[str]:
    """`FOLDER/XX/NAME`, as originals and scanned rows lie."""
    parts = [f"{folder}/{part}" for part in out.names(folder)]
    return [f"{part}/{name}" for part in parts for name in out.names(part) if name.endswith(suffix)]


def _erase(out: Folder, name: str, keys: frozenset[str]) -> None:
    """Writes a tar again with zeros for the content of these members, unless zeros are all that is there."""
    holes = list(_holes(out, name, keys))
    if not holes:
        return
    with out.open(name) as old, out.writing(name) as new:
        for start, size in holes:
            for chunk in _chunks(start - old.tell()):
                new.write(old.read(chunk))
            for chunk in _chunks(size):
                new.write(bytes(chunk))
            old.seek(start + size)
        while block := old.read(_CHUNK):
            new.write(block)


def _holes(out: Folder, name: str, keys: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Offset and size of members with content, in order."""
    with out.open(name) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        found = [(one.offset_data, one.size) for one in archive if one.name in keys]
    with out.open(name) as file:
        for start, size in found:
            file.seek(start)
            if any(any(file.read(chunk)) for chunk in _chunks(size)):
                yield start, size


def _chunks(size: int) -> Iterator[int]:
    while size > 0:
        yield min(size, _CHUNK)
        size -= _CHUNK


def _note(out: Folder, name: str, keys: frozenset[str]) -> None:
    """Says in an index that these were removed: what failed so is never asked for again."""
    table = out.read_table(name)
    gone = pc.is_in(table["key"], value_set=pa.array(sorted(keys), pa.string()))
    gone = pc.and_(gone, pc.invert(pc.fill_null(pc.equal(table["failure_class"], REMOVED), False)))
    if not pc.any(gone).as_py():
        return
    said = {"failure_class": REMOVED, "failure_detail": DETAIL, "tar": None, "offset": None, "size": None}
    out.write_table(name, _with(table, gone, said))


def _strip(out: Folder, name: str, keys: frozenset[str]) -> None:
    few = out.read_table(name, ["key", SIGNATURE[0]])
    gone = pc.is_in(few["key"], value_set=pa.array(sorted(keys), pa.string()))
    if pc.any(pc.and_(gone, pc.is_valid(few[SIGNATURE[0]]))).as_py():
        out.write_table(name, _with(out.read_table(name), gone, dict.fromkeys(SIGNATURE)))


def _with(table: pa.Table, where: pa.ChunkedArray, said: dict[str, str | None]) -> pa.Table:
    """The table, with other values in some rows; its metadata stays."""
    for name, value in said.items():
        field = table.schema.field(name)
        column = pc.if_else(where, pa.scalar(value, field.type), table[name])
        table = table.set_column(table.column_names.index(name), field, column)
    return table
