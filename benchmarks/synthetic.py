"""Synthetic candidates, made a block at a time by NumPy and pyarrow: about a microsecond for each value.

A share of the rows pass, one in ten of these is a near copy of another, 5 % failed, and the others break a gate, most
of them one of the cheap ones, behind which nothing was measured. `scanned_blocks` are rows as a scan leaves them,
`ledger_blocks` the same with verdicts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import in_cost_order
from million_ird.measures.signature import FRAME, KEYPOINT, MAX_KEYPOINTS
from million_ird.schema import DROPPED, FAILED, KEPT, NEAR

Mask = NDArray[np.bool_]
BLOCK = 20_000
COPIES, FAILED_SHARE, DEAR_SHARE = 0.1, 0.05, 0.05
_DIGITS = np.frombuffer("".join(f"{value:02x}" for value in range(256)).encode(), np.uint8).reshape(256, 2)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Fates:
    """What becomes of n rows."""

    passes: Mask
    """(n,) which rows pass every gate."""
    copies: Mask
    """(n,) which of these show the passing row before them; the first one is none."""
    failed: Mask
    gates: NDArray[np.int64]
    """(n,) which gate each other row breaks, in the order of their cost."""
    tiers: NDArray[np.int64]
    """(n,) the last tier that was measured."""

    @classmethod
    def drawn(cls, recipe: Recipe, random: np.random.Generator, count: int, passing: float) -> "Fates":
        """Draw the fates of some rows, of which the share `passing` passes."""
        cheap = sum(int(recipe.tiers[gate.field]) == 1 for gate in recipe.gates)
        fate = random.random(count)
        passes, failed = fate < passing, fate > 1 - FAILED_SHARE
        dear = (fate >= passing) & (fate < passing + DEAR_SHARE)
        gates = np.where(dear, random.integers(cheap, len(recipe.gates), count), random.integers(0, cheap, count))
        copies = passes & (random.random(count) < COPIES)
        copies[np.flatnonzero(passes)[:1]] = False
        return cls(passes, copies, failed, gates, np.where(failed, 0, np.where(passes | dear, 4, 1)))


def scanned_blocks(start: int, stop: int, recipe: Recipe, passing: float, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the candidates from number `start` to `stop` as scanned rows; what `schema` has beside these is null."""
    for numbers, fates, random in _blocks(start, stop, recipe, passing):
        yield table_of(_scanned(numbers, fates, recipe, random), schema)


