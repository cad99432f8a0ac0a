"""Which bits of a hash make which band, and how far each band is searched: the cheapest that misses no pair.

Cut the bits into m disjoint bands and give band k a threshold t_k, so that the t_k + 1 add up to the radius + 1. A pair
that differed in more than t_k bits of every band would differ in more bits than the radius: so each pair within the
radius lies within the threshold of some band, and it is enough to compare hashes whose bands do (Norouzi, Punjani and
Fleet, 2012, with thresholds of one's own). How many bands, how wide and of which bits decides only the time. That is
estimated from a sample of the very hashes: bits of real hashes are neither balanced nor independent.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.hamming.kernels import within

SAMPLE = 1024
MOST_BANDS = 16
WIDEST = 25
"""Bits of a band at most: its table of buckets has 4 bytes for each value."""
WORTH_PLANNING, WORTH_SWAPPING = 0.05, 1.0
"""Seconds that a search must be thought to take before a better plan, or better bits for it, are looked for."""
SWAPS = 200

# Seconds for each step, measured on one core of a 2.6 GHz EPYC 9R14. Where they are wrong, only time is lost.
VISIT, TURN, ROW, COMPARISON, ARRANGE = 2e-9, 2e-8, 3e-9, 1e-10, 5e-8


@dataclass(frozen=True, slots=True)
class Band:
    """A field of the (permuted) bits."""

    shift: int
    bits: int
    limit: int
    """Most bits of the field in which a pair may differ."""

    @property
    def mask(self) -> int:
        """Its bits."""
        return ((1 << self.bits) - 1) << self.shift

    @property
    def flips(self) -> NDArray[np.int64]:
        """Every difference within the limit, ascending: (f,) int64, 0 first."""
        wrong = min(self.limit, self.bits)
        found = [sum(1 << bit for bit in some) for k in range(wrong + 1) for some in combinations(range(self.bits), k)]
        return np.array(sorted(found), np.int64)


@dataclass(frozen=True, slots=True)
class Plan:
    """Bands, and the order in which the bits are laid out for them."""

    bands: tuple[Band, ...]
    order: tuple[int, ...]
    """Which bit of a hash becomes bit 0, 1, … 63."""
    seconds: tuple[float, ...]
    """What each band is thought to take on one core."""

    def table(self) -> NDArray[np.uint64]:
        """For `near_kernels.permuted`: (8, 256) uint64."""
        place = np.argsort(self.order)
        table = np.zeros((8, 256), np.uint64)
        for bit in range(64):
            has = (np.arange(256) >> (bit % 8)) & 1 == 1
            table[bit // 8, has] |= np.uint64(1 << int(place[bit]))
        return table


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is to be compared with how much."""

    left: int
    right: int
    """Distinct hashes of either side."""
    meetings: int
    """How often a piece of one side is searched for in a piece of the other."""
    same: bool
    """Whether both sides are the same hashes."""

    @property
    def share(self) -> float:
        """Of all ordered pairs, how many are looked at."""
        return 0.5 if self.same else 1.0


