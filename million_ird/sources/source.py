"""Where candidates come from: one source kind per file.

Two kinds of units exist. Pictures of a *local* unit lie on this machine's disks, at known places: a scan reads them
where they are, with `fetch`, whenever it needs them. Pictures of a *remote* unit are streamed once, with `stream`, into
`.work/originals`, and every later stage reads them there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.runtime.storage import FileEntry, Folder

Deliver: TypeAlias = Callable[[Candidate, bytes | Failed], None]
"""Takes a picture, or why there is none, as soon as it is here; pictures may come in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedEntry(FileEntry):
    """A picture of which its source tells something."""

    licence: str | None = None
    attribution: str | None = None
    width: int | None = None
    """As declared, in pixels."""
    height: int | None = None
    extra: tuple[tuple[str, float | str | None], ...] = ()
    """What the recipe passes through."""

    @property
    def _described(self) -> str:
        file = super(DescribedEntry, self)._described  # without arguments, `super` fails in a dataclass with slots
        rights = f"licence={self.licence!r}, attribution={self.attribution!r}"
        return f"{file}, {rights}, width={self.width!r}, height={self.height!r}, extra={self.extra!r}"


def candidate_of(label: str, entry: DescribedEntry) -> Candidate:
    """The candidate that an entry stands for."""
    return Candidate(
        key=candidate_key(label, entry.uri),
        source=label,
        uri=entry.uri,
        version=entry.version,
        licence=entry.licence,
        attribution=entry.attribution,
        width=entry.width,
        height=entry.height,
        extra=dict(entry.extra),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChunk:
    """Some neighbouring entries of one source: what one worker does at a time.

    `slot` stays the same when entries come or go around it, so that a changed unit finds its earlier rows.
    """

    source: str
    """The label."""
    root: str
    slot: str
    entries: tuple[FileEntry, ...]
    """What it holds. A unit of one entry whose pictures only streaming it can tell is `stream_only`."""
    remote: bool = False
    """Whether its pictures are streamed into `.work/originals` before they are measured."""
    stream_only: bool = False
    """Whether its candidates are known only when it has been streamed: a compressed archive, a data set on the Hub."""
    host_group: str = ""
    """Units of one lane never run at the same time, on the whole cluster: a web host is in one lane. Empty: no lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamContext:
    """What streaming a unit needs to know of the build that it is for."""

    out: Folder
    """The output folder: a host's robots.txt and last visit are remembered under `.work/hosts`."""
    concurrency: int
    """Requests that this unit may have under way at once."""


class Reader(Protocol):
    """Something that can tell a candidate's bytes."""

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """The encoded bytes of a candidate, or why they cannot be had."""


class Source(Reader, Protocol):
    """Something that offers candidates. The protocol exists so that a scan treats all kinds alike."""

    @property
    def label(self) -> str:
        """The name in the ledger: never a local path."""

    @property
    def root(self) -> str:
        """What the user named, made absolute."""

    def check(self) -> None:
        """Looks so far that a source that is missing, empty or of the wrong kind raises `SourceError`."""

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """All units, of the first `limit` candidates only if given, in an order that depends on names alone."""

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """The candidates of a unit that is not opaque, in order, without their bytes."""

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Delivers every wanted candidate of a remote unit once, with its bytes or with the failure that stood for it.

        A failure of one candidate is delivered, not raised. Candidates of an opaque unit come in their stored order.
        """
