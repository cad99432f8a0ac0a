"""Where two aligned copies show different things, and which of them has the edges of the difference."""

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.aligned import Aligned, Plane, luma, same_sharpness
from million_ird.dedup.harms import Harms

_RIM, _MIN_EDGES = 2, 8
"""Pixels at the border of the overlap that do not count, and least pixels of edges that do."""
_OWN_EDGE, _OWN_RATIO, _OWN_RATIO_OF_LARGE = 2.5, 3.0, 2.0
"""Levels per pixel of the edges that the owner of a difference has, and how many times as much as the other copy."""
_OWN_EDGE_OF_SMALL = 20.0
"""Levels per pixel that the edges of a single pixel need beyond that: compression and sharpness leave many small
differences, and this falls with the root of the pixels."""
_LARGE_MARK = 0.02
"""Share of the overlap."""
_SAME_TINTS = 1.15
"""Largest ratio of the spread of colours at which these are compared place by place: a copy can be recoloured."""
_OUTLINE, _OUTLINE_OF_FEW, _FEW = 0.2, 0.4, 40
"""Octaves by which edges along an outline are stronger in the owner's copy, at least; the second for outlines of fewer
pixels than the third."""
_CLEAR_OUTLINE = 0.65
"""The same where the other copy has the edges, too, with the opposite sign."""
_BLURRED = -0.2
"""Share of the edges of the owner that the other copy has, at least; less is the same edge, blurred."""
_BESIDE = 9, 3
"""Farthest and nearest of the pixels beside an outline: sides in px of squares around it."""
_SUPPORT = 0.15
"""Share of the size of a mark in tints that the mark has in luma, at least."""
_TOLD_APART = 5.0
"""Difference, in levels, from which on one copy shows what the other does not."""
_SMOOTHED, _SURELY_SMOOTHED, _SMOOTH_OVER = 0.42, 0.25, 3.0
"""Share of a difference that is left when it is blurred over so many pixels, up to which one copy is the other one, but
smoothed in that place; the second where no part has lost its fine structure. Of 45 blurred or pixelated parts nine
tenths leave at most 0.42, of 260 marks and texts that were laid over a copy 95 % leave 0.48 and more."""
_PLAIN = 1.0
"""Median difference from the median, in levels, up to which a copy is plain where the other one has something."""
_AROUND = 5
"""Side in px of the square by which the place of a difference is widened."""
_BUSY = 0.15
"""Error of the thumbnails' own compression, as a share of the local range."""


def judge_overlaid(planes: tuple[Plane, Plane], pair: Aligned, harms: Harms) -> None:
    """Judge whether something is laid over one of two copies.

    Args:
        planes: The lumas of both, with the same tones.
        pair: Both, aligned.
        harms: Where the harm is added.
    """
    apart = _judge(planes, None, harms)
    if any(harms.has(side, "overlaid") for side in (0, 1)):
        return
    for channel in (0, 2):
        tints = [image[..., channel] - luma(image) for image in (pair.shared_a, pair.shared_b)]
        if max(plane.std() for plane in tints) < _SAME_TINTS * min(plane.std() for plane in tints):
            _judge((tints[0], tints[1]), apart, harms)


def _judge(planes: tuple[Plane, Plane], support: NDArray[np.uint8] | None, harms: Harms) -> NDArray[np.uint8]:
    """Judge one channel, only if another one (`support`) differs at the same places; return where it does, 0 or 1."""
    a, b = same_sharpness(*planes)
    mask = told_apart(a, b)
    mask[:_RIM] = mask[-_RIM:] = mask[:, :_RIM] = mask[:, -_RIM:] = 0
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(bool)
    border[[0, -1]] = border[:, [0, -1]] = False
    # Few colours and tone curves change tints alone.
    if border.sum() < _MIN_EDGES or (support is not None and support.sum() < _SUPPORT * mask.sum()):
        return mask
    area = float(mask.mean())
    least_edge = _OWN_EDGE + _OWN_EDGE_OF_SMALL / float(np.sqrt(mask.sum()))
    owned = owned_edges(a, b, border)
    outlined = _outlined(a, b, mask)
    least_outline = _OUTLINE if mask.sum() >= _FEW else _OUTLINE_OF_FEW
    ratio = _OWN_RATIO if area < _LARGE_MARK else _OWN_RATIO_OF_LARGE
    # What smoothing and darkened corners leave behind looks like small marks.
    least = (
        _LARGE_MARK if any(harms.has(side, kind, 0.1) for side in (0, 1) for kind in ("smooth", "vignetted")) else 0.0
    )
    for side, sign in ((0, 1), (1, -1)):
        own, other = owned[side], owned[1 - side]
        # What is blurred in one copy has edges in both, against each other.
        if harms.has(1 - side, "noisy", 0.25) or (other < _BLURRED * own and sign * outlined < _CLEAR_OUTLINE):
            continue
        clear = own > least_edge and own > ratio * abs(other) and sign * outlined > 0
        # In a busy scene, edges of both meet those of the difference; those of one alone follow its outline.
        clear |= support is None and sign * outlined > least_outline and own > _OWN_EDGE
        if clear and area > least:
            severity = 0.08 + 0.6 * (1 - float(np.exp(-area / _LARGE_MARK)))
            if _hides(((b, a), (a, b))[side], mask, harms.has(1 - side, "hidden")):
                harms.add(1 - side, "hidden", severity)
            else:
                harms.add(side, "overlaid", severity)
    return mask


