"""A bounded folder of tables that the processes of a machine share, each made once by whichever needs it first."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from dynet.errors import DataError

LOCKS = 256
"""Files that keys are locked by: two that fall on the same one wait for each other, which is harmless."""


class GroupCache:
    """Tables by key, memory-mapped from files that appear whole or not at all.

    A table is made by one process while others that need it wait. When the folder would grow beyond `max_bytes` the
    tables that were not opened for longest are dropped; who has one open still reads it (the file is only unlinked).
    It may be over by what is being written at the time, one table for each process.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self._most_bytes = max_bytes

    def open(self, key: str, make: Callable[[], pa.Table]) -> pa.Table:
        """The table of this key, made now if it is not there. Raises DataError where the folder cannot be written."""
        while True:
            table = self._opened(key)
            if table is not None:
                return table
            with self._holding(key, wait=True):
                self._add(key, make)

    def add_unless_locked(self, key: str, make: Callable[[], pa.Table]) -> None:
        """Make it if it is not there and no process is at it; returns at once otherwise."""
        if not self._file(key).exists():
            with self._holding(key, wait=False) as held:
                if held:
                    self._add(key, make)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.arrow"

    def _opened(self, key: str) -> pa.Table | None:
        try:
            os.utime(self._file(key))
            with pa.memory_map(str(self._file(key))) as file:
                return pa.ipc.open_file(file).read_all()
        except (FileNotFoundError, NotADirectoryError):  # dropped, perhaps a moment ago
            return None
        except pa.ArrowInvalid:  # the machine went down before the file was on its disk
            self._file(key).unlink(missing_ok=True)
            return None

    def _add(self, key: str, make: Callable[[], pa.Table]) -> None:
        """Under the key's lock: looks again, then writes under a temporary name and renames."""
        if self._file(key).exists():
            return
        table, part = make(), self.folder / f"{key}.part"
        try:
            self._make_room(table.nbytes)
            with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            part.replace(self._file(key))
        except OSError as error:
            part.unlink(missing_ok=True)
            raise DataError(f"{self.folder} cannot hold what is streamed: {error.strerror or error}") from error

    def _make_room(self, wanted: int) -> None:
        """Drop the tables that were not opened for longest, and what killed processes left unfinished."""
        with self._holding("dropping", wait=True):
            for part in self.folder.glob("*.part"):
                with self._holding(part.stem, wait=False) as held:
                    if held:
                        part.unlink(missing_ok=True)
            present = sorted((told.st_mtime_ns, file, told.st_size) for file, told in self._present())
            total = sum(size for _, _, size in present)
            for _, file, size in present:
                if total + wanted <= self._most_bytes:
                    return
                file.unlink(missing_ok=True)
                total -= size

    def _present(self) -> Iterator[tuple[Path, os.stat_result]]:
        for file in self.folder.glob("*.arrow"):
            with contextlib.suppress(FileNotFoundError):
                yield file, file.stat()

    @contextlib.contextmanager
    def _holding(self, key: str, *, wait: bool) -> Iterator[bool]:
        """The lock of a key, which ends with the process that has it; gives whether it was free."""
        number = "dropping" if key == "dropping" else int(hashlib.sha256(key.encode()).hexdigest(), 16) % LOCKS
        try:
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            file = (self.folder / "locks" / f"{number}").open("w")
        except OSError as error:
            raise DataError(f"{self.folder} cannot hold what is streamed: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:  # not left to closing: a process forked meanwhile has the file open too
                fcntl.flock(file, fcntl.LOCK_UN)
