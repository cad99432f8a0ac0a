"""What a source is: the values and protocols that all kinds of sources share.

A source offers its candidates in chunks, of which there are two kinds. The images of a *local* chunk are on this
machine's disks: a scan reads them there, with `fetch`, whenever it needs them. The images of a *remote* chunk are
streamed once, with `stream`, into `.work/originals`, and every later stage reads them from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from million_ird.candidate import Candidate, Failed, candidate_key
from million_ird.runtime.storage import FileEntry, Folder

Deliver: TypeAlias = Callable[[Candidate, bytes | Failed], None]
"""Takes one image, or why there is none, as soon as it is known; images may come in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedEntry(FileEntry):
    """An image with metadata that its source declares."""

    licence: str | None = None
    attribution: str | None = None
    width: int | None = None
    """As declared, in pixels."""
    height: int | None = None
    extra: tuple[tuple[str, float | str | None], ...] = ()
    """Columns that the recipe passes through."""
    member: str = ""
    """What its key has besides the uri; empty, except of what names no image and must not have the key of one."""

    def key(self, label: str) -> str:
        """Return the key of the candidate in the source with this label."""
        return candidate_key(label, self.uri, self.member)

    @property
    def _described(self) -> str:
        file = super(DescribedEntry, self)._described  # without arguments, `super` fails in a dataclass with slots
        rights = f"licence={self.licence!r}, attribution={self.attribution!r}"
        return f"{file}, {rights}, width={self.width!r}, height={self.height!r}, extra={self.extra!r}"


def candidate_of(label: str, entry: DescribedEntry) -> Candidate:
    """Return the candidate that an entry of the source with this label describes."""
    return Candidate(
        key=entry.key(label),
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
    """Some neighbouring entries of one source, which one worker handles at a time.

    `slot` stays the same when entries are added or removed around the chunk, so that a changed chunk finds its earlier
    rows.
    """

    source: str
    """The source's label."""
    root: str
    slot: str
    """The chunk's name: 32 hex digits."""
    entries: tuple[FileEntry, ...]
    """What the chunk holds; for a `stream_only` chunk, one entry that stands for all of it."""
    remote: bool = False
    """Whether its images are streamed into `.work/originals` before they are measured."""
    stream_only: bool = False
    """Whether its candidates are known only after it was streamed: a compressed archive, a dataset on the Hub."""
    host_group: str = ""
    """The group of web hosts that the chunk is fetched from; empty without the web. On the whole cluster, chunks of one
    group never run at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamContext:
    """What streaming a chunk needs to know about the build."""

    out: Folder
    """The output folder; a host's robots.txt and last visit are kept there, under `.work/hosts`."""
    concurrency: int
    """Number of requests that this chunk may have in flight at once."""


class Reader(Protocol):
    """Something that reads the bytes of a candidate."""

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """Return the encoded bytes of a candidate, or why they cannot be read."""


class Source(Reader, Protocol):
    """Something that offers candidates; a scan treats all kinds of sources alike through this protocol."""

    @property
    def label(self) -> str:
        """The name in the ledger: never a local path."""

    @property
    def root(self) -> str:
        """The path or address that the user named; paths are absolute."""

    def check(self) -> None:
        """Raise `SourceError` if the source is missing, empty or of the wrong kind."""

    def chunks(self, limit: int | None = None) -> Iterator[SourceChunk]:
        """Yield all chunks, or those of the first `limit` candidates, in an order that depends on names alone."""

    def candidates(self, chunk: SourceChunk) -> list[Candidate]:
        """Return the candidates of a chunk that is not `stream_only`, in order, without their bytes."""

    def stream(
        self, chunk: SourceChunk, wanted: Callable[[Candidate], bool], deliver: Deliver, context: StreamContext
    ) -> None:
        """Deliver every wanted candidate of a remote chunk once, with its bytes or with its failure.

        A failure of one candidate is delivered, not raised. Candidates of a `stream_only` chunk come in the order in
        which they are stored.
        """
