"""The inner loops of the hash search: compiled, on plain arrays, without the GIL.

Hashes are sorted into buckets by a band of their bits, one bucket per value. For one flip mask, bucket b is compared
with bucket b ^ mask; visiting all buckets for one mask reads both sides nearly in order. Each row of a comparison first
counts its hits, eight hashes at once, and writes only if there are any.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from million_ird.runtime.jit import compiled

TILE = 2048
"""Hashes of the right side that a row is compared with before the next row: they stay in the L1 cache."""


def _popcount(_context: Any, _number: Any) -> Any:
    """Generate the processor's own instruction for the number of set bits of a uint64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


popcount: Any = intrinsic(_popcount)


@compiled()
def compare_buckets(
    left: Any,
    left_ids: Any,
    left_starts: Any,
    right: Any,
    right_ids: Any,
    right_starts: Any,
    flips: Any,
    same: bool,
    ordered: bool,
    radius: int,
    earlier: Any,
    earlier_limits: Any,
    cursor: Any,
    pairs: Any,
) -> int:
    """Compare bucket b on the left with bucket b ^ flip on the right, for every b and flip.

    Args:
        left: (n,) uint64 hashes sorted by bucket.
        left_ids: (n,) uint32 id of each hash.
        left_starts: (buckets + 1,) uint32 start of each bucket.
        right: (k,) uint64 hashes sorted by bucket.
        right_ids: (k,) uint32 id of each hash.
        right_starts: (buckets + 1,) uint32 start of each bucket.
        flips: (f,) int64 differences of bucket numbers.
        same: Whether both sides are the same hashes, so that each pair is compared once only.
        ordered: Whether a pair is written as (left, right) instead of (smaller, larger).
        radius: Most bits in which a pair may differ.
        earlier: (e,) uint64 masks of the bands that were searched before this one.
        earlier_limits: (e,) int64 thresholds of these bands: a pair within one of them was found there.
        cursor: (4,) int64 where to begin, zeros at first; on return, where to go on. `cursor[0] == len(flips)` when
            everything is done.
        pairs: (at least TILE,) uint64, filled with pairs as `first << 32 | second`.

    Returns:
        The number of pairs written.
    """
    count = 0
    limit = np.uint64(radius)
    first_bucket, first_tile, first_row = cursor[1], cursor[2], cursor[3]
    for f in range(cursor[0], len(flips)):
        flip = flips[f]
        for bucket in range(first_bucket, len(left_starts) - 1):
            partner = bucket ^ flip
            if same and partner < bucket:
                continue
            low, high = np.int64(left_starts[bucket]), np.int64(left_starts[bucket + 1])
            start, stop = np.int64(right_starts[partner]), np.int64(right_starts[partner + 1])
            for tile in range(start + first_tile, stop, TILE):
                end: Any = min(tile + TILE, stop)
                for i in range(low + first_row, high):
                    begin: Any = max(tile, i + 1) if same and flip == 0 else tile
                    hits = _count_near(left[i], right, begin, end, limit)
                    if hits == 0:
                        continue
                    if count + hits > len(pairs):
                        cursor[0], cursor[1], cursor[2], cursor[3] = f, bucket, tile - start, i - low
                        return count
                    for j in range(begin, end):
                        difference = left[i] ^ right[j]
                        if popcount(difference) <= limit and not _found_earlier(difference, earlier, earlier_limits):
                            pairs[count] = _pack(left_ids[i], right_ids[j], ordered)
                            count += 1
                first_row = 0
            first_tile = 0
        first_bucket = 0
    cursor[0] = len(flips)
    return count


@compiled()
def _count_near(value: Any, right: Any, begin: int, end: int, limit: Any) -> Any:
    """Count the hashes from `begin` to `end` - 1 that differ from `value` in at most `limit` bits."""
    hits: Any = 0
    # Unsigned, since an index that may be negative prevents vectorisation.
    for j in range(np.uint64(begin), np.uint64(end)):
        hits += np.int64(popcount(value ^ right[j]) <= limit)
    return hits


@compiled()
def _found_earlier(difference: Any, earlier: Any, earlier_limits: Any) -> bool:
    """Return whether an earlier band found a pair with this difference."""
    for k in range(len(earlier)):  # noqa: SIM110 - numba compiles no generator
        if np.int64(popcount(difference & earlier[k])) <= earlier_limits[k]:
            return True
    return False