def differences(left: NDArray[np.uint64], right: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:
    """Differences of sampled hashes with each other, or with those of `right`; identical ones left out."""
    some = left[:: max(1, len(left) // SAMPLE)][:SAMPLE]
    others = some if right is None else right[:: max(1, len(right) // SAMPLE)][:SAMPLE]
    crossed = (some[:, None] ^ others[None, :])[np.triu_indices(len(some), 1) if right is None else ...].reshape(-1)
    return np.asarray(crossed[crossed != 0])


def choose(sample: NDArray[np.uint64], radius: int, sizes: Sizes) -> Plan:
    """The plan that is thought to be fastest.

    Args:
        sample: (n,) uint64 differences of pairs of hashes, by chance.
        radius: 0 to 64 bits.
        sizes: of both sides.
    """
    plans = candidates(sample, radius, sizes)
    best = next(plans)
    if _total(best) < WORTH_PLANNING:
        return best
    best = min(best, *plans, key=_total)
    if _total(best) > WORTH_SWAPPING and len(best.bands) > 1:
        best = _swapped(best, sample, sizes)
    return best


def candidates(sample: NDArray[np.uint64], radius: int, sizes: Sizes) -> Iterator[Plan]:
    """Plans to choose from; the first has no bands and compares every hash with every other. Arguments of `choose`."""
    unequal = _unequal(sample)
    informative = np.argsort(np.abs(unequal - 0.5), kind="stable")
    yield _timed([Band(0, 0, radius)], informative, sample, unequal, sizes)
    for bands in range(1, min(radius + 1, MOST_BANDS) + 1):
        for bits in range(4, min(64 // bands, WIDEST) + 1):
            yield _timed(*_snake(bands, bits, radius, informative), sample, unequal, sizes)


def _unequal(sample: NDArray[np.uint64]) -> NDArray[np.float64]:
    """For each bit, how often it differs."""
    if not len(sample):
        return np.full(64, 0.5)
    return np.array([1 - within(sample, np.uint64(1 << bit), 0) / len(sample) for bit in range(64)])


def _total(plan: Plan) -> float:
    return sum(plan.seconds)


def _snake(bands: int, bits: int, radius: int, informative: NDArray[np.int64]) -> tuple[list[Band], NDArray[np.int64]]:
    """Bands of equal width (one more bit where that uses all 64), and bits dealt to them there and back again."""
    spare = 64 - bands * bits if bits == 64 // bands and bits < WIDEST else 0
    widths = [bits + (k < spare) for k in range(bands)]
    limits = [(radius + 1) // bands - 1 + (k < (radius + 1) % bands) for k in range(bands)]
    hands: list[list[int]] = [[] for _ in range(bands)]
    taken = 0
    for turn in range(max(widths)):
        for k in range(bands)[:: 1 if turn % 2 == 0 else -1]:
            if len(hands[k]) < widths[k]:
                hands[k].append(int(informative[taken]))
                taken += 1
    order = [bit for hand in hands for bit in hand] + [int(bit) for bit in informative[taken:]]
    shifts = [sum(widths[:k]) for k in range(bands)]
    layout = [Band(shift, width, limit) for shift, width, limit in zip(shifts, widths, limits, strict=True)]
    return layout, np.array(order)


def _timed(
    bands: list[Band],
    order: NDArray[np.int64],
    sample: NDArray[np.uint64],
    unequal: NDArray[np.float64],
    sizes: Sizes,
) -> Plan:
    seconds = []
    for band in bands:
        bits = order[band.shift : band.shift + band.bits]
        mask = np.uint64(sum(1 << int(bit) for bit in bits))
        flips = sum(math.comb(band.bits, k) for k in range(min(band.limit, band.bits) + 1))
        turns = flips * 2.0**band.bits * sizes.meetings * sizes.share
        rows = flips * float(sizes.left) * sizes.share
        # Half a million pairs do not show how rare the rarest is; it is no rarer than were the bits independent.
        seen = within(sample, mask, band.limit) / max(1, len(sample))
        likely = max(seen, _chance(unequal[bits], band.limit))
        comparisons = likely * sizes.left * sizes.right * sizes.share
        busy = min(turns, rows, comparisons)
        seconds.append(
            turns * VISIT
            + busy * TURN
            + rows * min(1.0, comparisons / max(1.0, rows)) * ROW
            + comparisons * COMPARISON
            + (sizes.left + sizes.right) * ARRANGE * (band.bits > 0)
        )
    return Plan(tuple(bands), tuple(int(bit) for bit in order), tuple(seconds))


def _chance(unequal: NDArray[np.float64], limit: int) -> float:
    """That independent bits, each different with its own chance, differ in at most `limit` places."""
    chances = np.zeros(limit + 2)
    chances[0] = 1.0
    for chance in unequal:
        chances[1:] = chances[1:] * (1 - chance) + chances[:-1] * chance
        chances[0] *= 1 - chance
    return float(min(1.0, chances[:-1].sum()))


def _swapped(plan: Plan, sample: NDArray[np.uint64], sizes: Sizes) -> Plan:
    """Swaps bits between bands, and with those left out, wherever that is cheaper: bits that go together part."""
    unequal = _unequal(sample)
    random = np.random.default_rng(0)
    for _ in range(SWAPS):
        order = np.array(plan.order)
        a, b = random.integers(0, 64, 2)
        order[[a, b]] = order[[b, a]]
        plan = min(plan, _timed(list(plan.bands), order, sample, unequal, sizes), key=_total)
    return plan
