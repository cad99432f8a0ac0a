"""What the histograms of two copies tell: gaps, as of few colours or a tone curve, and samples at both ends."""

from million_ird.dedup.harms import Harms, Shown

_FEW_COLOURS = 0.5
"""Gaps from which on there are so few colours that compression did not fill those of the other copy."""
_FINER = 0.3
"""Octaves of fine structure by which a sharpened copy has more."""


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
        if same and gaps < _FEW_COLOURS and copies[1 - side].coding < copies[side].coding:
            continue
        # Whatever blurs a copy fills its gaps; contours of few colours add some fine structure, but not much.
        if gaps > 0.012 and own.comb > 2 * other.comb and sign * detail < min(0.9, 0.25 + 3 * gaps):
            harms.add(side, "posterised", min(0.35, 0.05 + 0.5 * gaps))
            for kind in ("smooth", "sharpened", *(("overlaid",) if gaps > 0.1 else ())):
                harms.drop(1 - side, kind)


def judge_clipped(copies: tuple[Shown, Shown], detail: float, same: bool, harms: Harms) -> None:
    """Judge which copy has samples of 0 or 255 that the other has not; arguments as of `judge_gaps`."""
    for side, sign in ((0, 1), (1, -1)):
        own, other = copies[side].view, copies[1 - side].view
        kept = not harms.has(side, "surrounded") and not harms.has(1 - side, "posterised")
        # Compression moves samples off the ends, and to these; with the same light, only sharpening does so, too.
        kept &= not same or sign * detail > _FINER
        if own.clipped > 2 * other.clipped + 0.004 and kept:
            harms.add(side, "clipped", min(0.3, 0.05 + 2 * (own.clipped - other.clipped)))
