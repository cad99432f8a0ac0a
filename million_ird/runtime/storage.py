"""Read and write every file of the package: on local disks and in object stores alike.

A file is visible only when it is complete: on a disk it is written by `renamed_when_done`; an object store shows an
object only after its single put has ended.
"""

import contextlib
import errno
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from million_ird.errors import BuildError, DamagedFile, OutputError, SourceError, UsageError
from million_ird.extras import missing_extra
from million_ird.runtime.file_names import as_name, as_text
from million_ird.runtime.local_files import flush_folder, is_leftover, make_folder, read_at_most, renamed_when_done
from million_ird.strict_json import to_json

_UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG}
)
"""A write that fails with one of these errors will fail again: the output folder cannot be used."""


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
        """All fields as text, of which file names under `.work` are hashes.

        Written out instead of `repr`: when a class or a field is renamed, unfinished builds must still find their work.
        """
        return f"FileEntry({self._described})"

    @property
    def _described(self) -> str:
        return f"uri={self.uri!r}, size={self.size!r}, version={self.version!r}"


class _WatchedFiles(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The disks of this machine; remembers what cannot be listed, which `glob` leaves out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.unseen: list[tuple[str, OSError]] = []

    def ls(self, path: str, detail: bool = False, **options: Any) -> list[Any]:
        """List a folder.

        Raises:
            OSError: It cannot be listed; `unseen` has it then.
        """
        try:
            listed: list[Any] = super().ls(path, detail=detail, **options)
        except OSError as error:
            self.unseen.append((path, error))
            raise
        return listed


class Folder:
    """A folder on any file system, addressed by paths relative to it."""

    def __init__(self, root: str, options: Mapping[str, object] | None = None) -> None:
        """Open a folder; `options` go to the file system: endpoint, credentials and the like.

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
        """Return whether `other` is this folder or is inside it, links followed."""
        mine, its = (os.path.realpath(one.root) if one.local else one.root for one in (self, other))
        return type(self.fs) is type(other.fs) and f"{its}/".startswith(mine.rstrip("/") + "/")

    def __reduce__(self) -> tuple[type["Folder"], tuple[str, dict[str, object]]]:
        return type(self), (self.url, self.options)

    @property
    def is_folder(self) -> bool:
        """Whether there is a folder, not a file or nothing."""
        return bool(self.fs.isdir(self.root))

    def path(self, name: str) -> str:
        """Return the file system's own path of `name`."""
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def real_path(self, name: str) -> str:
        """Return the path of a file by its name in a listing, which is `as_text`; of any other name, its plain path."""
        path = self.path(name)
        if not self.local or "\\x" not in name:
            return path
        meant = self.path(as_name(name))
        return meant if os.path.lexists(meant) else path

    def exists(self, name: str = "") -> bool:
        """Return whether a file or folder of that name exists."""
        return bool(self.fs.exists(self.real_path(name)))

    def version(self, name: str) -> str:
        """Return a text that changes when the file may have changed."""
        path = self.real_path(name)
        entry = local_entry(name, os.stat(path)) if self.local else remote_entry(name, self.fs.info(path))
        return entry.version

    def names(self, folder: str = "") -> list[str]:
        """Return the names directly in `folder`, sorted; none when there is no such folder."""
        self.fs.invalidate_cache()
        try:
            paths = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in paths)

    def sizes(self, folder: str) -> list[tuple[str, int]]:
        """Return the names directly in `folder`, sorted, with their sizes in bytes; none when there is no folder."""
        self.fs.invalidate_cache()
        try:
            listed = self.fs.ls(self.path(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted((info["name"].rstrip("/").rsplit("/", 1)[-1], int(info["size"] or 0)) for info in listed)

    def find(self, name: str) -> Iterator[tuple[str, int]]:
        """Yield all files below a folder, relative to this one, with their sizes; none where it does not exist."""
        files = self.fs.find(self.path(name), detail=True) if self.exists(name) else {}
        prefix = self.root.rstrip("/") + "/"
        for path, info in files.items():
            yield path.removeprefix(prefix), int(info["size"] or 0)

    def matches(self) -> tuple[dict[str, dict[str, Any]], list[tuple[str, OSError]]]:
        """Return what the folder's path matches as a pattern, and the folders on a disk that cannot be looked into."""
        files = _WatchedFiles(skip_instance_cache=True) if self.local else self.fs
        matches: dict[str, dict[str, Any]] = files.glob(self.root, detail=True)
        return matches, files.unseen if isinstance(files, _WatchedFiles) else []

    def open(self, name: str) -> IO[bytes]:
        """Open for reading; buffered, seekable."""
        opened: IO[bytes] = self.fs.open(self.real_path(name), "rb")
        return opened

    def read(self, name: str, at_most: int = -1) -> bytes:
        """Return the whole content, or its first `at_most` bytes."""
        with self.open(name) as file:
            return file.read() if at_most < 0 else read_at_most(file, at_most)

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Return some bytes of a file, in one request."""
        if not self.local:
            content: bytes = self.fs.cat_file(self.path(name), start=start, end=stop)
            return content
        with self.open(name) as file:
            file.seek(start)
            return file.read(stop - start)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Open `name` for writing; it appears, complete, when the block succeeds, and not at all when it raises.

        Raises:
            BuildError: the disk is full.
        """
        with disk_errors(self.path(name)):
            if self.local:
                with renamed_when_done(self.path(name)) as file:
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
        """Write a small file at once."""
        with self.writing(name) as file:
            file.write(content)

    def write_json(self, name: str, value: object) -> None:
        """Write JSON with sorted keys."""
        text = to_json(value, sort_keys=True, indent=1)
        self.write(name, text.encode(errors="surrogateescape"))

    def read_json(self, name: str) -> Any:
        """Read what `write_json` wrote; None when the file does not exist.

        Raises:
            DamagedFile: it is not JSON.
        """
        try:
            return json.loads(self.read(name).decode(errors="surrogateescape")) if self.exists(name) else None
        except ValueError as error:
            raise _damaged(self.path(name), error) from error

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a small table as parquet."""
        with self.writing(name) as file:
            pq.write_table(table, file, compression="zstd")

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a whole parquet file.

        Raises:
            DamagedFile: it is not parquet, or damaged.
        """
        with self.parquet(name) as file:
            return file.read(columns)

    def read_schema(self, name: str) -> pa.Schema:
        """Return the schema of a parquet file, from its footer.

        Raises:
            DamagedFile: it is not parquet, or damaged.
        """
        with self.parquet(name) as file:
            return file.schema_arrow

    @contextlib.contextmanager
    def parquet(self, name: str, content: bytes | None = None) -> Iterator[pq.ParquetFile]:
        """Open a parquet file; of one whose `content` was read before, name only its errors.

        Raises:
            DamagedFile: it is not parquet, or damaged; also where that shows only inside the block.
        """
        with self.open(name) if content is None else io.BytesIO(content) as file:
            try:
                yield pq.ParquetFile(file)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowSerializationError) as error:
                raise _damaged(self.path(name), error) from error
            except OSError as error:
                if error.errno is not None:
                    raise
                raise _damaged(self.path(name), error) from error  # pyarrow raises this for broken compression

    def rename(self, old: str, new: str) -> None:
        """Move a file; atomic on a disk, and safe from a power cut."""
        if self.local:
            into = os.path.dirname(self.path(new))
            make_folder(into)
            os.replace(self.path(old), self.path(new))
            flush_folder(into)
        else:
            self.fs.mv(self.path(old), self.path(new))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with its content; do nothing when it does not exist."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(name), recursive=True)

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove files, many at once from an object store; what does not exist is left out."""
        if self.local:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path(name))
            return
        try:
            self.fs.rm([self.path(name) for name in names])
        except FileNotFoundError:  # some file systems stop at the first one that is gone
            for name in names:
                self.remove(name)

    def leftovers(self) -> Iterator[str]:
        """Yield the temporary files that dead processes of this machine left anywhere in the folder.

        Those of other machines are not among them: whether their writers are alive cannot be known here. Ask before
        this process writes. Object stores have none.
        """
        for folder, _, names in os.walk(self.root) if self.local else ():
            for name in filter(is_leftover, names):
                yield os.path.relpath(os.path.join(folder, name), self.root)

    def sweep(self) -> None:
        """Remove the temporary files that dead processes of this machine left; call it before this process writes."""
        for name in self.leftovers():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))

    def remove_empty(self, name: str) -> None:
        """Remove a folder on a disk if nothing is in it, in one step: what others put there meanwhile stays."""
        if self.local:
            with contextlib.suppress(OSError):
                os.rmdir(self.path(name))


def local_entry(name: str, status: os.stat_result) -> FileEntry:
    """Describe a file on a disk from its `stat`."""
    return FileEntry(uri=as_text(name), size=status.st_size, version=f"{status.st_size}-{status.st_mtime_ns}")


def remote_entry(name: str, info: dict[str, Any]) -> FileEntry:
    """Describe a file elsewhere from its file system's information."""
    stamp = next((str(info[k]) for k in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(k)), "")
    return FileEntry(uri=name, size=int(info.get("size") or 0), version=f"{info.get('size')}-{stamp}".strip('"'))


def reason_of(error: OSError) -> str:
    """Return the reason of a system error in words."""
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    return error.strerror or str(error)


def _damaged(path: str, error: Exception) -> DamagedFile:
    return DamagedFile(f"{path}: damaged ({' '.join(str(error).split())}); remove it and run the build again")


@contextlib.contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turn what a disk refuses into one line, and into the error that says whether trying again can help."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BuildError(f"{path}: no space left; free some and run the same command again") from error
        kind = OutputError if error.errno in _UNUSABLE else BuildError
        raise kind(f"{path}: cannot be written: {reason_of(error)}") from error
