"""Parquet shards of pictures and patches: planned from the ledger, written by workers, put in place at the end.

A shard is named by a hash of all that its bytes depend on and lies in `.work/write/` until every shard is there; then
all get their numbers (`train-00000-of-00004.parquet`). A shard that an earlier run made is recognised by the hash in
its footer and moved, not written again.
"""

import contextlib
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from million_ird.candidate import Failed, Sample
from million_ird.config.gates import first_drop
from million_ird.config.recipe import Recipe
from million_ird.dataset.columns import image_columns, images_schema, patches_schema
from million_ird.dataset.patches import cut, grid, measure_patch, patch_id, scaled_size
from million_ird.errors import DamagedFile, SourceChanged
from million_ird.images.decode import encode_png, encode_webp
from million_ird.ledger import KEPT, TRAIN, VALIDATION
from million_ird.metadata.strip import strip
from million_ird.runtime.executor import Engine
from million_ird.runtime.progress import Progress
from million_ird.runtime.storage import Folder
from million_ird.scan.source_bytes import Originals, measured_bytes
from million_ird.sources.source import Reader, Source

Kind: TypeAlias = Literal["data", "patches"]
STAGING = ".work/write"
UNIT = b"million_ird.unit"
FORMAT_REVISION = 2
"""Goes up when the same rows would be written as other bytes."""
GROUP_BYTES = 64_000_000
"""A row group holds no more, unless a single picture does."""
GROUP_ROWS = 1000
BYTES_PER_PATCH_PIXEL = {"png": 1.15, "webp": 0.85}
"""What photographs take on average (benchmarks/patch_format.py): shards are planned before the patches exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """All that a worker needs to write one shard."""

    out: Folder
    kind: Kind
    split: str
    rows: pa.Table
    schema: pa.Schema
    recipe: Recipe
    sources: Mapping[str, Reader]
    unit: str


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows the two kinds of shards hold, and how many shards were written anew."""

    images: int = 0
    patches: int = 0
    new_shards: int = 0


def write(
    out: Folder,
    ledger: pa.Table,
    recipe: Recipe,
    sources: Mapping[str, Source],
    engine: Engine,
    progress: Progress,
    originals: Originals,
) -> Written:
    """Writes the kept pictures and their patches.

    The bytes depend on the ledger, the recipe and the source files alone, not on workers or earlier runs.

    Raises:
        SourceChanged: a kept file is gone or no longer what was measured; run `scan` or `build` again.
        BuildError: the disk is full.
    """
    kept = ledger.filter(pc.equal(ledger["verdict"], KEPT))
    tasks = list(_plan(out, kept, recipe, sources))
    present = {kind: _present(out, kind) for kind in ("data", "patches")}
    staged = {name.removesuffix(".parquet") for name in out.names(STAGING)}
    missing = [task for task in tasks if task.unit not in present[task.kind] and task.unit not in staged]
    progress.stage("write", sum(task.rows.num_rows for task in missing), "rows")
    keys = [task.rows["key"].to_pylist() for task in missing]
    places = originals.places([key for part in keys for key in part])
    ready = (
        replace(task, sources=originals.behind(sources, {key: places[key] for key in part if key in places}))
        for task, part in zip(missing, keys, strict=True)
    )
    for rows in engine.run(write_shard, ready):
        progress.advance(rows)
    counts = [
        _put_in_place(out, kind, [(task.split, task.unit) for task in tasks if task.kind == kind]) for kind in present
    ]
    out.remove(STAGING)
    return Written(counts[0], counts[1], len(missing))


def _plan(out: Folder, kept: pa.Table, recipe: Recipe, sources: Mapping[str, Source]) -> Iterator[ShardTask]:
    """Shards of each kind and split; a split has at least one, of no rows if need be, so that it can be loaded."""
    for split in (TRAIN, VALIDATION) if recipe.validation else (TRAIN,):
        rows = kept.filter(pc.equal(kept["split"], split))
        yield from _plan_split(out, split, rows, recipe, sources)


def _plan_split(
    out: Folder, split: str, kept: pa.Table, recipe: Recipe, sources: Mapping[str, Source]
) -> Iterator[ShardTask]:
    size = recipe.patches.size
    widths, heights = kept["width"].to_pylist(), kept["height"].to_pylist()
    patches = [
        sum(len(grid(*scaled_size(w, h, scale), size)) for scale in recipe.patches.scales)
        for w, h in zip(widths, heights, strict=True)
    ]
    columns = image_columns(recipe.measured)
    schemas: dict[Kind, pa.Schema] = {"data": images_schema(recipe.measured), "patches": patches_schema()}
    weights: dict[Kind, NDArray[np.float64]] = {
        "data": kept["bytes"].to_numpy().astype(np.float64),
        "patches": np.asarray(patches, np.float64) * size * size * BYTES_PER_PATCH_PIXEL[recipe.patches.format],
    }
    for kind, schema in schemas.items():
        for start, stop in _cuts(weights[kind], recipe.shards.bytes):
            rows = kept.select(columns).slice(start, stop - start)
            yield ShardTask(
                out=out,
                kind=kind,
                split=split,
                rows=rows,
                schema=schema,
                recipe=recipe,
                sources=sources,
                unit=_unit(kind, split, rows, schema, recipe),
            )


