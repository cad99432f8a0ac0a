"""Every file that the package reads or writes goes through here: local disks and object stores alike.

A file is visible only when it is complete: on a disk it is written under a temporary name, flushed and renamed; an
object store shows an object only after the single put that ends it.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from million_ird.errors import BuildError, OutputError, SourceError

TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a source, as the listing shows it."""

    uri: str
    """Relative to the listed root, with `/` on every system."""
    size: int
    version: str
    """Changes when the file may have changed."""


class Folder:
    """A folder on any file system, addressed by paths relative to it."""

    def __init__(self, root: str) -> None:
        try:
            self.fs, path = fsspec.core.url_to_fs(root)
        except (ValueError, ImportError) as error:
            raise SourceError(f"{root}: {error}") from error
        self.root = path.rstrip("/") or "/"
        self.local = isinstance(self.fs, LocalFileSystem)
        self.url = self.root if self.local else root.rstrip("/")

    def __reduce__(self) -> tuple[type["Folder"], tuple[str]]:
        return type(self), (self.url,)

    def path(self, name: str) -> str:
        """The file system's own path of `name`."""
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder of that name is there."""
        return bool(self.fs.exists(self.path(name)))

    def names(self, folder: str = "") -> list[str]:
        """Names directly in `folder`, sorted; nothing when there is no such folder."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)

    def open(self, name: str) -> IO[bytes]:
        """Opens for reading; buffered, seekable."""
        opened: IO[bytes] = self.fs.open(self.path(name), "rb")
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
        with _disk_errors(self.path(name)):
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
        self.write(name, json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1).encode())

    def read_json(self, name: str) -> Any:
        """Reads what `write_json` wrote; None when it is not there."""
        return json.loads(self.read(name)) if self.exists(name) else None

    def write_table(self, name: str, table: pa.Table) -> None:
        """Writes a small table as parquet."""
        with self.writing(name) as file:
            pq.write_table(table, file, compression="zstd")

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Reads a whole parquet file."""
        with self.open(name) as file:
            return pq.read_table(file, columns=columns)

    def read_schema(self, name: str) -> pa.Schema:
        """The schema of a parquet file, from its footer."""
        with self.open(name) as file:
            return pq.read_schema(file)

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

    def sweep(self, folder: str) -> None:
        """Removes what a killed writer left under temporary names."""
        for name in self.names(folder):
            if name.startswith(TEMPORARY):
                self.remove(f"{folder}/{name}" if folder else name)


def list_files(root: str) -> tuple[Folder, Iterator[FileEntry]]:
    """A folder (all files below it, hidden ones aside, sorted by path) or a single file.

    Raises:
        SourceError: nothing is there, or it cannot be listed.
    """
    folder = Folder(root)
    try:
        info = folder.fs.info(folder.root)
    except (FileNotFoundError, PermissionError, OSError) as error:
        raise SourceError(f"source {root}: {_why(error)}") from error
    if info["type"] == "file":
        name = folder.root.rsplit("/", 1)[-1]
        parent = Folder(folder.url.rsplit("/", 1)[0] or "/")
        return parent, iter([_entry(name, info)])
    return folder, _walk(folder)


def _walk(folder: Folder) -> Iterator[FileEntry]:
    prefix = folder.root.rstrip("/") + "/"
    found = folder.fs.find(folder.root, detail=True)
    for path in sorted(found):
        name = path.removeprefix(prefix)
        if not any(part.startswith(".") for part in name.split("/")):
            yield _entry(name, found[path])


def _entry(name: str, info: dict[str, Any]) -> FileEntry:
    stamp = next((str(info[k]) for k in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(k)), "")
    return FileEntry(uri=name, size=int(info["size"] or 0), version=f"{info['size']}-{stamp}".strip('"'))


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    return error.strerror or str(error)


@contextlib.contextmanager
def _disk_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BuildError(f"{path}: no space left; free some and run the same command again") from error
        if error.errno in {errno.EACCES, errno.EROFS, errno.ENOTDIR}:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        raise


@contextlib.contextmanager
def _renamed_when_done(path: str) -> Iterator[IO[bytes]]:
    folder, _name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f"{TEMPORARY}{uuid.uuid4().hex}")
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


def is_owned(folder: Folder, name: str) -> bool:
    """Whether some process holds `folder` now; False where there are no locks."""
    if not folder.local or not folder.exists(name):
        return False
    with open(folder.path(name), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def owned(folder: Folder, name: str) -> Iterator[None]:
    """Holds `folder` against other runs while the block runs; the kernel lets go when the process dies.

    Object stores have no such lock: there the promise is the user's.

    Raises:
        OutputError: another process holds it; the message names its pid and host.
    """
    if not folder.local:
        yield
        return
    path = folder.path(name)
    with _disk_errors(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            raise OutputError(f"{folder.url}: held by {owner}; wait for it or stop it") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)
