"""The plan of a search: which bits form which band, and how far each band is searched.

Cut the bits into m disjoint bands and give band k a threshold t_k, so that the sum of all t_k + 1 is the radius + 1. A
pair that differs in more than t_k bits of every band differs in more bits than the radius. So each pair within the
radius is within the threshold of some band, and only hashes with such a band need to be compared (Norouzi, Punjani and
Fleet, CVPR 2012, here with a threshold per band). The number of bands, their widths and their bits change only the
time. It is estimated from a sample of the hashes, because bits of real hashes are neither balanced nor independent.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from million_ird.dedup.hamming.kernels import count_within

SAMPLE = 1024
"""Hashes that are sampled for the estimate."""
MAX_BANDS = 16
MAX_BITS = 25
"""Most bits of a band: its table of buckets has 4 bytes per value."""
WORTH_PLANNING, WORTH_SWAPPING = 0.05, 1.0
"""Estimated seconds of a search from which a better plan, or better bits for it, are searched."""
SWAPS = 200
"""Swaps of two bits that are tried."""

# Seconds per step, measured on one core of a 2.6 GHz EPYC 9R14. Wrong values cost time only.
VISIT_BUCKET, ENTER_BUCKET, VISIT_ROW, COMPARE_PAIR, SORT_HASH = 2e-9, 2e-8, 3e-9, 1e-10, 5e-8


@dataclass(frozen=True, slots=True)
class Band:
    """A range of the permuted bits."""

    shift: int
    """First bit."""
    bits: int
    """Number of bits."""
    limit: int
    """Most bits of the band in which a pair may differ."""

    @property
    def mask(self) -> int:
        """The bits of the band, as a mask."""
        return ((1 << self.bits) - 1) << self.shift

    @property
    def flips(self) -> NDArray[np.int64]:
        """All differences within the limit, ascending: (f,) int64, 0 first."""
        counts = range(min(self.limit, self.bits) + 1)
        masks = [sum(1 << bit for bit in chosen) for k in counts for chosen in combinations(range(self.bits), k)]
        return np.array(sorted(masks), np.int64)


@dataclass(frozen=True, slots=True)
class BandPlan:
    """The bands, and the order of the bits that they are ranges of."""

    bands: tuple[Band, ...]
    order: tuple[int, ...]
    """The bit of a hash that becomes bit 0, 1, … 63."""
    seconds: tuple[float, ...]
    """Estimated time of each band on one core."""

    def permutation_table(self) -> NDArray[np.uint64]:
        """Return the table for `kernels.permute_bits`: (8, 256) uint64."""
        target = np.argsort(self.order)
        table = np.zeros((8, 256), np.uint64)
        for bit in range(64):
            has = (np.arange(256) >> (bit % 8)) & 1 == 1
            table[bit // 8, has] |= np.uint64(1 << int(target[bit]))
        return table


@dataclass(frozen=True, slots=True)
class SearchSizes:
    """Sizes of the two sides of a search."""

    left: int
    """Distinct hashes of the left side."""
    right: int
    """Distinct hashes of the right side."""
    partition_pairs: int
    """Number of pairs of a left and a right partition that are compared."""
    same: bool
    """Whether both sides are the same hashes."""

    @property
    def share(self) -> float:
        """Share of all ordered pairs that is compared."""
        return 0.5 if self.same else 1.0


def sample_differences(left: NDArray[np.uint64], right: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:
    """Return the XOR of sampled hashes with each other, or with those of `right`, without zeros: (n,) uint64."""
    sampled = left[:: max(1, len(left) // SAMPLE)][:SAMPLE]
    others = sampled if right is None else right[:: max(1, len(right) // SAMPLE)][:SAMPLE]
    crossed = (sampled[:, None] ^ others[None, :])[np.triu_indices(len(sampled), 1) if right is None else ...].reshape(
        -1
    )
    return np.asarray(crossed[crossed != 0])


def choose_plan(sample: NDArray[np.uint64], radius: int, sizes: SearchSizes) -> BandPlan:
    """Return the plan with the least estimated time.

    Args:
        sample: (n,) uint64 differences of random pairs of hashes.
        radius: 0 to 64 bits.
        sizes: Sizes of both sides.
    """
    plans = candidate_plans(sample, radius, sizes)
    best = next(plans)
    if _total(best) < WORTH_PLANNING:
        return best
    best = min(best, *plans, key=_total)
    if _total(best) > WORTH_SWAPPING and len(best.bands) > 1:
        best = _swapped(best, sample, sizes)
    return best


def candidate_plans(sample: NDArray[np.uint64], radius: int, sizes: SearchSizes) -> Iterator[BandPlan]:
    """Yield the plans to choose from; the first has one empty band and compares every pair. See `choose_plan`."""
    unequal = _unequal(sample)
    informative = np.argsort(np.abs(unequal - 0.5), kind="stable")
    yield _timed([Band(0, 0, radius)], informative, sample, unequal, sizes)
    for bands in range(1, min(radius + 1, MAX_BANDS) + 1):
        for bits in range(4, min(64 // bands, MAX_BITS) + 1):
            yield _timed(*_snake(bands, bits, radius, informative), sample, unequal, sizes)


def _unequal(sample: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return for each bit how often it differs: (64,)."""
    if not len(sample):
        return np.full(64, 0.5)
    return np.array([1 - count_within(sample, np.uint64(1 << bit), 0) / len(sample) for bit in range(64)])


