"""What saving a copy again in a lossy form changes by itself, so that it is not taken for a harm of the other copy.

Rounded coefficients take away fine structure, and add some where they fall between two steps; they fill gaps of the
histogram, and move samples off its ends. Light and colours of areas stay as they are.
"""

import cv2
import numpy as np

from million_ird.dedup.aligned import Aligned, Plane
from million_ird.dedup.harms import Harms, Shown

_GOOD_QUALITY = 92
"""Quality from which on compression does not show."""
_LOSSLESS = 97
"""Quality from which on compression adds no fine structure that can be measured."""
_ADDED, _ADDED_PER_STEP, _MOST_ADDED = 0.1, 0.03, 0.6
"""Octaves of fine structure that rounding can add to begin with, for each step of quality, and in all."""
_AREA, _SAME_LEVEL = 9, 2.0
"""Side in px of the areas that are compared, and largest difference in levels."""
_MOST_AREAS = 0.9
"""Least share of areas that differ by less, of copies with the same light."""
_AREAS_BESIDE_MARKS = 0.5
"""The same of copies of which one may have marks laid over it."""
_AS_FINE = 0.1
"""Octaves of fine structure that a copy may lack and still count as equally fine."""
_SAME_QUALITY = 1.5
"""Largest difference between the traces of two copies that show the same compression."""
_OWN_QUALITY = 2.5
"""Largest difference between the trace of a file and the quality in its header, if the trace is of its own coding."""
_RESAVED = 0.1
"""More than doubtful harms of the other copy, less than clear ones. Both can have been saved from a third file: then
the one with the coding of that file, which may have been changed, is preferred, unless the change is found."""


def added_detail(richer: float, poorer: float) -> float:
    """Return the octaves of fine structure, ≥ 0, that compression alone can have added to the richer of two copies.

    Args:
        richer: Quality, 1 to 100, of the coding of its file.
        poorer: The same of the other copy.
    """
    if richer >= poorer:
        return 0.0
    return min(_MOST_ADDED, _ADDED + _ADDED_PER_STEP * max(0.0, min(poorer, _LOSSLESS) - richer))


def same_light(a: Plane, b: Plane, share: float = _MOST_AREAS) -> bool:
    """Return whether a share of the areas of two aligned copies, (h, w, 3) levels, have the same light and colours."""
    difference = np.abs(cv2.blur(a - b, (_AREA, _AREA)))
    return float(np.quantile(difference, share)) < _SAME_LEVEL


def judge_compression(copies: tuple[Shown, Shown], detail: float, harms: Harms) -> None:
    """Judge which copy is compressed more.

    Args:
        copies: Both.
        detail: Octaves of fine structure that the first has more.
        harms: Where the harm is added.
    """
    qualities = _compared_qualities(copies, detail)
    for side in (0, 1):
        lost = min(qualities[1 - side], _GOOD_QUALITY) - qualities[side]
        if lost > 0:
            harms.add(side, "compressed", 0.3 * lost / 100)


def judge_saved_again(copies: tuple[Shown, Shown], pair: Aligned, harms: Harms) -> None:
    """Judge whether one of two copies was saved from the other's JPEG file: then its pixels show that compression."""
    for side in (0, 1):
        # Other tones or colours erase a trace, so it would be another file's; marks leave it beside them.
        if _shows_coding(copies[side], copies[1 - side]) and same_light(
            pair.shared_a, pair.shared_b, _AREAS_BESIDE_MARKS
        ):
            harms.add(side, "resaved", _RESAVED)


def _shows_coding(copy: Shown, other: Shown) -> bool:
    """Return whether the pixels of a copy show the compression of the other one's file, and not that of its own."""
    if (copy.width, copy.height) != (other.width, other.height) or other.coding >= copy.coding:
        return False
    its_own = abs(other.trace - other.coding) <= _OWN_QUALITY
    return its_own and abs(copy.trace - other.trace) <= _SAME_QUALITY and copy.coding - copy.trace > _OWN_QUALITY


def _compared_qualities(copies: tuple[Shown, Shown], detail: float) -> tuple[float, float]:
    """Return the qualities, 1 to 100, in which two copies are compared.

    The pixels of one copy can show a compression that those of the other one do not, because it was saved again: if it
    has as much fine structure, the other has that compression in it, too, under the one of its own file.
    """
    for side, sign in ((0, 1), (1, -1)):
        own, other = copies[side], copies[1 - side]
        only_here = own.quality < min(own.coding, other.quality)
        if only_here and other.coding < own.coding and sign * detail > -_AS_FINE:
            return copies[0].coding, copies[1].coding
    return copies[0].quality, copies[1].quality