def _cuts(weights: NDArray[np.float64], most: int) -> list[tuple[int, int]]:
    """Consecutive ranges of about equal weight, none far over `most`; one empty range where there is nothing."""
    shards = max(1, int(np.ceil(weights.sum() / most)))
    middles = np.cumsum(weights) - weights / 2
    which = np.minimum((middles / max(1.0, weights.sum()) * shards).astype(int), shards - 1)
    edges = np.searchsorted(which, np.arange(shards + 1))
    ranges = [(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]
    return ranges or [(0, 0)]


def _unit(kind: Kind, split: str, rows: pa.Table, schema: pa.Schema, recipe: Recipe) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    terms = f"{kind} {split} {FORMAT_REVISION} {schema.to_string()}"
    terms += f" {recipe.patches.model_dump_json()}" if kind == "patches" else f" {recipe.privacy.model_dump_json()}"
    return hashlib.blake2b(sink.getvalue().to_pybytes() + terms.encode(), digest_size=16).hexdigest()


def write_shard(task: ShardTask) -> int:
    """Writes one shard to `.work/write/`; returns how many ledger rows went into it."""
    make: Callable[[ShardTask, dict[str, object], bytes], Iterator[dict[str, object]]]
    make = _image_rows if task.kind == "data" else _patch_rows
    schema = task.schema.with_metadata({**(task.schema.metadata or {}), UNIT: task.unit.encode()})
    with (
        task.out.writing(f"{STAGING}/{task.unit}.parquet") as file,
        pq.ParquetWriter(file, schema, compression=_compression(schema), write_page_index=True) as writer,
    ):
        group: list[dict[str, object]] = []
        size = 0
        for row in task.rows.to_pylist():
            for made in make(task, row, _original(task, row)):
                if group and (size + len(_picture(made)) > GROUP_BYTES or len(group) >= GROUP_ROWS):
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    group, size = [], 0
                group.append(made)
                size += len(_picture(made))
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    return int(task.rows.num_rows)


def _compression(schema: pa.Schema) -> dict[str, str]:
    """Pictures are compressed already; the rest compresses well."""
    flat = {field.name: "zstd" for field in schema if field.name != "image"}
    return flat | {"image.bytes": "none", "image.path": "zstd"}


def _picture(row: dict[str, object]) -> bytes:
    image = row["image"]
    assert isinstance(image, dict)
    encoded: bytes = image["bytes"]
    return encoded


def _original(task: ShardTask, row: dict[str, object]) -> bytes:
    """The source's bytes, which must be those that were measured."""
    encoded = measured_bytes(task.sources, row)
    if isinstance(encoded, Failed):
        raise SourceChanged(f"{row['source']}/{row['uri']}: {encoded.detail}; run the build again")
    return encoded


def _image_rows(task: ShardTask, row: dict[str, object], encoded: bytes) -> Iterator[dict[str, object]]:
    if task.recipe.privacy.covers(str(row["uri"])):
        encoded = strip(encoded, str(row["format"]))
    suffix = PurePosixPath(str(row["uri"])).suffix.lower() or f".{str(row['format']).lower()}"
    name = hashlib.sha256(encoded).hexdigest()
    yield {"image": {"bytes": encoded, "path": f"{row['id']}{suffix}"}, "sha256": name, **row}


def _patch_rows(task: ShardTask, row: dict[str, object], encoded: bytes) -> Iterator[dict[str, object]]:
    wanted = task.recipe.patches
    encode = encode_png if wanted.format == "png" else encode_webp
    sample = Sample(encoded, max_pixels=task.recipe.limits.max_pixels)
    for scale, box, patch in cut(sample.pixels, wanted.size, wanted.scales):
        numbers = measure_patch(patch)
        if first_drop(wanted.gates, numbers) is None:
            name = patch_id(str(row["id"]), scale, box)
            yield {
                "image": {"bytes": encode(patch), "path": f"{name}.{wanted.format}"},
                "id": name,
                "parent": row["id"],
                **{k: row[k] for k in ("key", "source", "uri", "licence", "attribution")},
                "x": box.x,
                "y": box.y,
                "size": box.size,
                "scale": scale,
                **numbers,
            }


def _present(out: Folder, kind: Kind | str) -> dict[str, str]:
    """The shards in place that can be read: unit to file name."""
    found = {}
    for name in out.names(kind):
        with contextlib.suppress(DamagedFile):
            unit = (out.read_schema(f"{kind}/{name}").metadata or {}).get(UNIT, b"").decode()
            found[unit] = name
    return found


def _put_in_place(out: Folder, kind: str, units: list[tuple[str, str]]) -> int:
    """Gives the shards their final names and removes others; returns the number of rows in them.

    Everything passes through the staging folder, under names that survive a kill at any moment.
    """
    totals, numbers = Counter(split for split, _ in units), Counter[str]()
    wanted = {}
    for split, unit in units:
        wanted[unit] = f"{split}-{numbers[split]:05d}-of-{totals[split]:05d}.parquet"
        numbers[split] += 1
    present = {name: unit for unit, name in _present(out, kind).items()}
    for name in out.names(kind):
        unit = present.get(name, "")
        if unit not in wanted:
            out.remove(f"{kind}/{name}")
        elif wanted[unit] != name:
            out.rename(f"{kind}/{name}", f"{STAGING}/{unit}.parquet")
    for unit, name in wanted.items():
        if not out.exists(f"{kind}/{name}"):
            out.rename(f"{STAGING}/{unit}.parquet", f"{kind}/{name}")
    return sum(_rows(out, f"{kind}/{name}") for name in wanted.values())


def _rows(out: Folder, name: str) -> int:
    with out.open(name) as file:
        return int(pq.read_metadata(file).num_rows)