def ledger_blocks(start: int, stop: int, recipe: Recipe, passing: float, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the candidates from number `start` to `stop` as rows of a ledger."""
    for numbers, fates, random in _blocks(start, stop, recipe, passing):
        columns = _scanned(numbers, fates, recipe, random)
        yield table_of(columns | _verdicts(columns["key"], fates, recipe), schema)


def _blocks(
    start: int, stop: int, recipe: Recipe, passing: float
) -> Iterator[tuple[NDArray[np.int64], Fates, np.random.Generator]]:
    for first in range(start, stop, BLOCK):
        numbers, random = np.arange(first, min(stop, first + BLOCK)), np.random.default_rng(first)
        yield numbers, Fates.drawn(recipe, random, len(numbers), passing), random


def _scanned(
    numbers: NDArray[np.int64], fates: Fates, recipe: Recipe, random: np.random.Generator
) -> dict[str, pa.Array]:
    columns = identity(numbers)
    columns |= measured(recipe, random, np.where(fates.passes, -1, fates.gates), fates.tiers)
    columns |= signatures(random, fates.passes, fates.copies)
    columns["id"] = id_texts(numbers, ~fates.failed)
    texts = {"format": ("JPEG", None), "mode": ("RGB", None)}
    texts |= {"failure_class": (None, "not_found"), "failure_detail": (None, "404")}
    columns |= {name: pa.array(values).take(pa.array(fates.failed.astype(np.int8))) for name, values in texts.items()}
    return columns | {"tier": pa.array(fates.tiers), "version": columns["key"]}


def _verdicts(keys: pa.Array, fates: Fates, recipe: Recipe) -> dict[str, pa.Array]:
    """Return the columns of the verdicts: a copy is dropped for the kept row before it, the others by their gates."""
    kept = fates.passes & ~fates.copies
    original = np.maximum.accumulate(np.where(kept, np.arange(len(kept)), 0))
    gates = [gate.drop_reason for gate in in_cost_order(recipe.gates, recipe.tiers)]
    reason = np.where(fates.copies, len(gates), fates.gates)
    of_original = keys.take(pa.array(original))
    clustered = fates.copies | np.isin(np.arange(len(kept)), original[fates.copies])
    return {
        "verdict": pa.array([KEPT, FAILED, DROPPED]).take(pa.array(np.where(kept, 0, np.where(fates.failed, 1, 2)))),
        "reason": pa.array([*gates, NEAR]).take(pa.array(reason, mask=kept | fates.failed)),
        "cluster": pc.if_else(pa.array(clustered), of_original, None),
        "duplicate_of": pc.if_else(pa.array(fates.copies), of_original, None),
        "split": pc.if_else(pa.array(kept), "train", None),
        "vanished": pa.array(np.zeros(len(kept), bool)),
    }


def hexadecimal(values: NDArray[np.uint64]) -> pa.Array:
    """Return the numbers of each row, 16 digits each, as one text: (n, k) to n texts."""
    digits = np.ascontiguousarray(_DIGITS[values.astype(">u8").view(np.uint8).reshape(len(values), -1)])
    width = 16 * values.shape[1]
    offsets = np.arange(0, width * (len(values) + 1), width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(digits))


def keys_of(numbers: NDArray[np.int64]) -> pa.Array:
    """Return keys that look like hashes; different numbers have different keys."""
    own = numbers.astype(np.uint64)
    return hexadecimal(np.stack([own * _GOLDEN, own], axis=1))


def identity(numbers: NDArray[np.int64]) -> dict[str, pa.Array]:
    """Return the columns that name a candidate."""
    texts = {name: pc.cast(pa.array(value), pa.string()) for name, value in (("host", numbers % 997), ("i", numbers))}
    album = pc.cast(pa.array(numbers // 100), pa.string())
    parts = ("https://host-", texts["host"], ".example/albums/", album, "/IMG_", texts["i"], ".jpg", "")
    return {
        "key": keys_of(numbers),
        "source": pa.array(["a table", "b table"]).take(pa.array(numbers % 2)),
        "uri": pc.binary_join_element_wise(*parts),
        "licence": pa.array(["CC0-1.0", "CC BY 4.0", None]).take(pa.array(numbers % 3)),
    }


def id_texts(numbers: NDArray[np.int64], known: Mask) -> pa.Array:
    """Return the hash of each candidate's bytes, null where it is not known."""
    own = numbers.astype(np.uint64)
    texts = hexadecimal(np.stack([own * _GOLDEN, own + _GOLDEN, own * own, own], axis=1))
    return pc.if_else(pa.array(known), texts, None)


def measured(
    recipe: Recipe, random: np.random.Generator, broken: NDArray[np.int64], tiers: NDArray[np.int64]
) -> dict[str, pa.Array]:
    """Return the numbers of a block of rows, null in the tiers that were not reached.

    Args:
        recipe: Its gates, in the order of their cost, and its tiers.
        random: Draws the numbers.
        broken: (n,) which gate each row breaks, -1 for none.
        tiers: (n,) the last tier that was measured.
    """
    columns = {}
    gates = {gate.field: (number, gate) for number, gate in enumerate(in_cost_order(recipe.gates, recipe.tiers))}
    for field, tier in recipe.tiers.items():
        spread = random.random(len(broken))
        if field in gates:
            number, gate = gates[field]
            bad = broken == number
            if gate.min is not None:
                values = gate.min * np.where(bad, 0.3 + 0.69 * spread, 1.001 + spread)
            else:
                values = (gate.max or 1.0) * np.where(bad, 1.01 + spread, 0.99 * spread)
        elif field in {"width", "height"}:
            values = np.round(1024 + 3000 * spread)
        elif field == "bytes":
            values = np.round(50_000 + 850_000 * spread)
        elif field == "camera":
            values = np.round(spread)
        else:
            values = np.exp(2 * spread)
        columns[field] = pa.array(values, mask=tiers < int(tier))
    return columns


def signatures(random: np.random.Generator, signed: Mask, copies: Mask) -> dict[str, pa.Array]:
    """Return `phash`, `frame`, `points` and `pixels_id` of the signed rows; a copy shows the signed row before it.

    Args:
        random: Draws the signatures.
        signed: (n,) which rows have a signature.
        copies: (n,) which of these are near copies; the first signed row is none.
    """
    rows = np.flatnonzero(signed)
    shown = np.maximum.accumulate(np.where(copies[rows], 0, np.arange(len(rows))))
    frames = np.zeros(len(rows), FRAME)
    frames["hashes"] = random.integers(0, 2**64, (len(rows), 8), np.uint64)
    frames["low"] = random.integers(-60, 61, (len(rows), *FRAME["low"].shape), np.int8)
    points = np.frombuffer(random.bytes(len(rows) * MAX_KEYPOINTS * KEYPOINT.itemsize), KEYPOINT)
    points = points.reshape(len(rows), MAX_KEYPOINTS)[shown].copy()
    frames = frames[shown].copy()
    flips = np.where(copies[rows], np.uint64(1) << random.integers(0, 64, len(rows), np.uint64), np.uint64(0))
    frames["hashes"][:, 0] ^= flips.astype(np.uint64)
    own = np.flatnonzero(copies[rows])
    frames["low"][own] += random.integers(-3, 4, (len(own), *FRAME["low"].shape), np.int8)
    points["x"][own] ^= 1
    phash = hexadecimal(frames["hashes"][:, :1].astype(np.uint64))
    own_pixels = hexadecimal(random.integers(0, 2**64, (len(rows), 2), np.uint64))
    places = np.full(len(signed), -1, np.int64)
    places[rows] = np.arange(len(rows))
    taken = pa.array(places, mask=places < 0)
    packed = {"frame": _packed(frames.reshape(-1, 1)), "points": _packed(points)}
    return {name: column.take(taken) for name, column in ({"phash": phash, "pixels_id": own_pixels} | packed).items()}


def _packed(values: np.ndarray) -> pa.Array:
    """Return the bytes of each row: n binary values of equal length."""
    width = values.shape[1] * values.dtype.itemsize
    offsets = np.arange(0, width * (len(values) + 1), width, dtype=np.int32)
    content = pa.py_buffer(np.ascontiguousarray(values).tobytes())
    return pa.Array.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(offsets), content])


def table_of(columns: dict[str, pa.Array], schema: pa.Schema) -> pa.Table:
    """Return the columns as a table of this schema; a column that is missing is null."""
    count = len(columns["key"])
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
