"""What can be measured: one idea per file, pixels in, numbers out, no verdicts.

A measure that does not apply to a picture says null, never a wrong number. To add one: a file with a class like
those below and a line in `MEASURES`.
"""

from collections.abc import Mapping
from typing import Protocol

from million_ird.measure.artefacts import ArtefactMeasure
from million_ird.measure.exposure import ExposureMeasure
from million_ird.measure.graphics import GraphicsMeasure
from million_ird.measure.header import HeaderMeasure
from million_ird.measure.layout import LayoutMeasure
from million_ird.measure.nss import NssMeasure
from million_ird.measure.resolution import ResolutionMeasure
from million_ird.measure.sharpness import SharpnessMeasure
from million_ird.measure.text import TextMeasure
from million_ird.measure.texture import FlatMeasure, ToneMeasure
from million_ird.record import Sample, Tier


class Measure(Protocol):
    """Pixels to numbers. The protocol exists so that the cascade can treat all measures alike."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The ledger columns that it fills, in order."""

    @property
    def tier(self) -> Tier:
        """What it has to pay for."""

    def measure(self, sample: Sample) -> Mapping[str, float | None]:
        """One number or null for every field.

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
