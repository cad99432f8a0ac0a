"""Which of two aligned copies shows more of the scene, with less added or lost.

Whatever differs between two copies was done to one of them. The difference itself shows which one: what was laid over
an image has its edges in that image alone; bars and pages meet the picture in a seam where a scene goes on; noise adds
the same everywhere, smoothing takes away, an enlargement has nothing in its upper octave.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from million_ird.dedup.aligned import (
    Aligned,
    Box,
    Placement,
    Plane,
    align,
    luma,
    same_tones,
    turn,
)
from million_ird.dedup.compression import added_detail, judge_compression, judge_saved_again, same_light
from million_ird.dedup.fine_structure import FineStructure, compare_fine, turned
from million_ird.dedup.harms import Harms, Shown, Verdict
from million_ird.dedup.lost_parts import drop_feigned_losses, judge_parts
from million_ird.dedup.overlaid import judge_overlaid
from million_ird.dedup.surroundings import covered_by_bars, judge_surroundings
from million_ird.dedup.tones import drop_feigned_fading, judge_clipped, judge_contrast, judge_gaps
from million_ird.measures.view import View

_MAX_ERROR, _SMALL_ERROR = 0.85, 0.08
"""Errors of an alignment (`Aligned.error`): from the first on it is not used, under the second no other is tried."""
_OTHER_SIZE = 0.15
"""Octaves from which on one copy is larger than the other."""
_MORE_CONTRAST, _LARGEST_GAIN = 1.35, 2.4
"""Local contrast that only processing gives, and octaves of fine structure that no sharpening gives."""
_EVEN = 0.6
"""Least share of its gain in faint structure that sharpening has in strong structure, too."""
_FINE, _MUCH_NOISE = 92, 3.0
"""Quality of a copy that was not smoothed by compression, and noise in levels that the other has where it has least."""
_COARSER = 8
"""Difference in JPEG quality that shows."""
_PLAIN, _BELOW_NOISE = 0.3, 3.0
"""Fine structure in levels, and in standard deviations of noise, of the parts in which added noise shows."""
_SAME_STRUCTURE, _LOCAL = 0.05, 0.25
"""Octaves within which two parts are the same, and share of such parts from which on no noise was added."""
_FALL = 1.1
"""How much more of white noise there is than at half the resolution, at least."""


def compare_copies(first: Shown, second: Shown, placements: Sequence[Placement]) -> Verdict | None:
    """Judge two copies; None if what both show is too small, or does not agree.

    Args:
        first: One of the copies.
        second: The other one.
        placements: Where the second may lie relative to the first, about, between whole images.
    """
    harms = Harms()
    if _covered(first.view, second.view, placements[-1], harms):
        judge_compression((first, second), 0.0, harms)
        return Verdict(*harms.sides)
    pair, placement = best_alignment(first.view, second.view, placements)
    if pair is None or pair.error > _MAX_ERROR:
        return None
    _judge_surroundings(pair, harms)
    brightened = _without_vignette(luma(pair.shared_a), luma(pair.shared_b), harms)
    same = same_light(pair.shared_a, pair.shared_b)
    detail = _judge_fine(first, second, placement, pair, same, harms)
    judge_overlaid(_same_tones_of_both(brightened, luma(pair.shared_b)), pair, harms)
    _judge_colours(pair, harms)
    judge_gaps((first, second), detail, same, harms)
    judge_clipped((first, second), pair, same, harms)
    judge_compression((first, second), detail, harms)
    judge_saved_again((first, second), pair, harms)
    drop_feigned_losses(harms)
    drop_feigned_fading(harms)
    return Verdict(*harms.sides)


def best_alignment(first: View, second: View, placements: Sequence[Placement]) -> tuple[Aligned | None, Placement]:
    """Return the alignment after which both agree best, the earlier one of two that are about equal."""
    best: Aligned | None = None
    chosen = placements[0]
    for placement in placements:
        pair = align(first.thumbnail, second.thumbnail, placement)
        if pair is not None and (best is None or pair.error < 0.95 * best.error):
            best, chosen = pair, placement
        if best is not None and best.error < _SMALL_ERROR:
            break
    return best, chosen


def _covered(first: View, second: View, placement: Placement, harms: Harms) -> bool:
    """Judge whether bars lie over one of two copies that have the same sides."""
    turned_second = turn(second.thumbnail, placement.orientation)
    (height, width), (rows, columns) = first.thumbnail.shape[:2], turned_second.shape[:2]
    if max(abs(height - rows), abs(width - columns)) > 1:
        return False
    resized = cv2.resize(turned_second.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    planes = luma(first.thumbnail.astype(np.float32)), luma(np.asarray(resized, np.float32))
    shares = covered_by_bars(*planes)
    for side in (0, 1):
        if shares[side]:
            harms.add(side, "surrounded", 0.3 + shares[side])
    return any(shares)


def _judge_surroundings(pair: Aligned, harms: Harms) -> None:
    for side, (image, box) in enumerate(((pair.a, pair.box_a), (pair.b, pair.box_b))):
        found = judge_surroundings(image, box)
        if found.added:
            harms.add(side, "surrounded", 0.2 + min(0.5, found.added))
        if found.scene:
            harms.add(1 - side, "cut", 0.1 + found.scene / max(0.05, 1 - found.added))


def _same_tones_of_both(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    """Return both planes, that of less contrast with the tones of the other."""
    return (same_tones(a, b), b) if a.std() < b.std() else (a, same_tones(b, a))


def _without_vignette(a: Plane, b: Plane, harms: Harms) -> Plane:
    """Judge whether the corners of one copy are darker; return the first one as bright as the second."""
    ratio = np.log2((cv2.GaussianBlur(a, (0, 0), 3) + 8) / (cv2.GaussianBlur(b, (0, 0), 3) + 8))
    y, x = (np.linspace(-1, 1, side) for side in ratio.shape)
    radius = y[:, None] ** 2 + x[None] ** 2
    centred, apart = radius - radius.mean(), ratio - ratio.mean()
    slope = float((centred * apart).sum() / (centred**2).sum())
    explained = slope**2 * float((centred**2).sum()) / max(1e-6, float((apart**2).sum()))
    if abs(slope) < 0.15 or explained < 0.6:
        return a
    harms.add(0 if slope < 0 else 1, "vignetted", 0.15)
    smooth = cv2.GaussianBlur(ratio, (0, 0), 6)
    return np.asarray((a + 8) * 2**-smooth - 8, np.float32)


def _judge_colours(pair: Aligned, harms: Harms) -> None:
    own = [_colours_beyond_tones(image) for image in (pair.shared_a, pair.shared_b)]
    for side in (0, 1):
        if own[1 - side] > 2 and own[side] < 0.35 * own[1 - side]:
            harms.add(side, "discoloured", 0.4)


def _colours_beyond_tones(image: Plane) -> float:
    """Return the standard deviation, in levels, of the colours that do not follow from the luma: 0 for sepia."""
    grey = luma(image)
    bins = np.clip(grey / 16, 0, 15).astype(np.int64).ravel()
    count = np.maximum(np.bincount(bins, minlength=16), 1)
    total = 0.0
    for channel in (0, 2):
        chroma = (image[..., channel] - grey).ravel().astype(np.float64)
        mean = np.bincount(bins, chroma, minlength=16) / count
        total += float(((chroma - mean[bins]) ** 2).mean())
    return float(np.sqrt(total))


def _judge_fine(first: Shown, second: Shown, placement: Placement, pair: Aligned, same: bool, harms: Harms) -> float:
    """Return how much more fine structure the first has, negative if it has less, where noise does not tell."""
    views = first.view, second.view
    boxes = _relative(pair.box_a, pair.a), _relative(pair.box_b, pair.b)
    size = (second.height, second.width) if placement.orientation & 4 else (second.width, second.height)
    areas = [
        width * (box[2] - box[0]) * height * (box[3] - box[1])
        for (width, height), box in zip(((first.width, first.height), size), boxes, strict=True)
    ]
    octaves = float(np.log2(areas[0] / areas[1])) / 2
    found = compare_fine(
        (views[0].fine, turned(views[1].fine, placement.orientation)),
        (views[0].quiet, turned(views[1].quiet, placement.orientation)),
        boxes,
        octaves,
    )
    larger, sign = (0, 1) if octaves > 0 else (1, -1)
    if found is None:  # so much smaller that they have no scale in common
        if abs(octaves) > _OTHER_SIZE:
            harms.add(1 - larger, "smaller", min(0.5, 0.25 * abs(octaves)))
        return 0.0
    lit = any(harms.has(side, "vignetted") for side in (0, 1))
    found = found.at_same_contrast(0.0 if same or lit else judge_contrast(pair, harms))
    _judge_noise(found, (first.quality, second.quality), harms)
    judge_parts(found.cells, octaves, pair.error, harms)
    detail = 0.25 * found.faint + 0.35 * found.middle + 0.4 * found.strong  # > 0: the first has more
    if abs(octaves) > _OTHER_SIZE:
        # What the smaller one has more of at its own resolution, the larger one has lost or never had.
        steeper = min(0.8, sign * (found.own_slope[1] - found.own_slope[0]))
        lacking = -sign * found.strong + 0.25 * steeper - 0.08 * max(abs(octaves), 2 * abs(octaves) - 1)
        if lacking > 0.27 or views[larger].repeats > 0.05:
            harms.add(larger, "enlarged", 0.15)
        elif lacking < 0.12:
            harms.add(1 - larger, "smaller", min(0.5, 0.25 * abs(octaves)))
        detail = sign * min(0.0, sign * detail + 0.25) if sign * detail < 0 else detail
    if any(harms.has(side, "noisy") for side in (0, 1)):
        return 0.0
    richer = 0 if detail > 0 else 1
    contrasts = _local_contrast(pair.shared_a), _local_contrast(pair.shared_b)
    tells = abs(detail) > 0.3 and abs(found.strong) < _LARGEST_GAIN
    if tells and not lit and contrasts[richer] > _MORE_CONTRAST * contrasts[1 - richer]:
        harms.add(richer, "sharpened", 0.3)
        return detail
    codings = first.coding, second.coding
    rounding = added_detail(codings[richer], codings[1 - richer])
    sharpened = _sharpened(views[richer], views[1 - richer], found, same) if tells else 0.0
    if sharpened > 1:
        harms.add(richer, "sharpened", min(0.5, 0.15 * abs(detail) + 0.1))
    elif sharpened < 0.4 and abs(detail) > 0.15 + rounding:
        harms.add(1 - richer, "smooth", min(0.5, 0.2 * abs(detail)))
    return detail


def _local_contrast(image: Plane) -> float:
    """Return the size of the details in a thumbnail relative to that of the light: neither blur nor tones change it."""
    grey = luma(image)
    light = cv2.GaussianBlur(grey, (0, 0), 6)
    size = float(np.median(np.abs(light - np.median(light))))
    return float(np.median(np.abs(grey - light))) / (size + 4)


def _judge_noise(found: FineStructure, qualities: tuple[float, float], harms: Harms) -> None:
    strong = np.array([found.strong, *found.strong_coarser])
    scales = np.arange(3) >= (abs(found.octaves) > 0.05)  # between two resolutions, the finest is not exact
    for side, sign in ((0, 1), (1, -1)):
        own, other = found.quiet[side].T
        gain = np.log2((own + 0.3) / (other + 0.3))
        if qualities[1 - side] < qualities[side] - _COARSER:
            continue  # compression takes away what is faint, as if it had been noise
        # Where there was least, compression and smoothing leave nothing; but hardly an image has so much there.
        least = 0.0 if qualities[1 - side] >= _FINE and own[0] > _MUCH_NOISE else 0.25
        much = (other > least) & (((own > 2.0) & (gain > 0.7)) | ((own > 1.2) & (gain > 1.2)))
        added = own**2 - other**2
        added_where_most = found.loud[side] ** 2 - found.loud[1 - side] ** 2
        # White noise falls with the resolution, other noise need not; but what is added is the same everywhere.
        falls = np.append(own[:-1] > _FALL * own[1:], False) & (sign * strong < 0.6 * gain)
        if _is_local(found, side, added[0]):
            continue
        noisy = scales & much & (falls | (added_where_most < 3 * added))
        if noisy.any():
            harms.add(side, "noisy", 0.15 + min(0.4, float(np.max((0.1 * gain + own / 50)[noisy]))))


def _is_local(found: FineStructure, side: int, added: float) -> bool:
    """Return whether parts of a copy lack the noise, of a variance, that others seem to have: then it is none."""
    own, other = found.cells[side][0], found.cells[1 - side][0]
    shows = (own > _PLAIN) & (own**2 < _BELOW_NOISE**2 * added)
    same = np.abs(np.log2((own + 0.1) / (other + 0.1))) < _SAME_STRUCTURE
    return bool(shows.any()) and float(same[shows].mean()) > _LOCAL


def _sharpened(richer: View, poorer: View, found: FineStructure, same: bool) -> float:
    """Return how much speaks for sharpening of one copy, over 1, rather than for a loss of the other, under 0.4."""
    if np.isnan(richer.halo):
        return 0.0
    faint, middle, strong = (abs(value) for value in (found.faint, found.middle, found.strong))
    # Sharpening multiplies all fine structure alike; what smooths or compresses spares what is strong.
    if strong < _EVEN * faint:
        return 0.0
    alike = strong > 0.5 and abs(strong - middle) < 0.2 and faint > 0.4 * strong
    if alike and richer.halo > poorer.halo + 0.3:
        return 2.0
    clipped = float(np.log2((richer.clipped + 0.001) / (poorer.clipped + 0.001))) if same or alike else 0.0
    return (richer.halo - 0.7) / 0.2 + clipped / 1.5


def _relative(box: Box, image: Plane) -> Box:
    height, width = image.shape[:2]
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height
