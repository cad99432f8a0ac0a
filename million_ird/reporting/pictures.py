"""Which pictures the report shows, and their thumbnails. The choice depends on keys and numbers alone."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from million_ird.candidate import Failed, Sample
from million_ird.config.recipe import Limits
from million_ird.errors import MillionIRDError, ReadError
from million_ird.images import decode as images
from million_ird.ledger import EXACT, LEAK, NEAR, PIXELS, REMOVED, Row
from million_ird.reporting.formatting import apart, number
from million_ird.reporting.limits import Limit
from million_ird.reporting.rows import Rows
from million_ird.reporting.steps import Step
from million_ird.runtime.sandbox import Lost, borrowed
from million_ird.runtime.threads import single_threaded
from million_ird.scan.source_bytes import Originals, measured_bytes
from million_ird.sources.source import Reader, Source

SIDE = 160
QUALITY = 72
KEPT_SHOWN, DROPPED_SHOWN, BORDER_SHOWN = 24, 12, 6
COPY_GROUPS, COPIES_SHOWN = 12, 3
LEAKS_SHOWN, LEAKS_LISTED = 24, 1000


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that the report shows: which row, and a line below it."""

    position: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Wall:
    """The pictures of one reason; `total` says how many there are in all."""

    step: Step
    shown: list[Shown]


@dataclass(frozen=True, slots=True)
class Border:
    """The pictures nearest to a limit on either side: just dropped by it, and just kept."""

    dropped: list[Shown]
    kept: list[Shown]


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """A picture that stays and copies of it; `total` counts those that are not shown, too."""

    stays: Shown
    copies: list[Shown]
    total: int


@dataclass(frozen=True, slots=True)
class Leaks:
    """Candidates that show a picture of an evaluation set."""

    shown: list[Shown]
    pairs: list[tuple[str, str]]
    """`NAME/file` of the benchmark's picture, and the candidate's `source/uri`."""
    total: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail as a data URI, or why there is none."""

    uri: str
    source: str
    src: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """The last part of the uri."""
        return self.uri.rstrip("/").rsplit("/", 1)[-1]


def choose_kept(rows: Rows) -> list[Shown]:
    """Some of the kept pictures."""
    return [Shown(position, _size(rows.identity(position))) for position in rows.some(rows.kept, KEPT_SHOWN)]


def choose_dropped(rows: Rows, funnel_steps: Sequence[Step]) -> list[Wall]:
    """Some of the dropped pictures for each reason that no other section shows, with the number and limit it broke.

    What was removed on request is shown nowhere.
    """
    walls = []
    for step in funnel_steps:
        mask = rows.because(step.name)
        if mask.any() and step.name not in {EXACT, PIXELS, NEAR, LEAK, REMOVED}:
            walls.append(Wall(step, [Shown(i, _broke(rows, i)) for i in rows.some(mask, DROPPED_SHOWN)]))
    return walls


def choose_border(rows: Rows, limit: Limit) -> Border:
    """The pictures nearest to a limit among those that it dropped and among those that stayed."""
    values = rows.values(limit.gate.field)
    sides = [rows.because(limit.gate.called) & limit.breaks(values), rows.kept & ~limit.breaks(values)]
    chosen = [rows.nearest(side, values, limit.value, BORDER_SHOWN) for side in sides]
    notes = [[Shown(i, f"{limit.gate.field} {apart(float(values[i]), limit.value)}") for i in side] for side in chosen]
    return Border(*notes)


def choose_copies(rows: Rows) -> list[CopyGroup]:
    """Some of the pictures that stay, each with copies that were dropped for it."""
    positions = np.flatnonzero(rows.because(EXACT) | rows.because(PIXELS) | rows.because(NEAR))
    stays = np.array(rows.texts("duplicate_of", positions), object)
    ordered = rows.ledger["key"].take(pa.array(rows.by_key))
    found = []
    for key in sorted({str(key) for key in stays})[:COPY_GROUPS]:
        copies = positions[stays == key]
        chosen = sorted(int(i) for i in copies[np.argsort(rows.rank[copies])][:COPIES_SHOWN])
        reasons = rows.texts("reason", np.array(chosen, np.int64))
        words = {EXACT: "same bytes", PIXELS: "same pixels", NEAR: "near copy"}
        shown = [
            Shown(i, f"{words[str(reason)]}, {_size(rows.identity(i))}")
            for i, reason in zip(chosen, reasons, strict=True)
        ]
        stay = int(rows.by_key[pc.index(ordered, key).as_py()])
        found.append(CopyGroup(Shown(stay, f"stays, {_size(rows.identity(stay))}"), shown, len(copies)))
    return found


def choose_leaks(rows: Rows) -> Leaks:
    """What shows a benchmark's picture: all pairs of names, as far as there is room, and some of the pictures."""
    mask = rows.because(LEAK)
    shown = rows.some(mask, LEAKS_SHOWN)
    named = rows.texts("leak_of", np.array(shown, np.int64))
    listed = np.flatnonzero(mask)[:LEAKS_LISTED]
    names = zip(*(rows.texts(column, listed) for column in ("source", "uri", "leak_of")), strict=True)
    pairs = sorted((str(leak), f"{source}/{uri}") for source, uri, leak in names)
    pictures = [Shown(i, str(name)) for i, name in zip(shown, named, strict=True)]
    return Leaks(pictures, pairs, int(mask.sum()))