def _total(plan: BandPlan) -> float:
    return sum(plan.seconds)


def _snake(bands: int, bits: int, radius: int, informative: NDArray[np.int64]) -> tuple[list[Band], NDArray[np.int64]]:
    """Return bands of equal width (one more bit if that uses all 64), with bits dealt to them back and forth."""
    spare = 64 - bands * bits if bits == 64 // bands and bits < MAX_BITS else 0
    widths = [bits + (k < spare) for k in range(bands)]
    limits = [(radius + 1) // bands - 1 + (k < (radius + 1) % bands) for k in range(bands)]
    dealt: list[list[int]] = [[] for _ in range(bands)]
    count = 0
    for turn in range(max(widths)):
        for k in range(bands)[:: 1 if turn % 2 == 0 else -1]:
            if len(dealt[k]) < widths[k]:
                dealt[k].append(int(informative[count]))
                count += 1
    order = [bit for bits_of_band in dealt for bit in bits_of_band] + [int(bit) for bit in informative[count:]]
    shifts = [sum(widths[:k]) for k in range(bands)]
    layout = [Band(shift, width, limit) for shift, width, limit in zip(shifts, widths, limits, strict=True)]
    return layout, np.array(order)


def _timed(
    bands: list[Band],
    order: NDArray[np.int64],
    sample: NDArray[np.uint64],
    unequal: NDArray[np.float64],
    sizes: SearchSizes,
) -> BandPlan:
    """Return the plan with the estimated time of each band."""
    seconds = []
    for band in bands:
        bits = order[band.shift : band.shift + band.bits]
        mask = np.uint64(sum(1 << int(bit) for bit in bits))
        flips = sum(math.comb(band.bits, k) for k in range(min(band.limit, band.bits) + 1))
        buckets = flips * 2.0**band.bits * sizes.partition_pairs * sizes.share
        rows = flips * float(sizes.left) * sizes.share
        # Half a million pairs do not show the rarest cases; they are no rarer than with independent bits.
        observed = count_within(sample, mask, band.limit) / max(1, len(sample))
        probability = max(observed, _independent_probability(unequal[bits], band.limit))
        comparisons = probability * sizes.left * sizes.right * sizes.share
        entered = min(buckets, rows, comparisons)
        seconds.append(
            buckets * VISIT_BUCKET
            + entered * ENTER_BUCKET
            + rows * min(1.0, comparisons / max(1.0, rows)) * VISIT_ROW
            + comparisons * COMPARE_PAIR
            + (sizes.left + sizes.right) * SORT_HASH * (band.bits > 0)
        )
    return BandPlan(tuple(bands), tuple(int(bit) for bit in order), tuple(seconds))


def _independent_probability(unequal: NDArray[np.float64], limit: int) -> float:
    """Return the probability that at most `limit` of independent bits differ, given that of each bit."""
    probabilities = np.zeros(limit + 2)
    probabilities[0] = 1.0
    for chance in unequal:
        probabilities[1:] = probabilities[1:] * (1 - chance) + probabilities[:-1] * chance
        probabilities[0] *= 1 - chance
    return float(min(1.0, probabilities[:-1].sum()))


def _swapped(plan: BandPlan, sample: NDArray[np.uint64], sizes: SearchSizes) -> BandPlan:
    """Swap random bits wherever that lowers the estimated time, which separates correlated bits."""
    unequal = _unequal(sample)
    random = np.random.default_rng(0)
    for _ in range(SWAPS):
        order = np.array(plan.order)
        a, b = random.integers(0, 64, 2)
        order[[a, b]] = order[[b, a]]
        plan = min(plan, _timed(list(plan.bands), order, sample, unequal, sizes), key=_total)
    return plan
