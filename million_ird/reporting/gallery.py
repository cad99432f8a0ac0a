"""The images that the report shows, with the line below each, and their thumbnails."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from million_ird.candidate import Failed
from million_ird.config.rules import BuildLimits
from million_ird.errors import LedgerError, MillionIRDError, ReadError
from million_ird.ledger import Row
from million_ird.ledger_stream import LedgerStream
from million_ird.reporting.formatting import apart, number
from million_ird.reporting.gallery_folds import GalleryFolds
from million_ird.reporting.sliders import GateLimit
from million_ird.reporting.steps import FunnelStep
from million_ird.runtime.progress import Progress
from million_ird.runtime.sandbox import WorkerDied, worker_process
from million_ird.scan.source_bytes import DownloadCache, read_verified
from million_ird.schema import EXACT, KEPT, LEAK, NEAR, PIXELS, REMOVED, REPLACED, SCENE
from million_ird.sources.source import Reader, Source

_IDENTITY = (
    *("key", "source", "uri", "licence", "attribution", "id", "format", "width", "height", "failure_detail"),
    *("measured", "limit", "leak_of", "verdict", "reason"),
)


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
    crops: Sequence[str] = ()
    """The sharpest and the worst block of the image at its own resolution, as data URIs."""
    verdict: str = KEPT
    """`kept`, or why it was dropped."""

    @property
    def name(self) -> str:
        """The last part of the uri."""
        return self.uri.rstrip("/").rsplit("/", 1)[-1]


class ChosenImages:
    """The images that were found, with what the ledger says of them."""

    def __init__(self, found: GalleryFolds, rows: Mapping[int, Row]) -> None:
        """Take what `GalleryFolds` found, and the rows by number."""
        self._found = found
        self.rows = rows

    @classmethod
    def read(cls, found: GalleryFolds, ledger: LedgerStream) -> "ChosenImages":
        """Read the rows that were found."""
        fields = dict.fromkeys((*_IDENTITY, *found.fields))
        return cls(found, ledger.take(found.positions(), list(fields)))

    def kept(self) -> list[ShownImage]:
        """Return some of the kept images."""
        return [ShownImage(position, _size(self.rows[position])) for position in self._found.kept.found.positions]

    def dropped(self, steps: Sequence[FunnelStep]) -> list[ReasonGallery]:
        """Return some images for each reason that no other section shows, with the value and the limit that it broke.

        Images that were removed on request are not shown anywhere.
        """
        galleries = []
        for step in steps:
            if step.name in self._found.dropped.found and step.name not in {*REPLACED, LEAK, REMOVED}:
                positions = self._found.dropped.found[step.name].positions
                galleries.append(ReasonGallery(step, [ShownImage(i, _broken_limit(self.rows[i])) for i in positions]))
        return galleries

    def borderline(self, limit: GateLimit) -> BorderlineImages:
        """Return the images nearest to a limit among those that it dropped and among those that were kept."""
        border = next(one for one in self._found.borders if one.limit is limit)
        name = limit.gate.field
        sides = [
            [ShownImage(i, f"{name} {apart(value, limit.value)}") for i, value in side.with_values(name)]
            for side in border.sides
        ]
        return BorderlineImages(*sides)

    def along(self, limit: GateLimit) -> list[ShownImage]:
        """Return images from the whole range of a measure that this limit, and no other rule, keeps or drops."""
        name = limit.gate.field
        values = [(_value(self.rows[i], name), i) for i in self._found.along(limit)]
        return [ShownImage(i, f"{name} {apart(value, limit.value)}") for value, i in sorted(values)]

    def decided_by(self, limit: GateLimit, positions: Iterable[int]) -> list[tuple[int, float]]:
        """Return those of some images that a limit alone keeps or drops, with their values, in ascending order.

        An infinite value is near no place on the axis, and is left out.
        """
        found = []
        for position in sorted(set(positions)):
            row = self.rows[position]
            decided = row["verdict"] == KEPT or row["reason"] == limit.gate.drop_reason
            if decided and row[limit.gate.field] is not None:
                found.append((position, _value(row, limit.gate.field)))
        near = [(position, value) for position, value in found if math.isfinite(value)]
        return sorted(near, key=lambda one: (one[1], one[0]))

    def duplicates(self) -> list[DuplicateGroup]:
        """Return some of the kept images that have duplicates, each with some of these.

        Raises:
            LedgerError: A kept image of such a group is not in the ledger.
        """
        kinds = {EXACT: "same bytes", PIXELS: "same pixels", NEAR: "near-duplicate", SCENE: "near scene"}
        groups = []
        for key, group in sorted(self._found.duplicates.groups.items()):
            if key not in self._found.duplicates.kept:
                raise LedgerError(f"ledger: key {key}, of which others are duplicates, is in no row")
            members = sorted(group.members, key=lambda member: member.position)
            shown = [
                ShownImage(one.position, f"{kinds[one.reason]}, {_size(self.rows[one.position])}") for one in members
            ]
            kept = self._found.duplicates.kept[key]
            groups.append(DuplicateGroup(ShownImage(kept, f"kept, {_size(self.rows[kept])}"), shown, group.total))
        return groups

    def leaks(self) -> LeakImages:
        """Return some candidates that show a benchmark's image, and the first `LEAKS_LISTED` pairs by name."""
        listed = [self.rows[position] for position in self._found.leaks.listed]
        pairs = sorted((str(row["leak_of"]), f"{row['source']}/{row['uri']}") for row in listed)
        positions = self._found.leaks.found.positions
        shown = [ShownImage(i, str(self.rows[i]["leak_of"])) for i in positions]
        return LeakImages(shown, pairs, self._found.leaks.total)

    def failures(self, name: str) -> list[Row]:
        """Return some rows of one class of failures."""
        return [self.rows[i] for i in self._found.failed.found[name].positions]


