"""Purge: erases from `.work` the data of images that were taken down.

In the download cache the bytes are overwritten with zeros, and the index says that they were removed, so that no later
run fetches them again. Scanned rows lose their signatures, and shards that wait to be moved into place are deleted, to
be written again. Purging twice gives the same result as purging once.
"""

import tarfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.build_folder import STAGING
from million_ird.ledger import SIGNATURE
from million_ird.runtime.storage import Folder
from million_ird.scan.download_cache import FOLDER as ORIGINALS
from million_ird.scan.join_units import rewrite_part
from million_ird.scan.row_index import PARTS, all_row_files
from million_ird.scan.vanished import VANISHED_ROWS
from million_ird.schema import REMOVED

DETAIL = "removed on request"
_CHUNK = 1 << 20


def purge(out: Folder, keys: frozenset[str]) -> None:
    """Erase the data of candidates from `.work`.

    Args:
        out: Output folder of a build.
        keys: Keys of the candidates.

    Raises:
        DamagedFile: A file in `.work` cannot be read.
        BuildError: The disk is full; run again to continue.
    """
    out.remove(STAGING)
    for name in _files(out, ORIGINALS, ".tar"):  # before the index, which lists them
        _overwrite(out, name, keys)
    for name in _files(out, ORIGINALS, ".parquet"):
        _mark_removed(out, name, keys)
    for name in [*all_row_files(out), *([VANISHED_ROWS] if out.exists(VANISHED_ROWS) else [])]:
        _erase_signatures(out, name, keys)


def _files(out: Folder, folder: str, suffix: str) -> list[str]:
    """Return the files `FOLDER/XX/NAME` with this suffix."""
    parts = [f"{folder}/{part}" for part in out.names(folder)]
    return [f"{part}/{name}" for part in parts for name in out.names(part) if name.endswith(suffix)]


def _overwrite(out: Folder, name: str, keys: frozenset[str]) -> None:
    """Rewrite a tar with zeros as the content of these members, unless they are zeros already."""
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
    """Yield offset and size of those of the members that are not all zeros, in order."""
    with out.open(name) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        members = [(member.offset_data, member.size) for member in archive if member.name in keys]
    with out.open(name) as file:
        for start, size in members:
            file.seek(start)
            if any(any(file.read(chunk)) for chunk in _chunks(size)):
                yield start, size


def _chunks(size: int) -> Iterator[int]:
    while size > 0:
        yield min(size, _CHUNK)
        size -= _CHUNK


def _mark_removed(out: Folder, name: str, keys: frozenset[str]) -> None:
    """Record in an index that these were removed, so that they are never fetched again."""
    table = out.read_table(name)
    gone = pc.is_in(table["key"], value_set=pa.array(sorted(keys), pa.string()))
    gone = pc.and_(gone, pc.invert(pc.fill_null(pc.equal(table["failure_class"], REMOVED), False)))
    if not pc.any(gone).as_py():
        return
    values = {"failure_class": REMOVED, "failure_detail": DETAIL, "tar": None, "offset": None, "size": None}
    out.write_table(name, _replaced(table, gone, values))


def _erase_signatures(out: Folder, name: str, keys: frozenset[str]) -> None:
    signed = out.read_table(name, ["key", SIGNATURE[0]])
    gone = pc.is_in(signed["key"], value_set=pa.array(sorted(keys), pa.string()))
    if not pc.any(pc.and_(gone, pc.is_valid(signed[SIGNATURE[0]]))).as_py():
        return
    if name.startswith(f"{PARTS}/"):
        rewrite_part(out, name, lambda table: _without_signatures(table, keys))
    else:
        out.write_table(name, _without_signatures(out.read_table(name), keys))


def _without_signatures(table: pa.Table, keys: frozenset[str]) -> pa.Table:
    gone = pc.is_in(table["key"], value_set=pa.array(sorted(keys), pa.string()))
    return _replaced(table, gone, dict.fromkeys(SIGNATURE))


def _replaced(table: pa.Table, rows: pa.ChunkedArray, values: dict[str, str | None]) -> pa.Table:
    """Return the table with other values in some rows (a mask), and the same metadata."""
    for name, value in values.items():
        field = table.schema.field(name)
        column = pc.if_else(rows, pa.scalar(value, field.type), table[name])
        table = table.set_column(table.column_names.index(name), field, column)
    return table
