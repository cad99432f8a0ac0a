"""Which parts of a large set are drawn from at a step, so that each is fetched once and serves many draws.

Drawn uniformly from all of a set far away, nearly every crop would fetch a row group of its own. Instead the groups
stand in an order that is shuffled anew for each pass, and at a step OPEN_GROUPS consecutive ones are open; every
STEPS_PER_GROUP steps the oldest closes and the next opens. So every group is open equally often, rows far apart in the
set meet in a batch, and what is fetched per second is even. What is open is a function of (seed, step).

With row groups of 64 MB, as million_ird writes them, and batches of 32, that is 64 MB every 32 steps, and about 4
crops of each patch of 512x512 while it is open.
"""

import functools

import numpy as np
import numpy.typing as npt

from dynet.runtime.rng import generator

OPEN_GROUPS = 32
STEPS_PER_GROUP = 32
Rows = npt.NDArray[np.int64]


@functools.lru_cache(maxsize=64)
def _opened(seed: int, first: int, groups: int) -> tuple[int, ...]:
    # Where two passes meet a group may stand in both.
    return tuple(dict.fromkeys(_group(seed, place, groups) for place in range(first, first + OPEN_GROUPS)))


def open_groups(seed: int, step: int, groups: int) -> tuple[int, ...]:
    """The groups open at a step, the one that closes first in front; all of them where there are no more."""
    return _opened(seed, step // STEPS_PER_GROUP, groups) if groups > OPEN_GROUPS else tuple(range(groups))


def next_group(seed: int, step: int, groups: int) -> tuple[int, ...]:
    """The group that opens next; none where all are open."""
    return (_group(seed, step // STEPS_PER_GROUP + OPEN_GROUPS, groups),) if groups > OPEN_GROUPS else ()


def draw_row(rows: Rows, spans: Rows | None, random: np.random.Generator) -> int:
    """One of `rows` (ascending), any as likely, that lies in one of the spans; of all where there are no spans.

    spans: (n, 2), the first row of each and the one after its last. Where none of the rows lies in them, which only
    happens if all that is open is held out, one of all rows.
    """
    places = np.searchsorted(rows, spans) if spans is not None else np.array([[0, len(rows)]])
    ends = np.cumsum(places[:, 1] - places[:, 0])
    if ends[-1] == 0:
        return int(rows[int(random.integers(len(rows)))])
    drawn = int(random.integers(ends[-1]))
    which = int(np.searchsorted(ends, drawn, side="right"))
    return int(rows[places[which, 1] - (ends[which] - drawn)])


def _group(seed: int, place: int, groups: int) -> int:
    turn, number = divmod(place, groups)
    return int(_order(seed, turn, groups)[number])


@functools.lru_cache(maxsize=8)
def _order(seed: int, turn: int, groups: int) -> Rows:
    return generator(seed, "row groups", turn).permutation(groups)
