"""The shape of a mark that many images have at one place, and how clearly each image has it.

A mark adds the same edges to every image, and the scenes behind it are all different: the mean of many gradients keeps
the mark and loses the scenes. Gradients are divided by those around them, so that no image with strong edges outvotes
the others. Means are divided by their standard error, and what is smooth (vignettes, the sky above the ground) is
subtracted. All sums are of integers: the order of the images does not matter.

An image is then compared with the mean of the *other* images, at the place of the mark and at all other places of the
same image: by how many standard deviations it is better at the right place.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW, LONG = 48, 100
"""Sides in px of the windows of a thumbnail in which marks are searched: a square of `WINDOW` in each corner, and in
the middle `WINDOW` along the short side and `LONG` along the other. So a mark is placed by the nearest corner or by
the middle, whatever the proportions of the image."""
PLACES = ("top left", "top right", "bottom left", "bottom right", "middle")
_RIM = 2
"""Pixels at the border of a thumbnail that do not count: reducing and compressing leave traces there."""
_AROUND = 9
"""Side in px of the square by whose mean gradient each gradient is divided."""
_FLOOR = 1.5
"""Levels that are added to that mean, so that noise in plain areas does not count as structure."""
_STEPS, _MOST = 32, 80
"""Steps to 1 of a stored gradient, and the largest."""
_SMOOTH = 7
"""Side in px of the square whose mean is subtracted from a mean gradient: marks have finer structure."""
_CERTAIN, _CLEAR, _LEAST = 5.0, 4.0, 3.0
"""Standard errors of a mean gradient: of the clearest pixel of a mark, of `_CLEAR_PIXELS` of it, and of each of its
pixels. Of photographs without a mark, the clearest of the 14,016 pixels has about 4 by chance."""
_CLEAR_PIXELS = 8
_GAP = 5
"""Pixels closer than this, in px, are of one mark."""
_LARGEST = 2000
"""Largest area in px of the box around a mark. In images that are alike as a whole, as of a fixed camera, it is larger:
these have no mark."""
_SOFTEST = 0.38
"""Largest correlation of a mark's mean gradient with that one pixel further across its edges. Marks are drawn at the
same pixels: mostly 0 to 0.3. The parts of aligned faces are at the same pixels nearly: drawings of them have 0.3 where
they differ by half a pixel, 0.5 where they differ by one."""
_NEAR = 3
"""Places within this distance, in px, of a mark do not count as other places."""
Gradients = NDArray[np.int8]
"""(h, w, 2) gradients of a thumbnail in both directions, in steps of 1/32."""


def gradients(thumbnail: NDArray[np.uint8]) -> Gradients | None:
    """Return the gradients of a thumbnail, (h, w, 3) uint8 sRGB; None if it is too small or narrow for the windows."""
    short, long = sorted(thumbnail.shape[:2])
    if short < WINDOW + 2 * _RIM + 1 or long < LONG + 2 * _RIM + 1:
        return None
    luma = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.int32)
    both = luma[:-1, 1:] - luma[:-1, :-1], luma[1:, :-1] - luma[:-1, :-1]
    steps = np.empty((*both[0].shape, 2), np.int8)
    for direction, own in enumerate(both):
        around = cv2.blur(np.abs(own).astype(np.float32), (_AROUND, _AROUND))
        steps[..., direction] = np.rint(np.clip(own * _STEPS / (around + _FLOOR), -_MOST, _MOST))
    return steps[_RIM:-_RIM, _RIM:-_RIM]


@dataclass(slots=True)
class MarkSums:
    """Sums over the gradients of images."""

    windows: tuple[tuple[int, int], ...]
    """Height and width of the window of each place."""
    images: int
    first: tuple[NDArray[np.int32], ...]
    """(height, width, 2) sums of each window."""
    squares: tuple[NDArray[np.int32], ...]
    """(height, width, 2) sums of squares of each window."""

    @classmethod
    def empty(cls, *, upright: bool) -> "MarkSums":
        """Return the sums over no image, for images that are higher than wide, or for the others."""
        windows = *[(WINDOW, WINDOW)] * 4, ((LONG, WINDOW) if upright else (WINDOW, LONG))
        first, squares = (tuple(np.zeros((*window, 2), np.int32) for window in windows) for _ in range(2))
        return cls(windows, 0, first, squares)

    def add(self, own: Gradients) -> None:
        """Add an image."""
        self.images += 1
        for place, (first, squares) in enumerate(zip(self.first, self.squares, strict=True)):
            part = self.window(own, place).astype(np.int32)
            first += part
            squares += part * part

    def window(self, own: Gradients, place: int) -> Gradients:
        """Return the gradients of an image in the window of a place."""
        (row, column), (height, width) = self.start(own, place), self.windows[place]
        return own[row : row + height, column : column + width]

    def start(self, own: Gradients, place: int) -> tuple[int, int]:
        """Return the first row and column of the window of a place."""
        rows, columns = (side - window for side, window in zip(own.shape, self.windows[place], strict=False))
        if place == len(PLACES) - 1:
            return rows // 2, columns // 2
        return rows * (place // 2), columns * (place % 2)


@dataclass(frozen=True, slots=True)
class SharedMark:
    """A mark that the images of some sums share."""

    place: int
    """Position in `PLACES`."""
    box: tuple[int, int, int, int]
    """Top, bottom, left and right of the mark in its window, in px."""
    sums: MarkSums
    shape: NDArray[np.bool_]
    """The pixels of the window that are around its edges."""

    def clearness(self, own: Gradients, *, counted: bool) -> float:
        """Return how clearly an image has the mark: standard deviations above the other places of the same image.

        Args:
            own: Of the image.
            counted: Whether the sums contain this image; it is taken out of them.
        """
        total = self.sums.first[self.place].astype(np.float64)
        if counted:
            total -= self.sums.window(own, self.place)
        top, bottom, left, right = self.box
        kernel = (_fine(total) * self.shape[..., None])[top:bottom, left:right].astype(np.float32)
        kernel /= max(1.0, float(np.abs(kernel).max()))
        image = own.astype(np.float32)
        found = np.zeros((image.shape[0] - kernel.shape[0] + 1, image.shape[1] - kernel.shape[1] + 1))
        for direction in range(2):
            one, other = (np.ascontiguousarray(both[..., direction]) for both in (image, kernel))
            found += cv2.matchTemplate(one, other, cv2.TM_CCORR)
        row, column = self.sums.start(own, self.place)
        row, column = row + top, column + left
        elsewhere = np.ones(found.shape, bool)
        elsewhere[max(0, row - _NEAR) : row + _NEAR + 1, max(0, column - _NEAR) : column + _NEAR + 1] = False
        spread = float(found[elsewhere].std()) if elsewhere.any() else 0.0
        return round((float(found[row, column]) - float(found[elsewhere].mean())) / spread, 3) if spread else 0.0


def find_shared_mark(sums: MarkSums) -> SharedMark | None:
    """Return the clearest mark that the images share; None if they share none, or are alike as a whole."""
    count = max(1, sums.images)
    found: list[tuple[float, SharedMark]] = []
    for place, (first, squares) in enumerate(zip(sums.first, sums.squares, strict=True)):
        errors = (np.sqrt(squares / count) + 0.2 * _STEPS) / np.sqrt(count)
        fine = _fine(first / count)
        strength = np.linalg.norm(fine / errors, axis=-1)
        shape = _shape(strength)
        if not shape.any():
            continue
        top, bottom, left, right = _box(shape)
        if (bottom - top) * (right - left) > _LARGEST:
            return None
        shape = _whole(shape, place)
        if shape.any() and _softness(fine * shape[..., None]) <= _SOFTEST:
            found.append((float((strength[shape] ** 2).sum()), SharedMark(place, _box(shape), sums, shape)))
    return max(found, key=lambda one: one[0])[1] if found else None


def _shape(strength: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the pixels of the marks in a window, with those between them.

    Args:
        strength: (h, w) mean gradients in standard errors.
    """
    joined = cv2.dilate((strength > _LEAST).astype(np.uint8), np.ones((_GAP, _GAP), np.uint8))
    count, labels = cv2.connectedComponents(joined)
    shape = np.zeros(strength.shape, bool)
    for label in range(1, count):
        own = labels == label
        if strength[own].max() > _CERTAIN and np.count_nonzero(strength[own] > _CLEAR) >= _CLEAR_PIXELS:
            shape |= own
    return shape


def _whole(shape: NDArray[np.bool_], place: int) -> NDArray[np.bool_]:
    """Leave out those of a window's marks that go on beyond it, towards the middle of the image."""
    middle = place == len(PLACES) - 1
    count, labels = cv2.connectedComponents(shape.astype(np.uint8))
    cut = np.zeros(count, bool)
    cut[labels[[0, -1] if middle else [0 if place // 2 else -1]]] = True
    cut[labels[:, [0, -1] if middle else [0 if place % 2 else -1]]] = True
    return np.asarray(shape & ~cut[labels])


def _box(shape: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(shape.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _softness(fine: NDArray[np.float64]) -> float:
    """Return the correlation of mean gradients, (h, w, 2), with those one pixel further in their direction."""
    across, down = fine[..., 0], fine[..., 1]
    further = (across[:, 1:] * across[:, :-1]).sum() + (down[1:] * down[:-1]).sum()
    return float(further / (fine**2).sum())


def _fine(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract from each mean gradient, (h, w, 2), the mean of those around it."""
    return np.asarray(means - cv2.blur(means, (_SMOOTH, _SMOOTH)), np.float64)
