"""The values that flow through a build: what was found, what it weighs, and what became of it."""

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.images import decode as images

Extra: TypeAlias = Mapping[str, float | str | None]


class Tier(enum.IntEnum):
    """What a measure has to pay for; the cascade goes from the cheapest to the dearest."""

    DECLARED = 0
    """Nothing: what a table of the source says of it."""
    HEADER = 1
    """The first bytes: format, size, quantisation tables."""
    THUMBNAIL = 2
    """A decode at reduced scale (1/8 for a large JPEG)."""
    PIXELS = 3
    """The full decode and statistics of its pixels."""
    QUALITY = 4
    """Statistical quality models: NIQE, BRISQUE."""
    NEURAL = 5
    """Quality networks, in batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One picture that a source offers, before anyone has looked at it."""

    key: str
    """16-byte hash of source, uri and member in hex: the candidate's name in the ledger."""
    source: str
    """The source's label, never a local path."""
    uri: str
    """Where in the source: relative to its root, without tokens."""
    version: str
    """Changes when the bytes behind the uri may have changed (size and modification time, or etag)."""
    licence: str | None = None
    attribution: str | None = None
    width: int | None = None
    """As its source declares it, in pixels; believed only to drop a picture before it is fetched."""
    height: int | None = None
    extra: Extra = field(default_factory=dict)
    """Columns of the source that the recipe passes through."""


def candidate_key(source: str, uri: str, member: str = "") -> str:
    """The key of a candidate: BLAKE2b-128 over source, uri and archive member, as 32 hex digits."""
    return hashlib.blake2b("\0".join((source, uri, member)).encode(), digest_size=16).hexdigest()


class Sample:
    """A picture by its encoded bytes; header, thumbnail and pixels are made when first asked for.

    Each is decoded at most once. All raise `ReadError` for bytes that are no picture.
    """

    def __init__(self, encoded: bytes, *, max_pixels: int = images.MAX_PIXELS) -> None:
        self.encoded = encoded
        self._max_pixels = max_pixels

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the encoded bytes, 64 hex digits."""
        return hashlib.sha256(self.encoded).hexdigest()

    @cached_property
    def header(self) -> images.Header:
        """Format, size and colour layout, read without decoding."""
        return images.read_header(self.encoded, max_pixels=self._max_pixels)

    @cached_property
    def thumbnail(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 sRGB, upright, longest side about 256: shrunk while decoding where possible."""
        if "pixels" in self.__dict__:
            return images.shrink(self.pixels, images.THUMBNAIL_SIDE)
        return images.decode_thumbnail(self.encoded, self.header)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 sRGB, upright, alpha over white; the rules are in `images.decode`."""
        return images.decode(self.encoded, self.header)

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """(H, W) uint8, BT.601 luma of `pixels` as OpenCV rounds it."""
        grey: NDArray[np.uint8] = cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        return grey


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
