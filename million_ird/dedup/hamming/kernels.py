"""The inner loops of the hash index: compiled, without the interpreter's lock, on plain arrays.

Hashes lie sorted by a field of their bits, a bucket for every value of it. For one flip mask, bucket b is compared
with bucket b ^ mask; walking all buckets for one mask reads both sides nearly in order, so that the memory streams.
A row of such a comparison first counts (which the processor does on eight hashes at once) and writes only where there
is something to write.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from million_ird.runtime.jit import compiled

TILE = 2048
"""Hashes of the right side that a row is compared with before the next row is taken: they stay in the first cache."""


def _popcount(_context: Any, _number: Any) -> Any:
    """The number of set bits of a uint64, as the processor's own instruction."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


popcount: Any = intrinsic(_popcount)


@compiled()
def compare(
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
    at: Any,
    found: Any,
) -> int:
    """Compares bucket b on the left with bucket b ^ flip on the right, for every b and flip.

    Args:
        left: (n,) uint64 hashes sorted by bucket.
        left_ids: (n,) uint32, what they are called.
        left_starts: (buckets + 1,) uint32, where each bucket begins.
        right: as `left`; `right_ids` and `right_starts` likewise.
        flips: (f,) int64 differences of bucket numbers.
        same: whether both sides are the same hashes, so that each pair of them is met from one side only.
        ordered: whether a pair is written as (left, right) whatever is greater, instead of (less, greater).
        radius: most bits in which a pair may differ.
        earlier: (k,) uint64 masks of bands that were searched before this one.
        earlier_limits: (k,) int64, their thresholds: a pair within one of them was met there.
        at: (4,) int64, where to begin (zeros at first); says where to go on. `at[0] == len(flips)` when all is done.
        found: (at least TILE,) uint64, filled with pairs as `first << 32 | second`.

    Returns:
        How many pairs were written.
    """
    count = 0
    limit = np.uint64(radius)
    bucket_at, tile_at, row_at = at[1], at[2], at[3]
    for f in range(at[0], len(flips)):
        flip = flips[f]
        for bucket in range(bucket_at, len(left_starts) - 1):
            partner = bucket ^ flip
            if same and partner < bucket:
                continue
            low, high = np.int64(left_starts[bucket]), np.int64(left_starts[bucket + 1])
            start, stop = np.int64(right_starts[partner]), np.int64(right_starts[partner + 1])
            for tile in range(start + tile_at, stop, TILE):
                end: Any = min(tile + TILE, stop)
                for i in range(low + row_at, high):
                    begin: Any = max(tile, i + 1) if same and flip == 0 else tile
                    hits = _near(left[i], right, begin, end, limit)
                    if hits == 0:
                        continue
                    if count + hits > len(found):
                        at[0], at[1], at[2], at[3] = f, bucket, tile - start, i - low
                        return count
                    for j in range(begin, end):
                        difference = left[i] ^ right[j]
                        if popcount(difference) <= limit and not _was_met(difference, earlier, earlier_limits):
                            found[count] = _packed(left_ids[i], right_ids[j], ordered)
                            count += 1
                row_at = 0
            tile_at = 0
        bucket_at = 0
    at[0] = len(flips)
    return count


@compiled()
def _near(value: Any, right: Any, begin: int, end: int, limit: Any) -> Any:
    """How many of the hashes begin to end - 1 differ from `value` in at most `limit` bits."""
    hits: Any = 0
    for j in range(np.uint64(begin), np.uint64(end)):  # no index below zero: this must vectorise
        hits += np.int64(popcount(value ^ right[j]) <= limit)
    return hits


@compiled()
def _was_met(difference: Any, earlier: Any, earlier_limits: Any) -> bool:
    """Whether a pair of this difference was found by a band that was searched before."""
    for k in range(len(earlier)):  # noqa: SIM110 - numba compiles no generator
        if np.int64(popcount(difference & earlier[k])) <= earlier_limits[k]:
            return True
    return False


