"""Parquet shards of images and patches: planned from the ledger, written by workers, moved into place at the end.

The key of a shard is a hash of everything that its bytes depend on. Shards are written to `.work/write/` under their
keys until all of them exist; then they get their numbers (`train-00000-of-00004.parquet`). A shard of an earlier run is
recognised by the key in its footer: it is moved, not written again.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from million_ird.build_folder import STAGING
from million_ird.candidate import Failed
from million_ird.config.gates import first_drop
from million_ird.config.recipe import Recipe
from million_ird.dataset.columns import image_columns, images_schema, patches_schema
from million_ird.dataset.key_ranges import order_of_keys, shard_ranges
from million_ird.dataset.patches import cut_patches, grid, measure_patch, patch_id, scaled_size
from million_ird.errors import DamagedFile, SourceChanged
from million_ird.images.encode import encode_png, encode_webp
from million_ird.images.encoded_image import EncodedImage
from million_ird.images.jpeg_damage import completed
from million_ird.ledger_stream import LedgerStream
from million_ird.metadata.strip import strip_metadata
from million_ird.runtime.executor import Executor
from million_ird.runtime.progress import Progress
from million_ird.runtime.storage import Folder
from million_ird.scan.source_bytes import DownloadCache, read_verified
from million_ird.schema import TRAIN, VALIDATION
from million_ird.sources.source import Reader, Source

ShardKind: TypeAlias = Literal["data", "patches"]
"""What shards hold, and the name of their folder: images or patches."""
KINDS: tuple[ShardKind, ...] = ("data", "patches")
SHARD_KEY = b"million_ird.unit"
"""Where a file's parquet metadata holds its shard key."""
FORMAT_REVISION = 2
"""Increased when the same rows would be written as other bytes."""
GROUP_BYTES = 64_000_000
"""Largest row group in bytes, unless a single image is larger."""
GROUP_ROWS = 1000
BYTES_PER_PATCH_PIXEL = MappingProxyType({"png": 1.15, "webp": 0.85})
"""Average of photographs (benchmarks/patch_format.py): shards are planned before the patches exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """Everything that a worker needs to write one shard."""

    out: Folder
    kind: ShardKind
    split: str
    rows: pa.Table
    schema: pa.Schema
    recipe: Recipe
    sources: Mapping[str, Reader]
    shard_key: str


@dataclass(frozen=True, slots=True)
class WriteSummary:
    """How many rows the shards of either kind hold, and what was newly written."""

    images: int = 0
    patches: int = 0
    new_shards: int = 0
    card: bool = False
    """Whether the card was written, too."""


def write_shards(
    out: Folder,
    ledger: LedgerStream,
    recipe: Recipe,
    sources: Mapping[str, Source],
    executor: Executor,
    progress: Progress,
    originals: DownloadCache,
) -> WriteSummary:
    """Write the kept images and their patches.

    The bytes depend on the ledger, the recipe and the source files alone, not on workers or earlier runs.

    Raises:
        SourceChanged: A kept file is gone, or is no longer the one that was measured; run `scan` or `build` again.
        BuildError: The disk is full.
    """
    names = [*image_columns(recipe.ledger_entries), "split"]
    kept = ledger.kept_table(names)
    tasks = list(_plan_shards(out, kept, recipe, sources))
    present = {kind: _readable_shards(out, kind) for kind in KINDS}
    staged = {name.removesuffix(".parquet") for name in out.names(STAGING)}
    missing = [task for task in tasks if task.shard_key not in present[task.kind] and task.shard_key not in staged]
    progress.stage("write", sum(task.rows.num_rows for task in missing), "rows")
    row_keys = [task.rows["key"].to_pylist() for task in missing]
    places = originals.places([key for keys in row_keys for key in keys])
    ready = (
        replace(task, sources=originals.wrap(sources, {key: places[key] for key in keys if key in places}))
        for task, keys in zip(missing, row_keys, strict=True)
    )
    for rows in executor.run(write_shard, ready):
        progress.advance(rows)
    images, patches = (
        _move_into_place(out, kind, [(task.split, task.shard_key) for task in tasks if task.kind == kind])
        for kind in KINDS
    )
    out.remove(STAGING)
    return WriteSummary(images, patches, len(missing))


def _plan_shards(out: Folder, kept: pa.Table, recipe: Recipe, sources: Mapping[str, Source]) -> Iterator[ShardTask]:
    """Plan the shards of each kind and split, with rows in the order of their keys.

    An empty split gets a shard without rows, so that it can be loaded.
    """
    for split in (TRAIN, VALIDATION) if recipe.validation else (TRAIN,):
        rows = kept.filter(pc.equal(kept["split"], split))
        yield from _plan_split(out, split, rows, recipe, sources)


def _plan_split(
    out: Folder, split: str, kept: pa.Table, recipe: Recipe, sources: Mapping[str, Source]
) -> Iterator[ShardTask]:
    order, numbers = order_of_keys(kept["key"].to_pylist())
    kept = kept.take(order)
    size = recipe.patches.size
    widths, heights = kept["width"].to_pylist(), kept["height"].to_pylist()
    patches = [
        sum(len(grid(*scaled_size(w, h, scale), size)) for scale in recipe.patches.scales)
        for w, h in zip(widths, heights, strict=True)
    ]
    columns = image_columns(recipe.ledger_entries)
    schemas: dict[ShardKind, pa.Schema] = {"data": images_schema(recipe.ledger_entries), "patches": patches_schema()}
    weights: dict[ShardKind, float] = {
        "data": float(pc.sum(kept["bytes"]).as_py() or 0),
        "patches": sum(patches) * size * size * BYTES_PER_PATCH_PIXEL[recipe.patches.format],
    }
    for kind, schema in schemas.items():
        for start, stop in shard_ranges(numbers, weights[kind], recipe.shards.bytes):
            rows = kept.select(columns).slice(start, stop - start)
            yield ShardTask(
                out=out,
                kind=kind,
                split=split,
                rows=rows,
                schema=schema,
                recipe=recipe,
                sources=sources,
                shard_key=_shard_key(kind, split, rows, schema, recipe),
            )


def _shard_key(kind: ShardKind, split: str, rows: pa.Table, schema: pa.Schema, recipe: Recipe) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    terms = f"{kind} {split} {FORMAT_REVISION} {schema.to_string()}"
    terms += f" {recipe.patches.model_dump_json()}" if kind == "patches" else f" {recipe.privacy.model_dump_json()}"
    return hashlib.blake2b(sink.getvalue().to_pybytes() + terms.encode(), digest_size=16).hexdigest()


def write_shard(task: ShardTask) -> int:
    """Write one shard to `.work/write/` and return the number of its ledger rows."""
    make_rows: Callable[[ShardTask, dict[str, object], bytes], Iterator[dict[str, object]]]
    make_rows = _image_rows if task.kind == "data" else _patch_rows
    schema = task.schema.with_metadata({**(task.schema.metadata or {}), SHARD_KEY: task.shard_key.encode()})
    with (
        task.out.writing(f"{STAGING}/{task.shard_key}.parquet") as file,
        pq.ParquetWriter(file, schema, compression=_compression(schema), write_page_index=True) as writer,
    ):
        group: list[dict[str, object]] = []
        size = 0
        for ledger_row in task.rows.to_pylist():
            for row in make_rows(task, ledger_row, _original(task, ledger_row)):
                if group and (size + len(_image_bytes(row)) > GROUP_BYTES or len(group) >= GROUP_ROWS):
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    group, size = [], 0
                group.append(row)
                size += len(_image_bytes(row))
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    return int(task.rows.num_rows)


def _compression(schema: pa.Schema) -> dict[str, str]:
    """Return the compression of each column: images are compressed already, the rest compresses well."""
    flat = {field.name: "zstd" for field in schema if field.name != "image"}
    return flat | {"image.bytes": "none", "image.path": "zstd"}


def _image_bytes(row: dict[str, object]) -> bytes:
    image = row["image"]
    assert isinstance(image, dict)
    encoded: bytes = image["bytes"]
    return encoded


def _original(task: ShardTask, row: dict[str, object]) -> bytes:
    """Return the source's bytes, which must be those that were measured."""
    encoded = read_verified(task.sources, row)
    if isinstance(encoded, Failed):
        raise SourceChanged(f"{row['source']}/{row['uri']}: {encoded.detail}; run the build again")
    return encoded


