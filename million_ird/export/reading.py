"""What is exported: the shards of a set, what stands in each beside the pixels, and its pictures one by one.

A shard is known by a digest of its footer and of every column but the pixels, so by its content and not by its file
name: shards keep their digest when a rebuild only numbers them anew.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.errors import BuildError, DamagedFile, UsageError
from million_ird.runtime.storage import Folder

CONFIGS: dict[str, str] = {"patches": "patches", "images": "data"}
"""The parts of a set that have pictures, and the folders in which they lie."""
PIXELS = "image"
FILE_NAME = "file_name"
BATCH = 16
"""Pictures that are read at once."""
_SHARD = re.compile(r"([a-z]+)-\d+-of-\d+\.parquet")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]*")
_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "JPEG2000": "jp2"}
"""Where the usual suffix is not the format's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One parquet file of the set."""

    path: str
    """Relative to the set."""
    split: str
    digest: str
    version: str
    """Changes when the file may have changed, even if its content has not."""
    rows: int
    groups: tuple[tuple[int, int], ...]
    """Of each row group: its rows, and the bytes of its pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture as it lies in the set."""

    name: str
    """Its id with `_` for `.`: loaders take what follows the first dot for the suffix."""
    suffix: str
    """`jpg`, `webp`, …: by the format, whatever the source called the file."""
    encoded: bytes
    columns: Mapping[str, object]
    """All that stands beside the pixels."""

    @property
    def file(self) -> str:
        """Name and suffix."""
        return f"{self.name}.{self.suffix}"


def find_shards(source: Folder, config: str) -> list[Shard]:
    """The shards of a part of the set, in their order, splits by name.

    Raises:
        UsageError: there are none.
        DamagedFile: one cannot be read.
    """
    if config not in CONFIGS:
        raise UsageError(f"{config}: no part of a set; there are {', '.join(CONFIGS)}")
    folder = CONFIGS[config]
    found = [(match[1], name) for name in source.names(folder) if (match := _SHARD.fullmatch(name))]
    if not found:
        raise UsageError(f"{source.url}: no {config} are here ({folder}/ holds no shards); build it first")
    return [_shard(source, f"{folder}/{name}", split) for split, name in sorted(found)]


def read_columns(source: Folder, shard: Shard) -> pa.Table:
    """All columns but the pixels, with the name and suffix of each picture's file as `file_name`.

    Raises:
        BuildError: the shard is gone, or the disk fails.
        DamagedFile: it cannot be read, or an id or format in it is none.
    """
    with _there(source, shard.path):
        return _columns(source, shard.path)


def read_pictures(source: Folder, shard: Shard) -> Iterator[Picture]:
    """The pictures of a shard in their order; a row group, at most 64 MB or one picture, is in memory at a time.

    Raises:
        BuildError: the shard is gone, or the disk fails.
        DamagedFile: it cannot be read.
    """
    with _there(source, shard.path), source.parquet(shard.path) as file:
        for number in range(file.num_row_groups):  # asked for all at once, it would hold the whole shard
            for batch in file.iter_batches(batch_size=BATCH, row_groups=[number]):
                for row in batch.to_pylist():
                    image = row.pop(PIXELS)
                    name, suffix = _name(shard.path, row, image["path"])
                    yield Picture(name=name, suffix=suffix, encoded=image["bytes"], columns=row)


def shapes(columns: pa.Table) -> Iterator[tuple[int, int]]:
    """Height and width of each picture, as displayed."""
    height, width = ("height", "width") if "height" in columns.column_names else ("size", "size")
    return zip(columns[height].to_pylist(), columns[width].to_pylist(), strict=True)


def unchanged(source: Folder, shards: Sequence[Shard]) -> bool:
    """Whether the shards' files are still those that were found."""
    try:
        return all(source.version(shard.path) == shard.version for shard in shards)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _there(source: Folder, path: str) -> Iterator[None]:
    """Says that it is the set that fails: whoever writes meanwhile would take an error for one of its own disk."""
    try:
        yield
    except OSError as error:
        raise BuildError(f"{source.path(path)}: cannot be read: {error.strerror or error}; run again") from error


def _shard(source: Folder, path: str, split: str) -> Shard:
    version = source.version(path)
    with source.parquet(path) as file:
        groups = tuple(_group(file.metadata.row_group(i)) for i in range(file.metadata.num_row_groups))
        rows = int(file.metadata.num_rows)
    sink = pa.BufferOutputStream()
    columns = _columns(source, path)
    with pa.ipc.new_stream(sink, columns.schema) as stream:
        stream.write_table(columns.combine_chunks())
    digest = hashlib.blake2b(_footer(source, path), digest_size=16)
    digest.update(sink.getvalue())
    return Shard(path=path, split=split, digest=digest.hexdigest(), version=version, rows=rows, groups=groups)


def _group(group: pq.RowGroupMetaData) -> tuple[int, int]:
    columns = [group.column(i) for i in range(group.num_columns)]
    return int(group.num_rows), sum(c.total_compressed_size for c in columns if c.path_in_schema == f"{PIXELS}.bytes")


def _footer(source: Folder, path: str) -> bytes:
    with source.open(path) as file:
        end = file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(end - length)
        return file.read(length)


def _columns(source: Folder, path: str) -> pa.Table:
    with source.parquet(path) as file:
        wanted = [name for name in file.schema_arrow.names if name != PIXELS]
        table = file.read([*wanted, f"{PIXELS}.path"])
    paths = [image["path"] for image in table[PIXELS].to_pylist()]
    rest = table.select(wanted).replace_schema_metadata(None)
    naming = rest.select([name for name in ("id", "format") if name in wanted]).to_pylist()
    files = [".".join(_name(path, row, old)) for row, old in zip(naming, paths, strict=True)]
    return rest.add_column(0, pa.field(FILE_NAME, pa.string()), pa.array(files, pa.string()))


def _name(path: str, row: Mapping[str, object], old: str) -> tuple[str, str]:
    called = str(row["id"])
    kind = str(row["format"]) if "format" in row else PurePosixPath(old or "").suffix.lstrip(".")
    if not _ID.fullmatch(called) or not kind.isalnum():
        raise DamagedFile(f"{path}: {called!r} of format {kind!r} is no picture of a set; build it again")
    return called.replace(".", "_"), _SUFFIXES.get(kind, kind.lower())
