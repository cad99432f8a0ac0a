"""A folder of tables with a size limit, shared by the processes of a machine; each table is made once."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from dynet.errors import DataError

LOCKS = 256
"""Number of lock files. Two keys with the same lock file wait for each other, which is harmless."""
_DELETING = "dropping"
"""Lock file of the process that deletes tables."""


class GroupCache:
    """Tables by key, memory-mapped from files that appear whole or not at all.

    One process makes a table while others that need it wait. When the folder would exceed `max_bytes`, the least
    recently opened tables are deleted; a process that has one open can still read it. The folder may exceed the limit
    by the tables that are being written, one for each process.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    def open(self, key: str, make: Callable[[], pa.Table]) -> pa.Table:
        """Return the table of this key, and make it first if it is not there.

        Raises:
            DataError: The folder cannot be written to, or `make` raises it.
        """
        while True:
            table = self._read(key)
            if table is not None:
                return table
            with self._lock(key, wait=True):
                self._add(key, make)

    def add_unless_locked(self, key: str, make: Callable[[], pa.Table]) -> None:
        """Make the table, unless it is there or another process is making it: then return at once."""
        if not self._file(key).exists():
            with self._lock(key, wait=False) as acquired:
                if acquired:
                    self._add(key, make)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.arrow"

    def _read(self, key: str) -> pa.Table | None:
        try:
            os.utime(self._file(key))
            with pa.memory_map(str(self._file(key))) as file:
                return pa.ipc.open_file(file).read_all()
        except (FileNotFoundError, NotADirectoryError):  # deleted, perhaps a moment ago
            return None
        except pa.ArrowInvalid:  # the machine stopped before the file was on the disk
            self._file(key).unlink(missing_ok=True)
            return None

    def _add(self, key: str, make: Callable[[], pa.Table]) -> None:
        """Make and write the table while this process has its lock: to a temporary name, then renamed."""
        if self._file(key).exists():
            return
        table, temporary = make(), self.folder / f"{key}.part"
        try:
            self._make_room(table.nbytes)
            with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            temporary.replace(self._file(key))
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise DataError(f"{self.folder} cannot be written to: {error.strerror or error}") from error

    def _make_room(self, needed_bytes: int) -> None:
        """Delete unfinished files of killed processes, then the least recently opened tables."""
        with self._lock(_DELETING, wait=True):
            for temporary in self.folder.glob("*.part"):
                with self._lock(temporary.stem, wait=False) as acquired:
                    if acquired:
                        temporary.unlink(missing_ok=True)
            tables = sorted((stat.st_mtime_ns, file, stat.st_size) for file, stat in self._tables())
            total = sum(size for _, _, size in tables)
            for _, file, size in tables:
                if total + needed_bytes <= self._max_bytes:
                    return
                file.unlink(missing_ok=True)
                total -= size

    def _tables(self) -> Iterator[tuple[Path, os.stat_result]]:
        for file in self.folder.glob("*.arrow"):
            with contextlib.suppress(FileNotFoundError):
                yield file, file.stat()

    @contextlib.contextmanager
    def _lock(self, key: str, *, wait: bool) -> Iterator[bool]:
        """Lock a key, and yield whether that worked; the lock ends with the process that has it."""
        number = _DELETING if key == _DELETING else int(hashlib.sha256(key.encode()).hexdigest(), 16) % LOCKS
        try:
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            file = (self.folder / "locks" / f"{number}").open("w")
        except OSError as error:
            raise DataError(f"{self.folder} cannot be written to: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:  # closing is not enough: a process that was forked meanwhile has the file open, too
                fcntl.flock(file, fcntl.LOCK_UN)
