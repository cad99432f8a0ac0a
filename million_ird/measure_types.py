"""What is said of a measure: its cost, and the name, unit and meaning of each of its numbers."""

import enum
from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["up", "down", "neither"]
"""Which way a number is better."""


class Tier(enum.IntEnum):
    """What a measure costs. A scan goes from the cheapest to the most expensive and stops at the first gate that drops.

    The ledger's `tier` column holds the last tier that a candidate was measured in; see `null_reason`.
    """

    DECLARED = 0
    """Nothing: what a table of the source declares."""
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


@dataclass(frozen=True, slots=True)
class Field:
    """One number that a measure gives."""

    name: str
    """The ledger's column."""
    range: str = ""
    """Unit and range, for people: `dB`, `0–1`, `grey levels, ≥ 0`."""
    direction: Direction = "neither"
    text: str = ""
    """What it is, in one sentence without its full stop: reports and cards show it."""

    @property
    def description(self) -> str:
        """The sentence that reports and cards show; empty for a field that nobody described."""
        better = "" if self.direction == "neither" else f"{self.direction} is better"
        notes = ", ".join(filter(None, (self.range, better)))
        return f"{self.text}{f' ({notes})' if notes else ''}." if self.text else ""


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """What a measure costs, and which columns it fills, in order."""

    tier: Tier
    columns: tuple[Field, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(column.name for column in self.columns)
