"""Pictures in folders, as people have them: clean ones, or pairs."""

import hashlib
import os
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np
import numpy.typing as npt

from dynet.data.image_set import CropPair, StoredImage, crop_from
from dynet.data.layouts import TaskFolder, find_task_folders
from dynet.errors import DataError


@dataclass(frozen=True, slots=True)
class FolderSet:
    """The files of a folder in the order of their names; files are read anew for each piece."""

    location: str
    task: str | None
    names: tuple[str, ...]
    clean: tuple[str, ...]
    """Paths, each as often as pairs share it; `names` gives a pair's name, or a clean picture's relative path."""

    degraded: tuple[str, ...] | None
    scenes: tuple[str, ...]
    """Equal for what shows the same: a clean picture's relative path, or a film's."""

    @classmethod
    def open(cls, location: str, task: str | None) -> list[Self]:
        """The sets of a folder, one for each task that its layout has; `task`, if given, is what the user says.

        Raises DataError for a folder without pictures, pairs that do not match, and a task for what is for several.
        """
        folder = Path(location)
        try:
            parts = find_task_folders(folder, "train")
        except DataError as error:
            raise DataError(f"--data {error}") from error
        if not any(part.pairs or part.pictures for part in parts):
            raise DataError(f"--data {location} holds neither pictures nor a data set that can be read")
        if task is not None and len(parts) > 1:
            kinds = ", ".join(part.task or ("pairs" if part.pairs else "clean pictures") for part in parts)
            raise DataError(f"--data {task}:{location} is for several tasks ({kinds}): name one of its folders")
        return [cls._of(part, task) for part in parts]

    @classmethod
    def _of(cls, part: TaskFolder, task: str | None) -> Self:
        where = str(part.folder)
        if not part.pairs:
            names = tuple(file.relative_to(part.folder).as_posix() for file in part.pictures)
            return cls(where, task, names, tuple(map(str, part.pictures)), None, names)
        return cls(
            where,
            task or part.task,
            tuple(pair.name for pair in part.pairs),
            tuple(str(pair.clean) for pair in part.pairs),
            tuple(str(pair.degraded) for pair in part.pairs),
            tuple(pair.scene or pair.clean.relative_to(part.folder).as_posix() for pair in part.pairs),
        )

    @property
    def paired(self) -> bool:
        """Whether there are degraded pictures too."""
        return self.degraded is not None

    @property
    def validation(self) -> None:
        """A folder has no split of its own."""
        return

    def __len__(self) -> int:
        return len(self.clean)

    def identity(self) -> bytes:
        """A hash of the names and of the files' sizes in bytes."""
        digest = hashlib.sha256()
        for files in (self.clean, self.degraded):
            for name, file in zip(self.names, files or (), strict=False):
                digest.update(os.fsencode(name) + f"\0{_bytes_of(file)}\n".encode())
        return digest.digest()

    def group_ids(self) -> npt.NDArray[np.uint64]:
        """By scene."""
        digests = b"".join(hashlib.blake2b(os.fsencode(scene), digest_size=8).digest() for scene in self.scenes)
        return np.frombuffer(digests, "<u8").astype(np.uint64)

    def rows_from_files(self, stems: Set[str]) -> npt.NDArray[np.int64]:
        """By the names of the clean files."""
        listed = [row for row, file in enumerate(self.clean) if PurePosixPath(file).stem.casefold() in stems]
        return np.array(listed, np.int64)

    def row_spans(self, seed: int, step: int) -> None:
        """All rows are at hand at every step."""
        return

    def crop(self, row: int, size: int, random: np.random.Generator) -> CropPair:
        """As `ImageSet.crop`."""
        degraded = None if self.degraded is None else _encoded(self.degraded[row])
        return crop_from(degraded, _encoded(self.clean[row]), size, random)


def _encoded(file: str) -> StoredImage:
    return StoredImage(Path(file), file)


def _bytes_of(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
