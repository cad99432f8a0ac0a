"""Which images the report shows, and their thumbnails. The choice depends on keys and numbers alone."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from million_ird.candidate import Failed
from million_ird.config.rules import BuildLimits
from million_ird.errors import MillionIRDError, ReadError
from million_ird.ledger import Row
from million_ird.reporting.formatting import apart, number
from million_ird.reporting.rows import LedgerRows
from million_ird.reporting.sliders import GateLimit
from million_ird.reporting.steps import FunnelStep
from million_ird.runtime.progress import Progress
from million_ird.runtime.sandbox import WorkerDied, worker_process
from million_ird.scan.source_bytes import DownloadCache, read_verified
from million_ird.schema import EXACT, LEAK, NEAR, PIXELS, REMOVED
from million_ird.sources.source import Reader, Source

KEPT_SHOWN, DROPPED_SHOWN, BORDERLINE_SHOWN = 24, 12, 6
GROUPS_SHOWN, DUPLICATES_SHOWN = 12, 3
LEAKS_SHOWN, LEAKS_LISTED = 24, 1000


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image that the report shows: the position of its row, and a line below it."""

    position: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReasonGallery:
    """Images that were dropped for one reason."""

    step: FunnelStep
    shown: list[ShownImage]


@dataclass(frozen=True, slots=True)
class BorderlineImages:
    """The images nearest to a limit on either side: just dropped by it, and just kept."""

    dropped: list[ShownImage]
    kept: list[ShownImage]


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """A kept image with its duplicates."""

    kept: ShownImage
    duplicates: list[ShownImage]
    """Those that are shown."""
    total: int
    """All duplicates of the group, shown or not."""


@dataclass(frozen=True, slots=True)
class LeakImages:
    """Candidates that show an image of an evaluation set."""

    shown: list[ShownImage]
    pairs: list[tuple[str, str]]
    """`NAME/file` of the benchmark's image, and the candidate's `source/uri`."""
    total: int


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A thumbnail as a data URI, or why there is none."""

    uri: str
    source: str
    src: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """The last part of the uri."""
        return self.uri.rstrip("/").rsplit("/", 1)[-1]


def choose_kept(rows: LedgerRows) -> list[ShownImage]:
    """Choose some of the kept images."""
    positions = rows.first_by_key(rows.kept, KEPT_SHOWN)
    return [ShownImage(position, _size(rows.identity(position))) for position in positions]


def choose_dropped(rows: LedgerRows, steps: Sequence[FunnelStep]) -> list[ReasonGallery]:
    """Choose some dropped images for each reason that no other section shows, with the value and the limit it broke.

    Images that were removed on request are not shown anywhere.
    """
    galleries = []
    for step in steps:
        mask = rows.dropped_for(step.name)
        if mask.any() and step.name not in {EXACT, PIXELS, NEAR, LEAK, REMOVED}:
            positions = rows.first_by_key(mask, DROPPED_SHOWN)
            galleries.append(ReasonGallery(step, [ShownImage(i, _broken_limit(rows, i)) for i in positions]))
    return galleries


def choose_borderline(rows: LedgerRows, limit: GateLimit) -> BorderlineImages:
    """Choose the images nearest to a limit among those that it dropped and among those that were kept."""
    values = rows.values(limit.gate.field)
    sides = [rows.dropped_for(limit.gate.drop_reason) & limit.breaks(values), rows.kept & ~limit.breaks(values)]
    chosen = [rows.nearest(side, values, limit.value, BORDERLINE_SHOWN) for side in sides]
    notes = [
        [ShownImage(i, f"{limit.gate.field} {apart(float(values[i]), limit.value)}") for i in side] for side in chosen
    ]
    return BorderlineImages(*notes)


def choose_duplicates(rows: LedgerRows) -> list[DuplicateGroup]:
    """Choose some of the kept images that have duplicates, each with some of these."""
    positions = np.flatnonzero(rows.dropped_for(EXACT) | rows.dropped_for(PIXELS) | rows.dropped_for(NEAR))
    kept_keys = np.array(rows.texts("duplicate_of", positions), object)
    ordered = rows.ledger["key"].take(pa.array(rows.by_key))
    kinds = {EXACT: "same bytes", PIXELS: "same pixels", NEAR: "near-duplicate"}
    groups = []
    for key in sorted({str(key) for key in kept_keys})[:GROUPS_SHOWN]:
        members = positions[kept_keys == key]
        chosen = sorted(int(i) for i in members[np.argsort(rows.rank[members])][:DUPLICATES_SHOWN])
        reasons = rows.texts("reason", np.array(chosen, np.int64))
        shown = [
            ShownImage(i, f"{kinds[str(reason)]}, {_size(rows.identity(i))}")
            for i, reason in zip(chosen, reasons, strict=True)
        ]
        kept = int(rows.by_key[pc.index(ordered, key).as_py()])
        groups.append(DuplicateGroup(ShownImage(kept, f"kept, {_size(rows.identity(kept))}"), shown, len(members)))
    return groups


def choose_leaks(rows: LedgerRows) -> LeakImages:
    """Choose some candidates that show a benchmark's image, and list the first `LEAKS_LISTED` pairs by name."""
    mask = rows.dropped_for(LEAK)
    positions = rows.first_by_key(mask, LEAKS_SHOWN)
    notes = rows.texts("leak_of", np.array(positions, np.int64))
    listed = np.flatnonzero(mask)[:LEAKS_LISTED]
    names = zip(*(rows.texts(column, listed) for column in ("source", "uri", "leak_of")), strict=True)
    pairs = sorted((str(leak), f"{source}/{uri}") for source, uri, leak in names)
    shown = [ShownImage(i, str(note)) for i, note in zip(positions, notes, strict=True)]
    return LeakImages(shown, pairs, int(mask.sum()))