def thumbnails(
    rows: Mapping[int, Row],
    positions: Iterable[int],
    sources: Mapping[str, Source],
    limits: BuildLimits,
    originals: DownloadCache | None = None,
    progress: Progress | None = None,
) -> dict[int, Thumbnail]:
    """Make a thumbnail for each row, read again from its source or the download cache; on a failure say why.

    Images are decoded in a sandbox process: many of them were dropped before they were ever decoded.

    Args:
        rows: Rows of the ledger by their numbers.
        positions: Rows to show; repeated positions are read once.
        sources: The sources by label.
        limits: Of the recipe: pixels of an image, seconds to decode it.
        originals: The download cache, where a source cannot be read twice.
        progress: Counts the images.
    """
    chosen = {position: rows[position] for position in sorted(set(positions))}
    if progress:
        progress.stage("report", len(chosen), "images")
    keys = [str(row["key"]) for row in chosen.values()]
    readers: Mapping[str, Reader] = originals.wrap(sources, originals.places(keys)) if originals else sources
    made = {}
    with worker_process("million_ird.reporting.thumbnail_maker:ThumbnailMaker", (limits.max_pixels,)) as child:
        for position, row in chosen.items():
            try:
                jpegs = child().call("pictures", _encoded(row, readers), seconds=limits.seconds)
                (src, *crops), problem = [_data_uri(jpeg) for jpeg in jpegs], ""
            except (ReadError, WorkerDied) as error:
                src, crops, problem = "", [], error.detail
            except (MillionIRDError, OSError) as error:
                src, crops, problem = "", [], str(error)
            verdict = str(row["reason"] or row["verdict"])
            made[position] = Thumbnail(str(row["uri"]), str(row["source"]), src, problem, crops, verdict)
            if progress:
                progress.advance(1)
    return made


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _encoded(row: Row, readers: Mapping[str, Reader]) -> bytes:
    if row["source"] not in readers:
        raise ReadError("missing", "its source is not available")
    if row["id"] is None:
        raise ReadError("missing", "never fetched")
    encoded = read_verified(readers, row)
    if isinstance(encoded, Failed):
        raise ReadError(encoded.failure_class, encoded.detail)
    return encoded


def _broken_limit(row: Row) -> str:
    """Return the value and the limit that dropped a row: `1,023 < 1,024`."""
    measured, limit = row["measured"], row["limit"]
    if not isinstance(measured, float):
        return ""
    if not isinstance(limit, float):
        return number(measured)
    return f"{apart(measured, limit)} {'<' if measured < limit else '>'} {number(limit)}"


def _value(row: Row, field: str) -> float:
    """Return a number of a row that has one."""
    value = row[field]
    assert isinstance(value, int | float)
    return float(value)


def _size(row: Row) -> str:
    """Return `width×height`."""
    return f"{row['width']}×{row['height']}"
