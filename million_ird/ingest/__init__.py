"""Where candidates come from: one source kind per file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from million_ird.record import Candidate, Failed
from million_ird.storage import FileEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Some neighbouring entries of one source: what one worker does at a time.

    `slot` stays the same when entries come or go around it, so that a changed unit finds its earlier rows.
    """

    source: str
    """The label."""
    root: str
    slot: str
    entries: tuple[FileEntry, ...]


class Source(Protocol):
    """Something that offers candidates. The protocol exists so that a scan treats all kinds alike."""

    @property
    def label(self) -> str:
        """The name in the ledger: never a local path."""

    @property
    def root(self) -> str:
        """What the user named, made absolute."""

    def units(self) -> Iterator[Unit]:
        """All units, in an order that depends on names alone."""

    def candidates(self, unit: Unit) -> list[Candidate]:
        """The candidates of a unit, in order, without their bytes."""

    def fetch(self, candidate: Candidate) -> bytes | Failed:
        """The encoded bytes of one of them."""
