"""What a source that cannot be read as it is named really is, and which form of `--sources` reads it.

Every hint ends in a form that works as it is written.
"""

import logging
import shlex
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as types

from million_ird.runtime.storage import Folder
from million_ird.sources.listing import has_magic
from million_ird.sources.table_parquet import is_bytes, is_list, plain_type

log = logging.getLogger(__name__)

_HUB = "hf://datasets/"
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
_TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
_HEAD = 1 << 16


def is_image_content(value: object) -> bool:
    """Return whether a cell holds an image itself, by its first bytes."""
    return isinstance(value, bytes) and (value.startswith(_MAGIC) or value[4:8] == b"ftyp")


def for_image_cells(folder: str, column: str) -> str:
    """Return what a column of encoded images is, and how they are read."""
    return f"its column {column!r} holds images themselves{_read_with(folder)}"


def for_schema(schema: pa.Schema, folder: str) -> str:
    """Return which columns of a parquet file hold images themselves, and how they are read; empty if none does."""
    for field in schema:
        kind = plain_type(field.type)
        lists = is_list(kind)
        inner = plain_type(kind.value_type) if lists else kind
        encoded = types.is_struct(inner) and "bytes" in {inner.field(i).name for i in range(inner.num_fields)}
        if encoded or is_bytes(inner):
            what = "lists of images" if lists else "images themselves"
            return f"its column {field.name!r} holds {what}{_read_with(folder)}"
    return ""


def for_json(name: str, head: bytes) -> str:
    """Return what a `.json` file is, by its first bytes, and how what it lists is read."""
    if not _is_array(head):
        return f"is JSON, not an image; if it has one object on each line, read it with {_sources(f'table:{name}')}"
    lines = f"{name.removesuffix('.json')}.jsonl"
    convert = f"`jq -c '.[]' {shlex.quote(name)} > {shlex.quote(lines)}`"
    return f"is one JSON array; write one object on each line with {convert}, and read that with {_sources(lines)}"


def for_folder(folder: Folder, names: Iterable[str], named_file: bool) -> str:
    """Return what a source without images is, and how it is read; empty if that is not known.

    Args:
        folder: Where the files are.
        names: The files in it, relative to it; looked at until one is a table.
        named_file: Whether the user named the only file, not the folder.
    """
    listed = sorted(names)
    for suffix in _TABLES:
        tables = [name for name in listed if name.lower().endswith(suffix)]
        if tables:
            return _for_tables(folder, tables, suffix, named_file)
    if named_file and listed and listed[0].lower().endswith(".json"):
        return for_json(f"{folder.url}/{listed[0]}", _head(folder, listed[0]))
    return ""


def _for_tables(folder: Folder, tables: Sequence[str], suffix: str, named_file: bool) -> str:
    several = f"holds {len(tables):,} {suffix} files" if len(tables) > 1 else "holds a table"
    what = "is a table" if named_file else several
    if suffix == ".parquet":
        try:
            with folder.open(tables[0]) as file:
                schema = pq.ParquetFile(file).schema_arrow
        except (pa.ArrowException, OSError) as error:
            log.debug("no hint from %s: %s", tables[0], error)
        else:
            if images := for_schema(schema, folder.url):
                return f"{what}; {images}"
    if named_file:
        return f"{what}; if it lists images, read it with {_sources(f'table:{folder.url}/{tables[0]}')}"
    deep = "**/" if any("/" in name for name in tables) else ""
    form = f"table:{folder.url}" if has_magic(folder.url) else f"{folder.url}/{deep}*{suffix}"
    return f"{what}, no images; if they list images, read them with {_sources(form)}"


def _read_with(folder: str) -> str:
    if folder.startswith(_HUB):
        repository = "/".join(folder.removeprefix(_HUB).split("/")[:2]).partition("@")[0]
        return f"; read them with {_sources(f'dataset:{repository}')}"
    if "://" in folder:
        return f"; copy the folder to a disk, and read them with {_sources('dataset:FOLDER')}"
    return f"; read them with {_sources(f'dataset:{folder}')}"


def _sources(form: str) -> str:
    return f"--sources {shlex.quote(form)}"


def _is_array(head: bytes) -> bool:
    return head.decode("utf-8-sig", errors="replace").lstrip().startswith("[")


def _head(folder: Folder, name: str) -> bytes:
    try:
        return folder.read(name, _HEAD)
    except OSError:
        return b""
