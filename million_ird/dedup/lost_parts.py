"""Which parts of a copy have lost their fine structure, while the rest has kept it.

Faces and plates are blurred or pixelated, and places covered. Whatever is done to a whole copy, such as compressing or
smoothing it, takes most where there is least. So a part that lost more than weaker parts did was changed by itself. The
copy with less in it can also be the one that shows the scene, if something lies over that part of the other copy: it is
the one whose part does not suit those around it.
"""

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.harms import Harms

_LEAST = 0.3
"""Standard deviation, in levels, from which on there is something to lose."""
_FLOOR = 0.1
_WEAKER = 8
"""Least number of weaker parts that a part is compared with."""
_MORE_THAN_WEAKER = 0.65
"""Octaves by which a part lost more than three quarters of the weaker ones, at least."""
_UNLIKE_OTHERS = 0.3
"""Octaves by which it differs more from the parts around it than that of the other copy does, at least."""
_AROUND = 3
"""Least number of parts around one that it is compared with; else all others."""
_WELL_ALIGNED, _MOST_OCTAVES = 0.2, 1.1
"""Largest error of an alignment, and largest difference in resolution, at which parts are compared."""
_ONE_SIDED = 2
"""How many times as many parts one copy lost as the other one, at least."""
_UNEVEN = ("overlaid", "noisy", "surrounded", "cut", "posterised", "smooth", "vignetted", "resaved")
"""What changes the fine structure of some parts of a copy more than that of others: the other copy seems to have lost
some. What was saved from the other copy cannot show more of it."""

Cells = NDArray[np.float64]


def judge_parts(cells: tuple[Cells, Cells], octaves: float, error: float, harms: Harms) -> None:
    """Judge which of two copies has lost parts.

    Args:
        cells: (levels, n, n) of each, see `count_lost_parts`.
        octaves: How many times finer than the second the first shows the scene, as a logarithm of base 2.
        error: Of the alignment, see `Aligned`.
        harms: Where the harm is added.
    """
    if error > _WELL_ALIGNED or abs(octaves) > _MOST_OCTAVES:
        return
    lost = [count_lost_parts(cells[side], cells[1 - side]) for side in (0, 1)]
    side = 0 if lost[0] > lost[1] else 1
    if lost[side] > _ONE_SIDED * lost[1 - side]:
        harms.add(side, "hidden", min(0.4, 0.12 + 0.03 * lost[side]))


def drop_feigned_losses(harms: Harms) -> None:
    """Remove losses of parts that another harm explains, once all are judged."""
    for side in (0, 1):
        if harms.has(side, "vignetted") or any(harms.has(1 - side, kind) for kind in _UNEVEN):
            harms.drop(side, "hidden")


def count_lost_parts(own: Cells, other: Cells) -> int:
    """Return how many parts of one copy have lost what another one shows.

    Args:
        own: (levels, n, n) fine structure of the copy's parts, as standard deviations in levels; NaN where unknown.
        other: The same of the other copy.
    """
    logs = np.log2(own + _FLOOR), np.log2(other + _FLOOR)
    known = ~np.isnan(logs[0] + logs[1]).any(axis=(1, 2))
    if not known[0]:
        return 0
    loss = (logs[1] - logs[0])[known].mean(axis=0)
    lost = _beyond_weaker(loss, other[0])
    return sum(_is_unlike_others(logs[0][0], logs[1][0], lost, (y, x)) for y, x in np.argwhere(lost).tolist())


def _beyond_weaker(loss: Cells, strength: Cells) -> NDArray[np.bool_]:
    """Return which parts lost more than those with less structure."""
    lost = np.zeros(loss.shape, bool)
    for place in np.argwhere(strength >= _LEAST).tolist():
        weaker = loss[strength <= strength[tuple(place)]]
        if len(weaker) >= _WEAKER:
            lost[tuple(place)] = loss[tuple(place)] - np.quantile(weaker, 0.75) > _MORE_THAN_WEAKER
    return lost


def _is_unlike_others(own: Cells, other: Cells, lost: NDArray[np.bool_], place: tuple[int, int]) -> bool:
    """Return whether a lost part differs from those that are not lost around it more in `own` than in `other`."""
    around = tuple(slice(max(0, at - 1), at + 2) for at in place)
    kept = ~lost[around]
    pairs = [(logs[around][kept] if kept.sum() >= _AROUND else logs[~lost], logs[place]) for logs in (own, other)]
    unlike = [abs(float(here - np.median(there))) if len(there) else 0.0 for there, here in pairs]
    return unlike[0] - unlike[1] > _UNLIKE_OTHERS
