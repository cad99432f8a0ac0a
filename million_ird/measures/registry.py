"""All built-in measures: one measure a file, pixels in, numbers out, no verdicts.

A measure that does not apply to an image gives null, never a wrong number. To add a measure of your own, name it in a
recipe; to add a built-in one, write a file, its specification in `million_ird/measure_specs.py`, and a line in
`MEASURES` (docs/extending.md). The next build then measures every image again, once.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_types import Tier
from million_ird.measures.artefacts import ArtefactMeasure
from million_ird.measures.colours import ColourMeasure
from million_ird.measures.composites import CompositeMeasure
from million_ird.measures.exposure import ExposureMeasure
from million_ird.measures.grain import GrainMeasure
from million_ird.measures.graphics import GraphicsMeasure
from million_ird.measures.header import HeaderMeasure
from million_ird.measures.layout import LayoutMeasure
from million_ird.measures.motion import MotionMeasure
from million_ird.measures.noise import NoiseMeasure
from million_ird.measures.nss import NssMeasure
from million_ird.measures.palette import PaletteMeasure
from million_ird.measures.resampling import ResamplingMeasure
from million_ird.measures.resized_blocks import ResizedBlocksMeasure
from million_ird.measures.resolution import ResolutionMeasure
from million_ird.measures.sharpness import SharpnessMeasure
from million_ird.measures.text import TextMeasure
from million_ird.measures.texture import FlatMeasure, ToneMeasure
from million_ird.measures.tiling import TilingMeasure


class Measure(Protocol):
    """Pixels to numbers. The protocol exists so that a scan can treat all measures alike."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The ledger columns that it fills, in order; no other measure fills them."""

    @property
    def tier(self) -> Tier:
        """What it costs: `HEADER` to `QUALITY`; networks are named in a recipe as scores."""

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Return one number or null for every field, as Python's own float.

        Raises:
            ReadError: the bytes do not decode.
        """


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "header": HeaderMeasure(),
        "exposure": ExposureMeasure(),
        "tone": ToneMeasure(),
        "layout": LayoutMeasure(),
        "graphics": GraphicsMeasure(),
        "sharpness": SharpnessMeasure(),
        "noise": NoiseMeasure(),
        "grain": GrainMeasure(),
        "flat": FlatMeasure(),
        "text": TextMeasure(),
        "colours": ColourMeasure(),
        "palette": PaletteMeasure(),
        "composites": CompositeMeasure(),
        "tiling": TilingMeasure(),
        "artefacts": ArtefactMeasure(),
        "resolution": ResolutionMeasure(),
        "resampling": ResamplingMeasure(),
        "resized_blocks": ResizedBlocksMeasure(),
        "motion": MotionMeasure(),
        "nss": NssMeasure(),
    }
)
"""By name, in the order of `million_ird.measure_specs.MEASURE_SPECS`. Read-only: measuring happens in other
processes, which would not see an entry that a script adds; name your own measures under `measures` in a recipe."""
