"""What a copy can have lost or got: the kinds, by how much two copies differ in them, and which is better."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from million_ird.measures.view import View

HARMS: Mapping[str, str] = MappingProxyType(
    {
        "overlaid": "has something laid over it",
        "hidden": "has parts that are blurred, pixelated or covered",
        "surrounded": "has bars, filled sides or a page around it",
        "cut": "is cut off",
        "noisy": "is noisier",
        "smooth": "has lost detail",
        "sharpened": "is sharpened too much",
        "posterised": "has gaps in its tones",
        "faded": "has less contrast",
        "clipped": "has clipped tones",
        "discoloured": "has lost its colours",
        "vignetted": "has darkened corners",
        "enlarged": "is enlarged",
        "smaller": "is smaller",
        "compressed": "is compressed more",
        "resaved": "was saved again: its pixels show the compression of the other file",
    }
)
"""What a copy can have lost or got, in words."""
_MARGIN = 0.01
"""Least difference between the sums of severities from which on one copy counts as better."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of one of two copies that are compared."""

    view: View
    width: int
    height: int
    quality: float
    """Of the coarsest compression that the file or the pixels show, 1 to 100; 100 where none shows."""
    coding: float
    """Of the file's own coding, 1 to 100; 100 if it is lossless."""
    trace: float
    """Of a JPEG compression with a table of the IJG that the pixels show, 75 to 98; NaN where none shows."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What each of two copies has lost or got, as the other one shows it: severities by the names of `HARMS`."""

    first: Mapping[str, float] = field(default_factory=dict)
    second: Mapping[str, float] = field(default_factory=dict)

    @property
    def better(self) -> int:
        """1 if the first shows more with less added or lost, −1 if the second does, 0 if neither is clearly better."""
        difference = sum(self.second.values()) - sum(self.first.values())
        return 0 if abs(difference) < _MARGIN else (1 if difference > 0 else -1)


class Harms:
    """Collects severities of both copies; side 0 is the first."""

    def __init__(self) -> None:
        self.sides: tuple[dict[str, float], dict[str, float]] = ({}, {})

    def add(self, side: int, kind: str, severity: float) -> None:
        """Record a harm of a copy, or the larger of two severities of the same one."""
        self.sides[side][kind] = max(severity, self.sides[side].get(kind, 0.0))

    def drop(self, side: int, kind: str) -> None:
        """Remove a harm of a copy."""
        self.sides[side].pop(kind, None)

    def has(self, side: int, kind: str, least: float = 0.0) -> bool:
        """Return whether a copy has a harm, of a least severity."""
        return kind in self.sides[side] and self.sides[side][kind] >= least
