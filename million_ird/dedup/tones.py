"""What the tones of two copies tell: gaps of few colours or a tone curve, samples at both ends, less contrast."""

import cv2
import numpy as np

from million_ird.dedup.aligned import Aligned, Plane, luma, same_tones
from million_ird.dedup.harms import Harms, Shown

_FEW_COLOURS = 0.5
"""Gaps from which on there are so few colours that compression did not fill those of the other copy."""
_CURVE = 0.1
"""Gaps that a tone curve makes, at least."""
_CONTOURS = 0.03
"""Gaps from which on contours of few colours look like something laid over the other copy."""
_LOW, _HIGH, _FEWEST, _VARIES = 5, 250, 12, 4.0
"""Levels of a thumbnail that are clipped, their least number, and the least spread that the other copy shows there."""
_FADED, _SURE_CONTRAST = 0.6, 0.2
"""Octaves of contrast of the light that a faded copy has less, and that what is laid over one does not feign."""
_LEAST_SPREAD = 4.0
"""Spread of the light of both copies in levels, from which on their contrasts are compared."""


def judge_contrast(pair: Aligned, harms: Harms) -> float:
    """Judge which copy has less contrast, as behind haze; return how much more the first has, as log2, 0 if unsure."""
    a, b = (
        np.asarray(cv2.GaussianBlur(luma(image), (0, 0), 6), np.float32) for image in (pair.shared_a, pair.shared_b)
    )
    own, other = (float(np.median(np.abs(light - np.median(light)))) for light in (a, same_tones(a, b)))
    octaves = float(np.log2(own / other)) if min(own, other) > _LEAST_SPREAD else 0.0
    if abs(octaves) > _FADED:
        harms.add(1 if octaves > 0 else 0, "faded", 0.08)
    return octaves if abs(octaves) > _SURE_CONTRAST else 0.0


def drop_feigned_fading(harms: Harms) -> None:
    """Remove fading if the other copy shows that its contrast was raised, once all is judged."""
    for side in (0, 1):
        if any(harms.has(1 - side, kind) for kind in ("clipped", "posterised", "sharpened")):
            harms.drop(side, "faded")


def judge_gaps(copies: tuple[Shown, Shown], detail: float, same: bool, harms: Harms) -> None:
    """Judge which copy has gaps and peaks in its histogram that the other has not.

    Args:
        copies: Both.
        detail: Octaves of fine structure that the first has more.
        same: Whether areas of both have the same light and colours.
        harms: Where the harm is added.
    """
    for side, sign in ((0, 1), (1, -1)):
        own, other = copies[side].view, copies[1 - side].view
        gaps = own.comb - other.comb
        # What is saved again in a lossy form has no gaps any more, whatever the image had.
        if gaps < (_FEW_COLOURS if same else _CURVE) and copies[1 - side].coding < copies[side].coding:
            continue
        # Whatever blurs a copy fills its gaps; contours of few colours add some fine structure, but not much.
        if gaps > 0.012 and own.comb > 2 * other.comb and sign * detail < min(0.9, 0.25 + 6 * gaps):
            harms.add(side, "posterised", min(0.35, 0.05 + 0.5 * gaps))
            for kind in ("smooth", "sharpened", *(("overlaid",) if gaps > _CONTOURS else ())):
                harms.drop(1 - side, kind)


def judge_clipped(copies: tuple[Shown, Shown], pair: Aligned, same: bool, harms: Harms) -> None:
    """Judge which copy has samples of 0 or 255 where the other still has something to show.

    Args:
        copies: Both.
        pair: Both, aligned.
        same: Whether areas of both have the same light and colours.
        harms: Where the harm is added.
    """
    shared = pair.shared_a, pair.shared_b
    for side in (0, 1):
        own, other = copies[side].view, copies[1 - side].view
        kept = not harms.has(side, "surrounded") and not harms.has(1 - side, "posterised")
        if own.clipped <= 2 * other.clipped + 0.004 or not kept:
            continue
        # Compression moves samples off the ends, and to these; with the same light, only sharpening does so, too.
        # A tone curve that compresses moves all clipped samples alike: nothing more is to be seen in them.
        if harms.has(side, "sharpened") if same else _hides(shared[side], shared[1 - side]):
            harms.add(side, "clipped", min(0.3, 0.05 + 2 * (own.clipped - other.clipped)))


def _hides(clipped: Plane, other: Plane) -> bool:
    """Return whether there is something to see where a copy is clipped; both (h, w, 3) levels, aligned."""
    for ends in (clipped > _HIGH, clipped < _LOW):
        for channel in range(3):
            where = ends[..., channel]
            if where.sum() >= _FEWEST and float(other[..., channel][where].std()) > _VARIES:
                return True
    return False