def _image_rows(task: ShardTask, row: dict[str, object], encoded: bytes) -> Iterator[dict[str, object]]:
    encoded = completed(encoded)
    if task.recipe.privacy.covers(str(row["uri"])):
        encoded = strip_metadata(encoded, str(row["format"]))
    suffix = PurePosixPath(str(row["uri"])).suffix.lower() or f".{str(row['format']).lower()}"
    name = hashlib.sha256(encoded).hexdigest()
    yield {"image": {"bytes": encoded, "path": f"{row['id']}{suffix}"}, "sha256": name, **row}


def _patch_rows(task: ShardTask, row: dict[str, object], encoded: bytes) -> Iterator[dict[str, object]]:
    rules = task.recipe.patches
    encode = encode_png if rules.format == "png" else encode_webp
    image = EncodedImage(encoded, max_pixels=task.recipe.limits.max_pixels)
    for scale, box, patch in cut_patches(image.pixels, rules.size, rules.scales):
        numbers = measure_patch(patch)
        if first_drop(rules.gates, numbers) is None:
            name = patch_id(str(row["id"]), scale, box)
            yield {
                "image": {"bytes": encode(patch), "path": f"{name}.{rules.format}"},
                "id": name,
                "parent": row["id"],
                **{k: row[k] for k in ("key", "source", "uri", "licence", "attribution")},
                "x": box.x,
                "y": box.y,
                "size": box.size,
                "scale": scale,
                **numbers,
            }


