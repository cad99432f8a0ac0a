"""The values that flow through a build: a candidate that a source offers, and the verdicts on it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Extra: TypeAlias = Mapping[str, float | str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One image that a source offers, before it is read."""

    key: str
    """16-byte hash of source, uri and member in hex: the candidate's name in the ledger."""
    source: str
    """The source's label, never a local path."""
    uri: str
    """Where in the source: relative to its root, or an address without credentials. The ledger has less of an address:
    see `public_addresses`."""
    version: str
    """Changes when the bytes behind the uri may have changed (size and modification time, or etag)."""
    licence: str | None = None
    attribution: str | None = None
    width: int | None = None
    """As its source declares it, in pixels; used only to drop an image before it is fetched."""
    height: int | None = None
    extra: Extra = field(default_factory=dict)
    """Columns of the source that the recipe passes through to the ledger."""


def candidate_key(source: str, uri: str, member: str = "") -> str:
    """Return the key of a candidate: BLAKE2b-128 of source, uri and archive member, as 32 hex digits."""
    return hashlib.blake2b("\0".join((source, uri, member)).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Keep:
    """The candidate passed every rule."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The first rule that the candidate broke, and by how much."""

    reason: str
    measured: float | str | None
    limit: float | str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The candidate could not be fetched, read or decoded."""

    failure_class: str
    detail: str
