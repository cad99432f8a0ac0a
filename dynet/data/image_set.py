"""What training draws crops from: a set of clean pictures, or of pairs of a degraded and a clean picture."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from dynet.data.partial_decode import draw_crop_position, open_image
from dynet.errors import UnusableImage

Image8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CropPair:
    """The same square piece of a pair of pictures, both (size, size, 3); `degraded` is None in a set of clean ones."""

    degraded: Image8 | None
    clean: Image8


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A picture as it is stored, in memory or in a file, and what messages call it."""

    stored: bytes | Path
    name: str


class ImageSet(Protocol):
    """A set that any process opens the same way, so that row n is the same pictures everywhere.

    Rows are in an order that depends on names, never on a directory listing. A set can be pickled to a worker.
    """

    @property
    def location(self) -> str:
        """Where it lies, as messages name it."""

    @property
    def paired(self) -> bool:
        """Whether rows are pairs, not clean pictures alone."""

    @property
    def task(self) -> str | None:
        """The task that this set is for where its layout or its user says so, such as "derain"; None: for any."""

    @property
    def validation(self) -> Self | None:
        """The set's own split for validation, where it has one."""

    def __len__(self) -> int:
        """Rows to draw from."""

    def identity(self) -> bytes:
        """A hash of the rows' names and sizes: changes when they do, not when a folder is moved. Reads no pixels."""

    def group_ids(self) -> npt.NDArray[np.uint64]:
        """(rows,): equal numbers for rows that show parts of one picture; those are never held out in part."""

    def rows_from_files(self, stems: Set[str]) -> npt.NDArray[np.int64]:
        """The rows whose clean picture comes from a file of one of these names, without suffix and in lower case."""

    def row_spans(self, seed: int, step: int) -> npt.NDArray[np.int64] | None:
        """(n, 2): spans of rows (first, one after last) to draw from at a step, where only a part is at hand."""

    def crop(self, row: int, size: int, random: np.random.Generator) -> CropPair:
        """A piece of `size` pixels a side, every position as likely; decodes no more of the file than it must.

        Raises UnusablePicture, naming the row's file, where the picture is smaller, cannot be decoded, or where the
        two of a pair differ in size.
        """


def crop_from(degraded: StoredImage | None, clean: StoredImage, size: int, random: np.random.Generator) -> CropPair:
    """The same piece of both pictures, or of the clean one alone; raises as `ImageSet.crop` does."""
    target = open_image(clean.stored, clean.name)
    top, left = draw_crop_position(target, size, random)
    if degraded is None:
        return CropPair(None, target.region(top, left, size, size))
    given = open_image(degraded.stored, degraded.name)
    if (given.height, given.width) != (target.height, target.width):
        sizes = f"{given.width}x{given.height}", f"{target.width}x{target.height}"
        raise UnusableImage(f"{degraded.name} has {sizes[0]} pixels, but {clean.name} {sizes[1]}: no pair")
    return CropPair(given.region(top, left, size, size), target.region(top, left, size, size))