def _hides(planes: tuple[Plane, Plane], mask: NDArray[np.uint8], lost: bool) -> bool:
    """Return whether one copy hides there what the other one shows, rather than that something lies over the other one.

    Args:
        planes: The copy without the edges of the difference, and the other one.
        mask: Where they differ.
        lost: Whether parts of the first have lost their fine structure.
    """
    place = cv2.dilate(mask, np.ones((_AROUND, _AROUND), np.uint8)).astype(np.float32)
    inside = place > 0
    levels = planes[0][mask > 0]
    if lost and float(np.median(np.abs(levels - np.median(levels)))) < _PLAIN:
        return True
    difference = (planes[0] - planes[1]) * place
    weight = cv2.GaussianBlur(place, (0, 0), _SMOOTH_OVER) + 1e-3
    smooth = cv2.GaussianBlur(difference, (0, 0), _SMOOTH_OVER) / weight
    left, size = (float(np.sqrt((plane[inside] ** 2).mean())) for plane in (smooth, difference))
    return left < (_SMOOTHED if lost else _SURELY_SMOOTHED) * size


def _outlined(a: Plane, b: Plane, mask: NDArray[np.uint8]) -> float:
    """Return in which of two planes edges follow the outline of a mask: octaves, positive for the first.

    Both are compared with the edges beside the outline, since a scene has edges everywhere.
    """
    x, y = _gradient(np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0), np.float32))
    weight = float(np.hypot(x, y).sum()) + 1e-6
    far, near = (cv2.dilate(mask, np.ones((side, side), np.uint8)) > 0 for side in _BESIDE)
    beside = far & ~near
    ratios = []
    for plane in (a, b):
        across, down = _gradient(plane)
        along = float(np.abs(across * x + down * y).sum()) / weight
        usual = float(np.hypot(across, down)[beside].mean()) * 2 / np.pi if beside.any() else 0.0
        ratios.append((along + 1) / (usual + 1))
    return float(np.log2(ratios[0] / ratios[1]))


def told_apart(a: Plane, b: Plane) -> NDArray[np.uint8]:
    """Return where one of two planes shows what the other does not show within a pixel: (h, w) 0 or 1."""
    kernel = np.ones((3, 3), np.uint8)
    # Compression of the thumbnails is coarser where there is more to see.
    busy = np.minimum(*(cv2.dilate(plane, kernel) - cv2.erode(plane, kernel) for plane in (a, b)))
    excess = np.zeros(a.shape, np.float32)
    for one, other in ((a, b), (b, a)):
        above = one - cv2.dilate(other, kernel)
        below = cv2.erode(other, kernel) - one
        excess = np.maximum(excess, np.maximum(above, below))
    usual = float(np.median(np.abs(a - b)))
    return np.asarray(excess > max(_TOLD_APART, 3 * usual) + _BUSY * busy, np.uint8)


def owned_edges(a: Plane, b: Plane, where: NDArray[np.bool_]) -> tuple[float, float]:
    """Return how much of the edges of the difference, in levels per pixel, each of two planes has."""
    x, y = _gradient(a - b)
    size = np.sqrt(x * x + y * y) + 1e-3
    shares = []
    for plane, sign in ((a, 1), (b, -1)):
        own_x, own_y = _gradient(plane)
        shares.append(float((sign * (own_x * x + own_y * y) / size)[where].mean()))
    return shares[0], shares[1]


def _gradient(plane: Plane) -> tuple[Plane, Plane]:
    across, down = (cv2.Sobel(plane, cv2.CV_32F, *order, ksize=3, scale=0.125) for order in ((1, 0), (0, 1)))
    return np.asarray(across, np.float32), np.asarray(down, np.float32)
