"""The images of a dataset as an export reads them: its shards, their columns, and the images one by one.

A shard is identified by a digest of its footer and of every column except the pixels, so by its content and not by its
file name: it keeps its digest when a rebuild only renumbers the shards.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.config.recipe import nearest
from million_ird.errors import BuildError, DamagedFile, UsageError
from million_ird.runtime.storage import Folder

CONFIGS: Mapping[str, str] = MappingProxyType({"patches": "patches", "images": "data"})
"""Configs of a dataset that have images, and their folders."""
PIXELS = "image"
FILE_NAME = "file_name"
BATCH = 16
"""Images that are read at once."""
_SHARD = re.compile(r"([a-z]+)-\d+-of-\d+\.parquet")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]*")
_SUFFIXES = {"JPEG": "jpg", "MPO": "jpg", "JPEG2000": "jp2"}
"""Usual suffixes that differ from the name of the format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetShard:
    """One parquet file of the dataset."""

    path: str
    """Path relative to the dataset."""
    split: str
    digest: str
    version: str
    """Changes when the file may have changed, even if its content did not."""
    rows: int
    groups: tuple[tuple[int, int], ...]
    """Number of rows and size of the images of each row group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetImage:
    """One image of the dataset."""

    name: str
    """The id with `_` for `.`: loaders take everything after the first dot as the suffix."""
    suffix: str
    """`jpg`, `webp`, … by the format, whatever the file was called in the source."""
    encoded: bytes
    columns: Mapping[str, object]
    """All columns except the pixels."""

    @property
    def file(self) -> str:
        """File name: name and suffix."""
        return f"{self.name}.{self.suffix}"


def find_shards(source: Folder, config: str) -> list[DatasetShard]:
    """Return the shards of a config, in order, with splits sorted by name.

    Raises:
        UsageError: There are none.
        DamagedFile: A shard cannot be read.
    """
    if config not in CONFIGS:
        raise UsageError(f"{config}: unknown config{nearest(config, CONFIGS)}; choose one of {', '.join(CONFIGS)}")
    folder = CONFIGS[config]
    names = [(match[1], name) for name in source.names(folder) if (match := _SHARD.fullmatch(name))]
    if not names:
        raise UsageError(f"{source.url}: there are no {config} ({folder}/ has no shards); build it first")
    return [_shard(source, f"{folder}/{name}", split) for split, name in sorted(names)]


def read_columns(source: Folder, shard: DatasetShard) -> pa.Table:
    """Return all columns except the pixels, with the file name of each image as `file_name`.

    Raises:
        BuildError: The shard is gone, or the disk fails.
        DamagedFile: It cannot be read, or an id or format in it is not valid.
    """
    with _as_build_error(source, shard.path):
        return _columns(source, shard.path)


def read_images(source: Folder, shard: DatasetShard) -> Iterator[DatasetImage]:
    """Yield the images of a shard, in order; one row group, at most 64 MB or one image, is in memory at a time.

    Raises:
        BuildError: The shard is gone, or the disk fails.
        DamagedFile: It cannot be read.
    """
    with _as_build_error(source, shard.path), source.parquet(shard.path) as file:
        for number in range(file.num_row_groups):  # pyarrow would keep the whole shard if asked for all groups
            for batch in file.iter_batches(batch_size=BATCH, row_groups=[number]):
                for row in batch.to_pylist():
                    image = row.pop(PIXELS)
                    name, suffix = _name(shard.path, row, image["path"])
                    yield DatasetImage(name=name, suffix=suffix, encoded=image["bytes"], columns=row)


def shapes(columns: pa.Table) -> Iterator[tuple[int, int]]:
    """Return height and width of each image, as displayed."""
    height, width = ("height", "width") if "height" in columns.column_names else ("size", "size")
    return zip(columns[height].to_pylist(), columns[width].to_pylist(), strict=True)


def unchanged(source: Folder, shards: Sequence[DatasetShard]) -> bool:
    """Return whether the files of the shards are still those that were found."""
    try:
        return all(source.version(shard.path) == shard.version for shard in shards)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _as_build_error(source: Folder, path: str) -> Iterator[None]:
    """Turn an `OSError` of the dataset into a `BuildError`: the writer would take it for one of the destination."""
    try:
        yield
    except OSError as error:
        raise BuildError(f"{source.path(path)}: cannot be read: {error.strerror or error}; run again") from error


def _shard(source: Folder, path: str, split: str) -> DatasetShard:
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
    return DatasetShard(path=path, split=split, digest=digest.hexdigest(), version=version, rows=rows, groups=groups)


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
        names = [name for name in file.schema_arrow.names if name != PIXELS]
        table = file.read([*names, f"{PIXELS}.path"])
    paths = [image["path"] for image in table[PIXELS].to_pylist()]
    rest = table.select(names).replace_schema_metadata(None)
    keys = rest.select([name for name in ("id", "format") if name in names]).to_pylist()
    files = [".".join(_name(path, row, image_path)) for row, image_path in zip(keys, paths, strict=True)]
    return rest.add_column(0, pa.field(FILE_NAME, pa.string()), pa.array(files, pa.string()))


def _name(path: str, row: Mapping[str, object], image_path: str) -> tuple[str, str]:
    image_id = str(row["id"])
    kind = str(row["format"]) if "format" in row else PurePosixPath(image_path or "").suffix.lstrip(".")
    if not _ID.fullmatch(image_id) or not kind.isalnum():
        raise DamagedFile(f"{path}: {image_id!r} of format {kind!r} is not a valid image; build the dataset again")
    return image_id.replace(".", "_"), _SUFFIXES.get(kind, kind.lower())
