"""The first step: a piece of a table is read, and its rows are stored with their keys and lanes.

A part has at most `PART_ROWS` rows in three files under `.work/plan`. `.rows` has a line of JSON for each row, lane by
lane. `.lanes` has a record for each row, in the order of the table: its lane, whether a chunk starts at its key, and
the length of its line. `.keys` has the keys with their places, bucket by bucket: rows of one key are in one bucket.
"""

import json
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder
from million_ird.sources.table_names import NamedColumns
from million_ird.sources.table_parquet import TablePiece
from million_ird.sources.tables import LOCAL, READ_ERRORS, TableSource
from million_ird.sources.web.links import LinkEntry, chunk_sizes

PART_ROWS = 1 << 16
BUCKETS = 64
LOCAL_LANE = 0xFFFF
LANES = LOCAL_LANE + 1
LANE_RECORD = np.dtype([("lane", "<u2"), ("starts", "?"), ("length", "<u4")])
KEY_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("place", "<u4")])
_to_json = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Part:
    """The files of some rows of a table."""

    base: str
    """Their path, without the suffix."""
    rows: int
    stops: tuple[int, ...]
    """How many keys there are up to the end of each bucket."""


@dataclass(slots=True)
class PieceRead:
    """What was found in a piece of a table."""

    table: str = ""
    parts: list[Part] = field(default_factory=list)
    empty: int = 0
    """Rows that name no image."""
    lacking: list[str] = field(default_factory=list)
    """Our names of the columns that `names` names and that none of the rows has."""
    on_disk: bool = False
    """Whether rows name files of this machine, whose versions are not those of the table."""
    damage: str = ""
    """Why it could not be read to its end."""
    refused: str = ""
    """Why the whole source cannot be used."""

    def as_json(self) -> dict[str, Any]:
        """Return all fields as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "PieceRead":
        """Return what `as_json` wrote."""
        parts = [Part(part["base"], part["rows"], tuple(part["stops"])) for part in value["parts"]]
        return cls(**{**value, "parts": parts})


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceTask:
    """A piece of a table, and where its parts are stored."""

    number: int
    out: Folder
    source: TableSource
    folder: Folder
    """The folder of the tables."""
    piece: TablePiece
    base: str

    @property
    def is_whole(self) -> bool:
        """Whether the piece is all of its table."""
        return self.piece.groups is None


def read_piece(task: PieceTask) -> tuple[int, PieceRead]:
    """Read a piece and store its parts, unless an earlier run has done so; return its number and what was found."""
    done = task.out.read_json(f"{task.base}.json")
    if done is not None:
        return task.number, PieceRead.from_json(done)
    found = PieceRead(task.piece.table)
    writer = _PartWriter(task, found)
    try:
        for entry in _entries(task, found):
            if entry is None:
                found.empty += 1
            else:
                writer.add(entry)
    except SourceError as error:
        found.refused = str(error)
        return task.number, found
    writer.flush()
    task.out.write_json(f"{task.base}.json", found.as_json())
    return task.number, found


def _entries(task: PieceTask, found: PieceRead) -> Iterator[LinkEntry | None]:
    named = NamedColumns(task.source.names)
    try:
        yield from task.source.read(task.folder, task.piece, named)
        found.lacking = list(named.lacking)
    except READ_ERRORS as error:
        found.damage = "damaged"
        if task.is_whole:
            entry, found.damage = task.source.unreadable(task.piece.table, error)
            yield entry


class _PartWriter:
    """Collects rows, and writes a part whenever there are enough."""

    def __init__(self, task: PieceTask, found: PieceRead) -> None:
        self._out, self._source, self._base = task.out, task.source, task.base
        self._found = found
        self._clear()

    def _clear(self) -> None:
        self._lines: list[str] = []
        self._keys: list[str] = []
        self._lanes = array("H")

    def add(self, entry: LinkEntry) -> None:
        """Add a row."""
        group = self._source.group(entry)
        self._lines.append(line_of(entry))
        self._keys.append(entry.key(self._source.label))
        self._lanes.append(lane_of(group))
        if group == LOCAL and not entry.member:
            self._found.on_disk = True
        if len(self._lines) >= PART_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are left."""
        if not self._lines:
            return
        base = f"{self._base}-{len(self._found.parts):05d}"
        keys = np.frombuffer(bytes.fromhex("".join(self._keys)), np.uint8).reshape(-1, 16)
        lanes = np.array(self._lanes, np.uint16)
        records = np.empty(len(lanes), LANE_RECORD)
        records["lane"], records["starts"] = lanes, _starts(keys, lanes == LOCAL_LANE)
        records["length"] = np.fromiter(map(len, self._lines), np.uint32, len(lanes))
        lines = [self._lines[place] for place in in_lane_order(lanes).tolist()]
        self._out.write(f"{base}.rows", "".join(lines).encode("ascii"))
        self._out.write(f"{base}.lanes", records.tobytes())
        stops = self._write_keys(base, keys)
        self._found.parts.append(Part(base, len(lanes), stops))
        self._clear()

    def _write_keys(self, base: str, keys: NDArray[np.uint8]) -> tuple[int, ...]:
        buckets = keys[:, 0] // (256 // BUCKETS)
        order = np.argsort(buckets, kind="stable")
        words = keys.view("<u8")
        records = np.empty(len(keys), KEY_RECORD)
        records["high"], records["low"], records["place"] = words[order, 0], words[order, 1], order
        self._out.write(f"{base}.keys", records.tobytes())
        return tuple(np.cumsum(np.bincount(buckets, minlength=BUCKETS)).tolist())


def in_lane_order(lanes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return the places of rows lane by lane; those of a lane stay in order."""
    return np.argsort(lanes, kind="stable")


def _starts(keys: NDArray[np.uint8], local: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return at which keys a chunk starts, as `LinkChunker` has it."""
    average = np.where(local, chunk_sizes(local=True)[0], chunk_sizes(local=False)[0])
    tails = keys[:, 14].astype(np.int64) * 256 + keys[:, 15]
    starts: NDArray[np.bool_] = tails % average == 0
    return starts


def lane_of(group: str) -> int:
    """Return the number of a host group's lane; lanes are in the order of the groups' names."""
    if group == LOCAL:
        return LOCAL_LANE
    return int(group) + 1 if group else 0


def group_of(lane: int) -> str:
    """Return the host group of a lane."""
    if lane == LOCAL_LANE:
        return LOCAL
    return f"{lane - 1:04d}" if lane else ""


def line_of(entry: LinkEntry) -> str:
    """Return an entry as a line of ASCII."""
    rights = (entry.licence, entry.attribution)
    fields = (entry.uri, entry.version, entry.address, *rights, entry.width, entry.height, entry.extra, entry.member)
    return _to_json(fields) + "\n"


def entry_of(line: bytes) -> LinkEntry:
    """Return the entry that `line_of` wrote."""
    uri, version, address, licence, attribution, width, height, extra, member = json.loads(line)
    return LinkEntry(
        uri=uri,
        size=0,
        version=version,
        address=address,
        licence=licence,
        attribution=attribution,
        width=width,
        height=height,
        extra=tuple(map(tuple, extra)),
        member=member,
    )
