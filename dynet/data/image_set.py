"""What training draws crops from: a set of clean images, or of pairs of a degraded and a clean image."""

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
    """The same square crop of a pair of images, both (size, size, 3); `degraded` is None in a set of clean images."""

    degraded: Image8 | None
    clean: Image8


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An encoded image in memory or in a file, and its name in messages."""

    content: bytes | Path
    name: str


class ImageSet(Protocol):
    """A set of images that every process opens in the same way, so that row n is the same images everywhere.

    The order of rows depends on names, never on a directory listing. A set can be pickled to a worker.
    """

    @property
    def location(self) -> str:
        """The folder or the repository, as messages name it."""

    @property
    def paired(self) -> bool:
        """Whether rows are pairs, not clean images only."""

    @property
    def task(self) -> str | None:
        """The task of this set, such as "derain", if its layout or the user names one; None: any task."""

    @property
    def validation(self) -> Self | None:
        """The set's own validation split, if it has one."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def identity(self) -> bytes:
        """Return a hash of the rows' names and sizes.

        It changes when these do, but not when a folder is moved. No pixels are read.
        """

    def group_ids(self) -> npt.NDArray[np.uint64]:
        """Return (rows,) numbers that are equal for rows from the same image; a group is held out as a whole."""

    def rows_from_files(self, stems: Set[str]) -> npt.NDArray[np.int64]:
        """Return the rows whose clean image comes from a file of one of these names, without suffix, in lower case."""

    def row_spans(self, seed: int, step: int) -> npt.NDArray[np.int64] | None:
        """Return the spans of rows to draw from at a step, (n, 2): first row, one after the last. None: all rows."""

    def crop(self, row: int, size: int, random: np.random.Generator, grid_share: float = 0.0) -> CropPair:
        """Return a crop with sides of `size` pixels at a random position; decode no more than it needs.

        Args:
            row: The row of the image.
            size: The side of the crop in pixels.
            random: What the position is drawn from.
            grid_share: As in `draw_crop_position`.

        Raises:
            UnusableImage: The image is smaller, cannot be decoded, or the two of a pair differ in size. The message
                names the file of the row.
        """


def crop_from(
    degraded: StoredImage | None,
    clean: StoredImage,
    size: int,
    random: np.random.Generator,
    grid_share: float = 0.0,
) -> CropPair:
    """Return the same crop of both images, or of the clean one only; raise what `ImageSet.crop` raises."""
    target = open_image(clean.content, clean.name)
    top, left = draw_crop_position(target, size, random, grid_share)
    if degraded is None:
        return CropPair(None, target.region(top, left, size, size))
    source = open_image(degraded.content, degraded.name)
    if (source.height, source.width) != (target.height, target.width):
        sizes = f"{source.width}x{source.height}", f"{target.width}x{target.height}"
        raise UnusableImage(f"{degraded.name} has {sizes[0]} pixels, but {clean.name} {sizes[1]}: no pair")
    return CropPair(source.region(top, left, size, size), target.region(top, left, size, size))
