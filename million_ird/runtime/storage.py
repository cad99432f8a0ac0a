"""Every file that the package reads or writes goes through here: local disks and object stores alike.

A file is visible only when it is complete: on a disk it is written under a temporary name, flushed and renamed; an
object store shows an object only after the single put that ends it.
"""

import contextlib
import errno
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from million_ird.errors import BuildError, DamagedFile, OutputError, SourceError, UsageError
from million_ird.extras import missing_extra

_TEMPORARY = ".tmp-"
_UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG}
)
"""A write that fails with one of these will fail again: the output folder is a wrong choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file, as a listing shows it."""

    uri: str
    """Relative to the listed root, with `/` on every system."""
    size: int
    version: str
    """Changes when the file may have changed."""

    @property
    def identity(self) -> str:
        """All that the entry says, as names under `.work` are made of it.

        Written out, not `repr`: a class or a field may be renamed, and unfinished builds must still find their work.
        """
        return f"FileEntry({self._described})"

    @property
    def _described(self) -> str:
        return f"uri={self.uri!r}, size={self.size!r}, version={self.version!r}"


class Folder:
    """A folder on any file system, addressed by paths relative to it."""

    def __init__(self, root: str, options: Mapping[str, object] | None = None) -> None:
        """`options` go to the file system: endpoint, credentials, …

        Raises:
            SourceError: the URL's file system is unknown, or not installed, or does not take the options.
        """
        if not root:
            raise UsageError("a path is empty: name a folder or a file")
        self.options = dict(options or {})
        try:
            # A path on disk is taken as it is: fsspec would read `a::b` in it as a chain of file systems.
            path = os.path.abspath(os.path.expanduser(root))
            remote = "://" in root
            self.fs, path = fsspec.core.url_to_fs(root, **self.options) if remote else (LocalFileSystem(), path)
        except (ValueError, ImportError, TypeError, OSError) as error:
            raise (missing_extra(error) or SourceError(f"{root}: {error}")) from error
        self.root = path.rstrip("/") or "/"
        self.local = isinstance(self.fs, LocalFileSystem)
        self.url = self.root if self.local else root.rstrip("/")

    def holds(self, other: "Folder") -> bool:
        """Whether `other` is this folder or lies in it, links followed."""
        mine, its = (os.path.realpath(one.root) if one.local else one.root for one in (self, other))
        return type(self.fs) is type(other.fs) and f"{its}/".startswith(mine.rstrip("/") + "/")

    def __reduce__(self) -> tuple[type["Folder"], tuple[str, dict[str, object]]]:
        return type(self), (self.url, self.options)

    @property
    def is_folder(self) -> bool:
        """Whether there is a folder, not a file or nothing."""
        return bool(self.fs.isdir(self.root))

    def path(self, name: str) -> str:
        """The file system's own path of `name`."""
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder of that name is there."""
        return bool(self.fs.exists(self.path(name)))

    def version(self, name: str) -> str:
        """Changes when the file may have changed."""
        path = self.path(name)
        entry = local_entry(name, os.stat(path)) if self.local else remote_entry(name, self.fs.info(path))
        return entry.version

    def names(self, folder: str = "") -> list[str]:
        """Names directly in `folder`, sorted; nothing when there is no such folder."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    def find(self, name: str) -> Iterator[tuple[str, int]]:
        """All files below a folder, by their names here, with their sizes; nothing when there is no such folder."""
        found = self.fs.find(self.path(name), detail=True) if self.exists(name) else {}
        prefix = self.root.rstrip("/") + "/"
        for path, info in found.items():
            yield path.removeprefix(prefix), int(info["size"] or 0)

    def open(self, name: str) -> IO[bytes]:
        """Opens for reading; buffered, seekable."""
        path = self.path(name)
        opened: IO[bytes] = self.fs.open(_on_disk(path) if self.local else path, "rb")
        return opened

    def read(self, name: str, at_most: int = -1) -> bytes:
        """The whole content, or its first `at_most` bytes."""
        with self.open(name) as file:
            return file.read(at_most)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Opens `name` for writing; it appears, whole, when the block ends well, and not at all when it raises.

        Raises:
            BuildError: the disk is full.
        """
        with disk_errors(self.path(name)):
            if self.local:
                with _renamed_when_done(self.path(name)) as file:
                    yield file
            else:
                file = self.fs.open(self.path(name), "wb")
                try:
                    yield file
                except BaseException:
                    with contextlib.suppress(Exception):
                        file.discard()
                    raise
                file.close()

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file in one go."""
        with self.writing(name) as file:
            file.write(content)

    def write_json(self, name: str, value: object) -> None:
        """Writes JSON with sorted keys."""
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1)
        self.write(name, text.encode(errors="surrogateescape"))

    def read_json(self, name: str) -> Any:
        """Reads what `write_json` wrote; None when it is not there.

        Raises:
            DamagedFile: it is no JSON.
        """
        try:
            return json.loads(self.read(name).decode(errors="surrogateescape")) if self.exists(name) else None
        except ValueError as error:
            raise _damaged(self.path(name), error) from error

    def write_table(self, name: str, table: pa.Table) -> None:
        """Writes a small table as parquet."""
        with self.writing(name) as file:
            pq.write_table(table, file, compression="zstd")

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Reads a whole parquet file.

        Raises:
            DamagedFile: it is none.
        """
        with self.parquet(name) as file:
            return file.read(columns)

    def read_schema(self, name: str) -> pa.Schema:
        """The schema of a parquet file, from its footer.

        Raises:
            DamagedFile: it is none.
        """
        with self.parquet(name) as file:
            return file.schema_arrow

    @contextlib.contextmanager
    def parquet(self, name: str) -> Iterator[pq.ParquetFile]:
        """Opens a parquet file.

        Raises:
            DamagedFile: it is none, here or wherever in the block it turns out.
        """
        with self.open(name) as file:
            try:
                yield pq.ParquetFile(file)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowSerializationError) as error:
                raise _damaged(self.path(name), error) from error
            except OSError as error:
                if error.errno is not None:
                    raise
                raise _damaged(self.path(name), error) from error  # what pyarrow calls broken compression

    def rename(self, old: str, new: str) -> None:
        """Moves a file; atomic on a disk."""
        if self.local:
            os.makedirs(os.path.dirname(self.path(new)), exist_ok=True)
            os.replace(self.path(old), self.path(new))
        else:
            self.fs.mv(self.path(old), self.path(new))

    def remove(self, name: str) -> None:
        """Removes a file or a folder with all in it; nothing when it is not there."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(name), recursive=True)

    def leftovers(self) -> Iterator[str]:
        """What killed writers left under temporary names, wherever it lies; an object store shows none of it."""
        for folder, _, names in os.walk(self.root) if self.local else ():
            for name in names:
                if name.startswith(_TEMPORARY):
                    yield os.path.relpath(os.path.join(folder, name), self.root)

    def sweep(self) -> None:
        """Removes what killed writers left."""
        for name in self.leftovers():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))