def thumbnails(
    rows: Rows,
    positions: Iterable[int],
    sources: Mapping[str, Source],
    limits: Limits,
    originals: Originals | None = None,
) -> dict[int, Picture]:
    """A thumbnail for each row, read anew from its source or the store; where that fails, the reason instead.

    Decoded in a process of its own: many of them were dropped before anyone had decoded them.
    """
    chosen = {position: rows.identity(position) for position in sorted(set(positions))}
    keys = [str(row["key"]) for row in chosen.values()]
    readers: Mapping[str, Reader] = originals.behind(sources, originals.places(keys)) if originals else sources
    found = {}
    with borrowed("million_ird.reporting.pictures:Maker", (limits.max_pixels,)) as child:
        for position, row in chosen.items():
            try:
                small = child().call("jpeg", _encoded(row, readers), seconds=limits.seconds)
                src, problem = f"data:image/jpeg;base64,{base64.b64encode(small).decode()}", ""
            except (ReadError, Lost) as error:
                src, problem = "", error.detail
            except (MillionIRDError, OSError) as error:
                src, problem = "", str(error)
            found[position] = Picture(str(row["uri"]), str(row["source"]), src, problem)
    return found


class Maker:
    """Makes thumbnails, in the child."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._alone = single_threaded()
        self._alone.__enter__()

    def jpeg(self, encoded: bytes) -> bytes:
        """A small JPEG of an encoded picture.

        Raises:
            ReadError: it is none.
        """
        sample = Sample(encoded, max_pixels=self._max_pixels)
        return images.encode_jpeg(images.shrink(sample.thumbnail, SIDE), QUALITY)


def _encoded(row: Row, readers: Mapping[str, Reader]) -> bytes:
    if row["source"] not in readers:
        raise ReadError("missing", "its source is not at hand")
    if row["id"] is None:
        raise ReadError("missing", "never fetched")
    encoded = measured_bytes(readers, row)
    if isinstance(encoded, Failed):
        raise ReadError(encoded.failure_class, encoded.detail)
    return encoded


def _broke(rows: Rows, position: int) -> str:
    row = rows.ledger.select(["measured", "limit"]).slice(position, 1).to_pylist()[0]
    if row["limit"] is None:
        return "" if row["measured"] is None else number(row["measured"])
    sign = "<" if row["measured"] < row["limit"] else ">"
    return f"{apart(row['measured'], row['limit'])} {sign} {number(row['limit'])}"


def _size(row: Row) -> str:
    return f"{row['width']}×{row['height']}"
