"""A queue of tasks on disk, so that memory stays bounded however many there are."""

import pickle
import tempfile
from collections import deque
from typing import IO, Generic, TypeVar

Task = TypeVar("Task")


class DiskQueue(Generic[Task]):
    """Tasks in an unnamed temporary file that ends with the process; a few bytes of each are in memory."""

    def __init__(self, folder: str | None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._places: dict[str, deque[int]] = {}

    def add(self, task: Task, lane: str = "") -> None:
        """Append a task to a lane."""
        start = self._file.seek(0, 2)
        pickle.dump(task, self._file, protocol=5)
        self._places.setdefault(lane, deque()).append(start)

    def lanes(self) -> list[str]:
        """Return the lanes that still hold tasks."""
        return [lane for lane, places in self._places.items() if places]

    def take(self, lane: str = "") -> Task | None:
        """Remove and return the first task of a lane; None when it is empty."""
        places = self._places.get(lane)
        if not places:
            return None
        self._file.seek(places.popleft())
        task: Task = pickle.load(self._file)
        return task

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def close(self) -> None:
        """Free the disk."""
        self._file.close()