@compiled()
def _packed(left: Any, right: Any, ordered: bool) -> Any:
    """A pair of ids as one number; the less comes first unless their order matters."""
    a, b = np.uint64(left), np.uint64(right)
    if not ordered and b < a:
        a, b = b, a
    return a << np.uint64(32) | b


@compiled()
def in_buckets(values: Any, ids: Any, shift: int, bits: int) -> Any:
    """Hashes (n,) uint64 and their ids, sorted by `bits` bits from `shift` on, and where each of the buckets begins."""
    starts = np.zeros((1 << bits) + 1, np.uint32)
    low, mask = np.uint64(shift), np.uint64((1 << bits) - 1)
    for i in range(len(values)):
        starts[((values[i] >> low) & mask) + np.uint64(1)] += np.uint32(1)
    for k in range(1, len(starts)):
        starts[k] += starts[k - 1]
    at = starts[:-1].copy()
    sorted_values, sorted_ids = np.empty_like(values), np.empty_like(ids)
    for i in range(len(values)):
        bucket = (values[i] >> low) & mask
        place = at[bucket]
        at[bucket] = place + np.uint32(1)
        sorted_values[place] = values[i]
        sorted_ids[place] = ids[i]
    return sorted_values, sorted_ids, starts


@compiled()
def permuted(values: Any, table: Any) -> Any:
    """Values (n,) uint64 with their bits moved: `table[k, byte]` says where the bits of byte k go, (8, 256) uint64."""
    moved = np.empty_like(values)
    for i in range(len(values)):
        value, result = values[i], np.uint64(0)
        for k in range(8):
            result |= table[k, value & np.uint64(255)]
            value >>= np.uint64(8)
        moved[i] = result
    return moved


@compiled()
def members(hashes: Any, start: int, piece: int, pieces: int, values: Any, ids: Any) -> int:
    """Picks the hashes of one of `pieces` equal shares of all values, and their positions from `start` on.

    Equal hashes belong to one share. Writes as many as there is room for in `values` and `ids`; returns how many.
    """
    count = 0
    for i in range(len(hashes)):
        mixed = (hashes[i] * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
        if np.int64((mixed * np.uint64(pieces)) >> np.uint64(32)) == piece:
            if count < len(values):
                values[count] = hashes[i]
                ids[count] = start + i
            count += 1
    return count


@compiled()
def collapsed(values: Any, ids: Any) -> Any:
    """Sorted values with ids that rise among equal ones: the distinct, their first ids, and the chain of the others.

    Returns:
        (d,) uint64, (d,) uint32, and (n - d,) uint64 pairs of neighbours in the chain as `first << 32 | second`.
    """
    distinct = 0
    for i in range(len(values)):
        if i == 0 or values[i] != values[i - 1]:
            distinct += 1
    kept, first = np.empty(distinct, np.uint64), np.empty(distinct, np.uint32)
    chain = np.empty(len(values) - distinct, np.uint64)
    at = 0
    for i in range(len(values)):
        if i == 0 or values[i] != values[i - 1]:
            kept[at], first[at] = values[i], ids[i]
            at += 1
        else:
            chain[i - at] = np.uint64(ids[i - 1]) << np.uint64(32) | np.uint64(ids[i])
    return kept, first, chain


@compiled()
def within(differences: Any, mask: Any, limit: int) -> int:
    """How many of the differences (n,) uint64 have at most `limit` bits set under the mask."""
    count: Any = 0
    for i in range(len(differences)):
        count += np.int64(popcount(differences[i] & mask) <= np.uint64(limit))
    return int(count)


@compiled()
def unpack(answer: Any) -> None:
    """Spreads packed pairs over (m, 2) int64 in place: they lie, as uint64, in the second half of its memory."""
    flat = answer.reshape(-1)
    for i in range(len(answer)):
        pair = np.uint64(flat[len(answer) + i])
        flat[2 * i] = np.int64(pair >> np.uint64(32))
        flat[2 * i + 1] = np.int64(pair & np.uint64(0xFFFFFFFF))
