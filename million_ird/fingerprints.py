"""Fingerprints of evaluation sets: they recognise an image, whole or in part, and contain none of its pixels.

A fingerprint file is parquet with one row per image: name, size, hashes, frame and keypoints (see
`measures.signature`). It has more keypoints than a row of the ledger, detected at a higher resolution, so that a small
crop contains some of them. With the file, an evaluation set can be excluded by people who do not have its images.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.build_folder import RECIPE
from million_ird.config.recipe import Recipe
from million_ird.decide.leaks import ReferenceFingerprints
from million_ird.errors import DamagedFile, ReadError, SourceError, UsageError
from million_ird.images.encoded_image import EncodedImage
from million_ird.ledger import FOLDER as LEDGER
from million_ird.ledger_stream import LedgerStream
from million_ird.measures.signature import compute_signature
from million_ird.reference_sets import FOLDER, REMOVED, ReferenceSet, parse_references
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import FileEntry, Folder
from million_ird.sources.listing import list_files
from million_ird.sources.registry import image_path

log = logging.getLogger(__name__)

POINTS, SIDE = 1000, 1024
"""Number of keypoints per image, and the longest side in pixels at which they are detected."""
REVISION = "1"
"""Increases when the fingerprints of the same images change."""
_REVISION = b"million_ird.fingerprints"
SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("file", "id", "pixels_id")),
        *(pa.field(name, pa.int32()) for name in ("width", "height")),
        pa.field("phash", pa.string()),
        pa.field("frame", pa.binary()),
        pa.field("points", pa.binary()),
    ]
)
_FILES_PER_TASK = 16
_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".jp2"})


def named_benchmarks(recipe: Recipe, others: Sequence[ReferenceSet] = ()) -> tuple[ReferenceSet, ...]:
    """Return the evaluation sets that a recipe names, and others.

    Raises:
        UsageError: As `ReferenceSet.parse`; or two sets have one name, under which only one could be stored.
    """
    sets = dict.fromkeys((*parse_references(recipe.benchmarks, "recipe: benchmarks:"), *others))
    paths: dict[str, str] = {}
    for one in sets:
        if paths.setdefault(one.name, one.path) != one.path:
            raise UsageError(f"--exclude-benchmark {one.name}={one.path}: two sets have the name {one.name}")
    return tuple(sets)


def get_fingerprints(benchmark: ReferenceSet, executor: Executor) -> pa.Table:
    """Return the fingerprints of an evaluation set: `SCHEMA`, sorted by file.

    They are read from a fingerprint file or a build, or computed from a folder of images.

    Raises:
        SourceError: Nothing is there, it is a source of another kind, there are no images, or one cannot be read:
            fingerprints must be complete.
    """
    is_file = benchmark.path.endswith(".parquet")
    path = image_path(benchmark.path, by_name=not is_file)
    if is_file:
        parent, _, name = path.rpartition("/")
        return load_fingerprints(Folder(parent or "."), name)
    if Folder(path).exists(LEDGER) and Folder(path).exists(RECIPE):
        return _fingerprints_of_build(Folder(path))
    folder, listed = list_files(path, follow_links=True)  # the user's own; no image is published
    entries = list(listed)
    tasks = [
        _FingerprintTask(folder, tuple(entries[start : start + _FILES_PER_TASK]))
        for start in range(0, len(entries), _FILES_PER_TASK)
    ]
    rows = [row for batch in executor.run(fingerprint_files, tasks) for row in batch]
    if not rows:
        raise SourceError(f"benchmark {benchmark.name}: {benchmark.path} contains no images")
    return _table(rows)


def load_fingerprints(folder: Folder, name: str) -> pa.Table:
    """Read a fingerprint file.

    Raises:
        SourceError: There is none, or it has another revision.
    """
    path = folder.path(name)
    if not folder.exists(name):
        raise SourceError(f"{path}: no such file")
    try:
        table = folder.read_table(name)
    except DamagedFile as error:
        raise SourceError(f"{path}: not a fingerprint file ({error})") from error
    revision = (table.schema.metadata or {}).get(_REVISION, b"none").decode()
    if revision != REVISION or table.schema.names != SCHEMA.names:
        raise SourceError(
            f"{path}: fingerprints of revision {revision}, but this program reads {REVISION}; make them again"
        )
    return table


def benchmark_names(out: Folder) -> tuple[str, ...]:
    """Return the names of the evaluation sets that a build excludes."""
    return tuple(name.removesuffix(".parquet") for name in out.names(FOLDER) if name.endswith(".parquet"))


def load_reference_fingerprints(out: Folder) -> ReferenceFingerprints:
    """Return the fingerprints that the candidates of a build are compared with."""
    benchmarks = {name: load_fingerprints(out, f"{FOLDER}/{name}.parquet") for name in benchmark_names(out)}
    return ReferenceFingerprints(benchmarks=benchmarks, removed=load_removed(out))


def load_removed(out: Folder) -> pa.Table | None:
    """Return the fingerprints of the images that were removed from a build; None if none was."""
    if not out.exists(REMOVED):
        return None
    table = out.read_table(REMOVED)
    columns = [table[f.name] if f.name in table.column_names else pa.nulls(table.num_rows, f.type) for f in SCHEMA]
    return pa.table(columns, schema=SCHEMA)


def save_fingerprints(path: str, table: pa.Table) -> None:
    """Write a fingerprint file.

    Raises:
        UsageError: The name does not end in `.parquet`, by which such a file is recognised.
    """
    parent, _, name = path.rpartition("/")
    if not name.endswith(".parquet"):
        raise UsageError(f"--out {path}: the name of a fingerprint file must end in .parquet")
    Folder(parent or ".").write_table(name, table)


def save_benchmarks(out: Folder, benchmarks: Sequence[ReferenceSet], executor: Executor, *, only: bool) -> None:
    """Store the fingerprints of these evaluation sets in a build.

    Args:
        out: Output folder of the build.
        benchmarks: Evaluation sets to exclude.
        executor: Runs the fingerprinting.
        only: Whether to remove those that earlier runs stored and that are not among `benchmarks`.
    """
    tables = {benchmark.name: get_fingerprints(benchmark, executor) for benchmark in benchmarks}
    for name in out.names(FOLDER) if only else ():
        if name.removesuffix(".parquet") not in tables:
            log.warning(
                "%s was excluded by an earlier run but is not named any more: its images may be kept now",
                name.removesuffix(".parquet"),
            )
            out.remove(f"{FOLDER}/{name}")
    for name, table in tables.items():
        path = f"{FOLDER}/{name}.parquet"
        if not out.exists(path) or not out.read_table(path).equals(table):
            out.write_table(path, table)


@dataclass(frozen=True, slots=True)
class _FingerprintTask:
    folder: Folder
    entries: tuple[FileEntry, ...]


def fingerprint_files(task: _FingerprintTask) -> list[dict[str, object]]:
    """Return the rows of some images; files that are not images (lists, readme files) are skipped.

    Raises:
        SourceError: An image cannot be read.
    """
    return [row for entry in task.entries for row in _fingerprint(task.folder, entry.uri)]


def _fingerprint(folder: Folder, uri: str) -> Iterator[dict[str, object]]:
    image = EncodedImage(folder.read(uri))
    try:
        header = image.header
    except ReadError as error:
        has_image_suffix = PurePosixPath(uri).suffix.lower() in _IMAGE_SUFFIXES
        if error.failure_class in {"not_an_image", "empty"} and not has_image_suffix:
            return
        raise SourceError(f"benchmark image {folder.url}/{uri}: {error}") from error
    try:
        columns = compute_signature(image, POINTS, SIDE)
    except ReadError as error:
        raise SourceError(f"benchmark image {folder.url}/{uri}: {error}") from error
    yield {
        "file": uri,
        "id": image.sha256,
        "width": header.width,
        "height": header.height,
        **columns,
    }


def _fingerprints_of_build(folder: Folder) -> pa.Table:
    columns = ["source", "uri", *(name for name in SCHEMA.names if name != "file")]
    kept = _with_files(LedgerStream.of_build(folder).kept_table(columns))
    return _with_revision(kept.sort_by("file"))


def _with_files(kept: pa.Table) -> pa.Table:
    files = pc.binary_join_element_wise(kept["source"], kept["uri"], "/")
    return pa.table([files, *(kept[name] for name in SCHEMA.names[1:])], schema=SCHEMA)


def _table(rows: Sequence[Mapping[str, object]]) -> pa.Table:
    ordered = sorted(rows, key=lambda row: str(row["file"]))
    return _with_revision(pa.Table.from_pylist([dict(row) for row in ordered], SCHEMA))


def _with_revision(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({_REVISION: REVISION.encode()})