@compiled()
def _pack(left: Any, right: Any, ordered: bool) -> Any:
    """Return a pair of ids as one number; the smaller comes first unless the order matters."""
    a, b = np.uint64(left), np.uint64(right)
    if not ordered and b < a:
        a, b = b, a
    return a << np.uint64(32) | b


@compiled()
def sort_into_buckets(values: Any, ids: Any, shift: int, bits: int) -> Any:
    """Sort hashes by `bits` bits from bit `shift` on.

    Args:
        values: (n,) uint64 hashes.
        ids: (n,) uint32 id of each hash.
        shift: First bit of the band.
        bits: Number of bits of the band.

    Returns:
        The sorted hashes, their ids, and (2**bits + 1,) uint32 starts of the buckets.
    """
    starts = np.zeros((1 << bits) + 1, np.uint32)
    low, mask = np.uint64(shift), np.uint64((1 << bits) - 1)
    for i in range(len(values)):
        starts[((values[i] >> low) & mask) + np.uint64(1)] += np.uint32(1)
    for k in range(1, len(starts)):
        starts[k] += starts[k - 1]
    ends = starts[:-1].copy()
    sorted_values, sorted_ids = np.empty_like(values), np.empty_like(ids)
    for i in range(len(values)):
        bucket = (values[i] >> low) & mask
        target = ends[bucket]
        ends[bucket] = target + np.uint32(1)
        sorted_values[target] = values[i]
        sorted_ids[target] = ids[i]
    return sorted_values, sorted_ids, starts


@compiled()
def permute_bits(values: Any, table: Any) -> Any:
    """Permute the bits of (n,) uint64 values; `table[k, byte]`, (8, 256) uint64, has the permuted bits of byte k."""
    moved = np.empty_like(values)
    for i in range(len(values)):
        value, result = values[i], np.uint64(0)
        for k in range(8):
            result |= table[k, value & np.uint64(255)]
            value >>= np.uint64(8)
        moved[i] = result
    return moved


@compiled()
def select_partition(hashes: Any, start: int, partition: int, partitions: int, values: Any, ids: Any) -> int:
    """Select the hashes of one of `partitions` equal parts of the range of values. Equal hashes are in one partition.

    Args:
        hashes: (n,) uint64.
        start: Position of the first hash.
        partition: Number of the partition.
        partitions: Number of all partitions.
        values: uint64, filled with the selected hashes, as many as fit.
        ids: uint32, filled with their positions.

    Returns:
        The number of selected hashes, whether they fit or not.
    """
    count = 0
    for i in range(len(hashes)):
        mixed = (hashes[i] * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
        if np.int64((mixed * np.uint64(partitions)) >> np.uint64(32)) == partition:
            if count < len(values):
                values[count] = hashes[i]
                ids[count] = start + i
            count += 1
    return count


@compiled()
def drop_repeats(values: Any, ids: Any) -> Any:
    """Drop repeated values.

    Args:
        values: (n,) uint64, sorted.
        ids: (n,) uint32, ascending among equal values.

    Returns:
        The distinct values (d,) uint64, their first ids (d,) uint32, and (n - d,) uint64 pairs that chain the ids of
        equal values, as `first << 32 | second`.
    """
    distinct = 0
    for i in range(len(values)):
        if i == 0 or values[i] != values[i - 1]:
            distinct += 1
    kept, first = np.empty(distinct, np.uint64), np.empty(distinct, np.uint32)
    chain = np.empty(len(values) - distinct, np.uint64)
    count = 0
    for i in range(len(values)):
        if i == 0 or values[i] != values[i - 1]:
            kept[count], first[count] = values[i], ids[i]
            count += 1
        else:
            chain[i - count] = np.uint64(ids[i - 1]) << np.uint64(32) | np.uint64(ids[i])
    return kept, first, chain


@compiled()
def count_within(differences: Any, mask: Any, limit: int) -> int:
    """Count the differences, (n,) uint64, that have at most `limit` bits set under the mask."""
    count: Any = 0
    for i in range(len(differences)):
        count += np.int64(popcount(differences[i] & mask) <= np.uint64(limit))
    return int(count)


@compiled()
def unpack_pairs(pairs: Any) -> None:
    """Unpack pairs in place: (m, 2) int64, of which the second half holds the packed pairs as m uint64."""
    flat = pairs.reshape(-1)
    for i in range(len(pairs)):
        pair = np.uint64(flat[len(pairs) + i])
        flat[2 * i] = np.int64(pair >> np.uint64(32))
        flat[2 * i + 1] = np.int64(pair & np.uint64(0xFFFFFFFF))