def _readable_shards(out: Folder, kind: ShardKind) -> dict[str, str]:
    """Return the shards in place that can be read: file names by shard key."""
    names = {}
    for name in out.names(kind):
        with contextlib.suppress(DamagedFile):
            shard_key = (out.read_schema(f"{kind}/{name}").metadata or {}).get(SHARD_KEY, b"").decode()
            names[shard_key] = name
    return names


def _move_into_place(out: Folder, kind: ShardKind, shards: list[tuple[str, str]]) -> int:
    """Give the shards their final names, remove all other shards, and return the number of rows.

    Renamed shards pass through the staging folder under their keys: a kill at any moment loses nothing.

    Args:
        out: The dataset's folder.
        kind: The kind of shards.
        shards: Split and shard key of each shard, in order.
    """
    totals, numbers = Counter(split for split, _ in shards), Counter[str]()
    final_names = {}
    for split, shard_key in shards:
        final_names[shard_key] = f"{split}-{numbers[split]:05d}-of-{totals[split]:05d}.parquet"
        numbers[split] += 1
    present = {name: shard_key for shard_key, name in _readable_shards(out, kind).items()}
    for name in out.names(kind):
        shard_key = present.get(name, "")
        if shard_key not in final_names:
            out.remove(f"{kind}/{name}")
        elif final_names[shard_key] != name:
            out.rename(f"{kind}/{name}", f"{STAGING}/{shard_key}.parquet")
    for shard_key, name in final_names.items():
        if not out.exists(f"{kind}/{name}"):
            out.rename(f"{STAGING}/{shard_key}.parquet", f"{kind}/{name}")
    return sum(_rows(out, f"{kind}/{name}") for name in final_names.values())


def _rows(out: Folder, name: str) -> int:
    with out.open(name) as file:
        return int(pq.read_metadata(file).num_rows)
