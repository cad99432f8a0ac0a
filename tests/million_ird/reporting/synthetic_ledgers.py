"""Ledgers made of numbers, as a scan and `decide` would have left them, and sources to go with them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import pyarrow as pa

from million_ird.candidate import Candidate, Failed
from million_ird.config.loading import parse
from million_ird.config.recipe import Recipe
from million_ird.decide.gates import failures
from million_ird.decide.verdicts import decide
from million_ird.ledger import ledger_schema, scanned_schema
from million_ird.sources.source import SourceChunk

RECIPE = {
    "name": "made",
    "gates": [
        {"field": "short_side", "min": 1024, "reason": "small"},
        {"field": "mean_luma", "min": 40, "max": 220, "reason": "exposure"},
        {"field": "top_colours", "max": 0.35, "reason": "few_colours"},
        {"field": "sharpest_blocks", "min": 3, "reason": "blurred"},
    ],
}


def make_recipe(**changes: object) -> Recipe:
    """The recipe of these tests, with some keys replaced."""
    return parse({**RECIPE, **changes}, origin="made")


def scan_rows(rows: int, recipe: Recipe, *, seed: int = 0) -> pa.Table:
    """Rows of a scan: some failed, many with copies, later tiers null where an earlier gate drops.

    Numbers lie on coarse steps, so that some are equal to limits.
    """
    draw = np.random.default_rng(seed)
    numbers = {
        "short_side": np.rint(2.0 ** draw.uniform(7, 13, rows) / 4) * 4,
        "mean_luma": np.rint(draw.normal(120, 50, rows).clip(0, 255)),
        "top_colours": np.round(draw.beta(0.7, 3, rows), 3),
        "sharpest_blocks": np.round(draw.lognormal(2, 1.2, rows), 2),
    }
    numbers["jpeg_quality"] = np.where(draw.random(rows) < 0.3, np.nan, np.rint(draw.uniform(30, 100, rows)))
    twin = np.where(draw.random(rows) < 0.1, draw.integers(0, rows, rows), np.arange(rows))
    numbers = {name: values[twin] for name, values in numbers.items()}
    failed = draw.random(rows) < 0.02
    alive = ~failed
    measured = {name: np.full(rows, np.nan) for name in numbers}
    for tier in (("short_side", "jpeg_quality"), ("mean_luma", "top_colours"), ("sharpest_blocks",)):
        for name in tier:
            measured[name][alive] = numbers[name][alive]
        for gate in recipe.gates:
            if gate.field in tier:
                alive &= ~failures(gate, pa.chunked_array([pa.array(measured[gate.field], from_pandas=True)]))[0]
    keys = [hashlib.blake2b(str(i).encode(), digest_size=16).hexdigest() for i in range(rows)]
    ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in twin.tolist()]
    # Hashes far from each other, so that a copy is a copy of the same picture and of no other.
    hashes = [keys[i][:16] for i in twin.tolist()]
    short = np.nan_to_num(numbers["short_side"])
    columns: dict[str, object] = {
        "key": keys,
        "source": [f"source {i % 3}" for i in range(rows)],
        "uri": [f"folder/{i:06d}.jpg" for i in range(rows)],
        "licence": [None if i % 2 else "CC0-1.0" for i in range(rows)],
        "id": ids,
        "bytes": np.arange(rows) + 1000,
        "width": short.astype(np.int32),
        "height": (short * 1.5).astype(np.int32),
        "phash": [text if whole else None for text, whole in zip(hashes, alive.tolist(), strict=True)],
        "tier": np.where(alive, 4, 1),
        "failure_class": ["truncated" if bad else None for bad in failed.tolist()],
        "failure_detail": ["ends early" if bad else None for bad in failed.tolist()],
        "version": [""] * rows,
        **measured,
    }
    schema = scanned_schema(recipe.ledger_entries)
    arrays = [
        pa.array(columns[one.name], one.type, from_pandas=True) if one.name in columns else pa.nulls(rows, one.type)
        for one in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def decide_rows(rows: pa.Table, recipe: Recipe) -> pa.Table:
    """The ledger of these rows."""
    schema = ledger_schema(recipe.ledger_entries)
    verdicts = decide(rows, recipe)
    return pa.table({name: verdicts[name] if name in verdicts.column_names else rows[name] for name in schema.names})


def with_texts(rows: pa.Table, texts: Mapping[str, Mapping[int, str]]) -> pa.Table:
    """The same rows with some cells of text columns replaced."""
    for column, cells in texts.items():
        values = rows[column].to_pylist()
        for position, text in cells.items():
            values[position] = text
        rows = rows.set_column(rows.column_names.index(column), rows.schema.field(column), pa.array(values))
    return rows


@dataclass(frozen=True)
class SyntheticSource:
    """Answers with one small picture, or as it is told for a uri."""

    label: str
    answers: Mapping[str, bytes | Failed] = field(default_factory=dict)
    root: str = "made"

    def chunks(self) -> list[SourceChunk]:
        return []

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        return []

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        return self.answers.get(candidate.uri, Failed("missing", "no such file"))


def small_jpeg(seed: int = 0) -> bytes:
    """A small JPEG with some texture."""
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    done, encoded = cv2.imencode(".jpg", cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC))
    assert done
    return bytes(encoded)
