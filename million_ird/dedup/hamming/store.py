"""Named arrays that the tasks of a search pass to each other: in memory, or in a folder where memory is short."""

import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

ArrayRef = tuple[str, int]
"""A stored array: its name and its length."""
_MAPPED_ABOVE = 1 << 20
"""Files with more bytes are mapped, smaller ones are read."""


class ArrayStore(Protocol):
    """A store of named arrays; the search does not know whether it is on disk."""

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Store an array under a name, completely or not at all."""

    def load(self, name: str) -> NDArray[Any]:
        """Return an array; a large one in a folder is mapped, not read."""

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Read some rows of an array."""

    def drop(self, name: str) -> None:
        """Delete an array."""


@dataclass(frozen=True, slots=True)
class MemoryStore:
    """Arrays in the memory of this process."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Store an array under a name."""
        self.arrays[name] = array

    def load(self, name: str) -> NDArray[Any]:
        """Return an array."""
        return self.arrays[name]

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return some rows of an array."""
        return self.arrays[name][start:stop]

    def drop(self, name: str) -> None:
        """Delete an array."""
        del self.arrays[name]


@dataclass(frozen=True, slots=True)
class DiskStore:
    """Arrays in a folder on a local disk, which other processes can read too."""

    folder: Path

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Write an array under a temporary name, then rename it."""
        part = self.folder / f"{uuid.uuid4().hex}.part"
        with part.open("wb") as file:
            np.save(file, array)
        os.replace(part, self.folder / f"{name}.npy")

    def load(self, name: str) -> NDArray[Any]:
        """Map a large array, or read a small one."""
        path = self.folder / f"{name}.npy"
        # A copy-on-write map counts as writable, so the compiled loops need no second version for read-only arrays.
        return np.asarray(np.load(path, mmap_mode="c") if path.stat().st_size > _MAPPED_ABOVE else np.load(path))

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Read some rows of an array."""
        return np.array(np.load(self.folder / f"{name}.npy", mmap_mode="r")[start:stop])

    def drop(self, name: str) -> None:
        """Delete the file of an array."""
        (self.folder / f"{name}.npy").unlink()