def local_entry(name: str, status: os.stat_result) -> FileEntry:
    """A file on a disk, by what the system says of it."""
    return FileEntry(uri=as_text(name), size=status.st_size, version=f"{status.st_size}-{status.st_mtime_ns}")


def remote_entry(name: str, info: dict[str, Any]) -> FileEntry:
    """A file elsewhere, by what its file system says of it."""
    stamp = next((str(info[k]) for k in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(k)), "")
    return FileEntry(uri=name, size=int(info["size"] or 0), version=f"{info['size']}-{stamp}".strip('"'))


def as_text(name: str) -> str:
    """A file name as valid text: bytes that are no UTF-8 are written as `\\xe9`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _on_disk(path: str) -> str:
    """The path that `as_text` has made text of."""
    if "\\x" not in path or os.path.lexists(path):
        return path
    escaped = re.compile(rb"\\x([89a-f][0-9a-f])")
    return os.fsdecode(escaped.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(path)))


def why(error: OSError) -> str:
    """What the system says is wrong, in words."""
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    return error.strerror or str(error)


def _damaged(path: str, error: Exception) -> DamagedFile:
    return DamagedFile(f"{path}: damaged ({' '.join(str(error).split())}); remove it and run the build again")


@contextlib.contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Says in one line what a disk refuses, and whether it is worth another try."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BuildError(f"{path}: no space left; free some and run the same command again") from error
        kind = OutputError if error.errno in _UNUSABLE else BuildError
        raise kind(f"{path}: cannot be written: {why(error)}") from error


@contextlib.contextmanager
def _renamed_when_done(path: str) -> Iterator[IO[bytes]]:
    folder, _name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f"{_TEMPORARY}{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
