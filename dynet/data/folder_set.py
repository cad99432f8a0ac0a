"""Datasets in plain folders: clean images, or pairs."""

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
    """The files of a folder, sorted by name; a file is read for each crop."""

    location: str
    task: str | None
    names: tuple[str, ...]
    clean: tuple[str, ...]
    """Paths of clean images, repeated if several pairs share one. `names` are those of pairs, or relative paths."""

    degraded: tuple[str, ...] | None
    scenes: tuple[str, ...]
    """Equal for images of the same scene: the relative path of the clean image, or of a video."""

    @classmethod
    def open(cls, location: str, task: str | None) -> list[Self]:
        """Return the sets of a folder, one for each task in its layout.

        Args:
            location: The folder.
            task: The task that the user names, or None.

        Raises:
            DataError: The folder has no images, its pairs do not match, or `task` is given although there are several.
        """
        folder = Path(location)
        try:
            task_folders = find_task_folders(folder, "train")
        except DataError as error:
            raise DataError(f"--data {error}") from error
        if not any(task_folder.pairs or task_folder.images for task_folder in task_folders):
            raise DataError(f"--data {location} holds neither images nor a dataset that can be read")
        if task is not None and len(task_folders) > 1:
            kinds = ", ".join(each.task or ("pairs" if each.pairs else "clean images") for each in task_folders)
            raise DataError(f"--data {task}:{location} is for several tasks ({kinds}): name one of its folders")
        return [cls._of(task_folder, task) for task_folder in task_folders]

    @classmethod
    def _of(cls, source: TaskFolder, task: str | None) -> Self:
        location = str(source.folder)
        if not source.pairs:
            names = tuple(file.relative_to(source.folder).as_posix() for file in source.images)
            return cls(location, task, names, tuple(map(str, source.images)), None, names)
        return cls(
            location,
            task or source.task,
            tuple(pair.name for pair in source.pairs),
            tuple(str(pair.clean) for pair in source.pairs),
            tuple(str(pair.degraded) for pair in source.pairs),
            tuple(pair.scene or pair.clean.relative_to(source.folder).as_posix() for pair in source.pairs),
        )

    @property
    def paired(self) -> bool:
        """Whether rows are pairs."""
        return self.degraded is not None

    @property
    def validation(self) -> None:
        """Always None: a folder has no validation split."""
        return

    def __len__(self) -> int:
        return len(self.clean)

    def identity(self) -> bytes:
        """Return a hash of the names and of the sizes of the files in bytes."""
        digest = hashlib.sha256()
        for files in (self.clean, self.degraded):
            for name, file in zip(self.names, files or (), strict=False):
                digest.update(os.fsencode(name) + f"\0{_file_size(file)}\n".encode())
        return digest.digest()

    def group_ids(self) -> npt.NDArray[np.uint64]:
        """Return the numbers of groups: a group is a scene."""
        digests = b"".join(hashlib.blake2b(os.fsencode(scene), digest_size=8).digest() for scene in self.scenes)
        return np.frombuffer(digests, "<u8").astype(np.uint64)

    def rows_from_files(self, stems: Set[str]) -> npt.NDArray[np.int64]:
        """Return the rows whose clean file has one of these names."""
        rows = [row for row, file in enumerate(self.clean) if PurePosixPath(file).stem.casefold() in stems]
        return np.array(rows, np.int64)

    def row_spans(self, seed: int, step: int) -> None:
        """Return None: all rows can be drawn at every step."""
        return

    def crop(self, row: int, size: int, random: np.random.Generator, grid_share: float = 0.0) -> CropPair:
        """Return a crop, as `ImageSet.crop` says."""
        degraded = None if self.degraded is None else _stored(self.degraded[row])
        return crop_from(degraded, _stored(self.clean[row]), size, random, grid_share)


def _stored(file: str) -> StoredImage:
    return StoredImage(Path(file), file)


def _file_size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