def thumbnails(
    rows: LedgerRows,
    positions: Iterable[int],
    sources: Mapping[str, Source],
    limits: BuildLimits,
    originals: DownloadCache | None = None,
    progress: Progress | None = None,
) -> dict[int, Thumbnail]:
    """Make a thumbnail for each row, read again from its source or the download cache; on a failure say why.

    Images are decoded in a sandbox process: many of them were dropped before they were ever decoded.

    Args:
        rows: The ledger.
        positions: Rows to show; repeated positions are read once.
        sources: The sources by label.
        limits: Of the recipe: pixels of an image, seconds to decode it.
        originals: The download cache, where a source cannot be read twice.
        progress: Counts the images.
    """
    chosen = {position: rows.identity(position) for position in sorted(set(positions))}
    if progress:
        progress.stage("report", len(chosen), "images")
    keys = [str(row["key"]) for row in chosen.values()]
    readers: Mapping[str, Reader] = originals.wrap(sources, originals.places(keys)) if originals else sources
    made = {}
    with worker_process("million_ird.reporting.thumbnail_maker:ThumbnailMaker", (limits.max_pixels,)) as child:
        for position, row in chosen.items():
            try:
                small = child().call("jpeg", _encoded(row, readers), seconds=limits.seconds)
                src, problem = f"data:image/jpeg;base64,{base64.b64encode(small).decode()}", ""
            except (ReadError, WorkerDied) as error:
                src, problem = "", error.detail
            except (MillionIRDError, OSError) as error:
                src, problem = "", str(error)
            made[position] = Thumbnail(str(row["uri"]), str(row["source"]), src, problem)
            if progress:
                progress.advance(1)
    return made


def _encoded(row: Row, readers: Mapping[str, Reader]) -> bytes:
    if row["source"] not in readers:
        raise ReadError("missing", "its source is not available")
    if row["id"] is None:
        raise ReadError("missing", "never fetched")
    encoded = read_verified(readers, row)
    if isinstance(encoded, Failed):
        raise ReadError(encoded.failure_class, encoded.detail)
    return encoded


def _broken_limit(rows: LedgerRows, position: int) -> str:
    """Return the value and the limit that dropped a row: `1,023 < 1,024`."""
    row = rows.ledger.select(["measured", "limit"]).slice(position, 1).to_pylist()[0]
    if row["limit"] is None:
        return "" if row["measured"] is None else number(row["measured"])
    sign = "<" if row["measured"] < row["limit"] else ">"
    return f"{apart(row['measured'], row['limit'])} {sign} {number(row['limit'])}"


def _size(row: Row) -> str:
    """Return `width×height`."""
    return f"{row['width']}×{row['height']}"
