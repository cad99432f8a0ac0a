"""Which row groups of a large remote dataset are drawn from at a step, so that each is fetched once for many draws.

If rows were drawn uniformly from a whole remote dataset, nearly every crop would fetch another row group. Instead the
groups are shuffled again for each pass, and at a step OPEN_GROUPS consecutive ones are open; every STEPS_PER_GROUP
steps the oldest closes and the next one opens. So every group is open equally often, a batch mixes distant rows, and
the download rate is even. The open groups are a function of (seed, step).

With row groups of 64 MB, as million_ird writes them, and batches of 32, that is 64 MB every 32 steps, and about 4
crops of each patch of 512x512 pixels while its group is open.
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
    # Where two passes meet, a group may be in both.
    return tuple(dict.fromkeys(_group(seed, position, groups) for position in range(first, first + OPEN_GROUPS)))


def open_groups(seed: int, step: int, groups: int) -> tuple[int, ...]:
    """Return the groups that are open at a step, in the order in which they close; all if there are few."""
    return _opened(seed, step // STEPS_PER_GROUP, groups) if groups > OPEN_GROUPS else tuple(range(groups))


def next_group(seed: int, step: int, groups: int) -> tuple[int, ...]:
    """Return the group that opens next, or nothing if all are open."""
    return (_group(seed, step // STEPS_PER_GROUP + OPEN_GROUPS, groups),) if groups > OPEN_GROUPS else ()


def draw_row(rows: Rows, spans: Rows | None, random: np.random.Generator) -> int:
    """Return one of `rows`, drawn uniformly.

    Args:
        rows: Row numbers in ascending order.
        spans: (n, 2), the first row of each span and the one after its last: only rows in these are drawn. If none of
            the rows is in a span, which only happens if all open rows are held out, all rows are drawn from.
        random: The generator.
    """
    bounds = np.searchsorted(rows, spans) if spans is not None else np.array([[0, len(rows)]])
    ends = np.cumsum(bounds[:, 1] - bounds[:, 0])
    if ends[-1] == 0:
        return int(rows[int(random.integers(len(rows)))])
    drawn = int(random.integers(ends[-1]))
    span = int(np.searchsorted(ends, drawn, side="right"))
    return int(rows[bounds[span, 1] - (ends[span] - drawn)])


def _group(seed: int, position: int, groups: int) -> int:
    epoch, index = divmod(position, groups)
    return int(_order(seed, epoch, groups)[index])


@functools.lru_cache(maxsize=8)
def _order(seed: int, epoch: int, groups: int) -> Rows:
    return generator(seed, "row groups", epoch).permutation(groups)
