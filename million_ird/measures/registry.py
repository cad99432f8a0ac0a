"""What can be measured: one idea per file, pixels in, numbers out, no verdicts.

A measure that does not apply to a picture says null, never a wrong number. To add one: a file with a class like
those below and a line in `MEASURES` (docs/extending.md). The next build then measures every picture again, once.
"""

from collections.abc import Mapping
from typing import Protocol

from million_ird.candidate import Sample, Tier
from million_ird.measures.artefacts import ArtefactMeasure
from million_ird.measures.exposure import ExposureMeasure
from million_ird.measures.graphics import GraphicsMeasure
from million_ird.measures.header import HeaderMeasure
from million_ird.measures.layout import LayoutMeasure
from million_ird.measures.nss import NssMeasure
from million_ird.measures.resolution import ResolutionMeasure
from million_ird.measures.sharpness import SharpnessMeasure
from million_ird.measures.text import TextMeasure
from million_ird.measures.texture import FlatMeasure, ToneMeasure


class Measure(Protocol):
    """Pixels to numbers. The protocol exists so that the cascade can treat all measures alike."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The ledger columns that it fills, in order; no other measure fills them.

        Its module describes each in a list item of its docstring, ``- `field` (range, which way is better): text``:
        reports and cards show the first sentence.
        """

    @property
    def tier(self) -> Tier:
        """What it has to pay for: `HEADER` to `QUALITY`; networks are asked for by name, as scores."""

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """One number or null for every field, as Python's own float.

        Raises:
            ReadError: the bytes do not decode.
        """


REVISION = 1
"""Goes up when a measure's numbers change: rows of an earlier revision are measured again."""

MEASURES: dict[str, Measure] = {
    "header": HeaderMeasure(),
    "exposure": ExposureMeasure(),
    "tone": ToneMeasure(),
    "layout": LayoutMeasure(),
    "graphics": GraphicsMeasure(),
    "sharpness": SharpnessMeasure(),
    "flat": FlatMeasure(),
    "text": TextMeasure(),
    "artefacts": ArtefactMeasure(),
    "resolution": ResolutionMeasure(),
    "nss": NssMeasure(),
}
