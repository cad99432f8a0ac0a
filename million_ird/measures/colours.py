"""Few colours: an image that once had a palette.

- `colours` (1–65536, up is better): number of different colours among up to 65,536 pixels, spread evenly. An image
  that was reduced to a palette, as GIF and 8-bit PNG need it, has at most 256, dithered or not; photographs have 1,000
  and more. Lossy compression makes new colours, so a palette does not show after it.

Null under 64 px, and for grey and toned images, which have few colours by nature: nearly one for each luma, and lumas
that fill half of their range, as those of a small palette do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.runtime.jit import compiled

_MIN_SIDE = 64
_SAMPLES = 65_536
_WORDS = 1 << 19
"""Of 32 colours each."""
_ONE_HUE = 1.2
"""Most colours to a luma of a toned image: rounding makes some more."""
_FILLED = 0.5


@dataclass(frozen=True, slots=True)
class ColourMeasure:
    """Number of different colours."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["colours"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["colours"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Count the colours of at most 65,536 pixels."""
        pixels = image.pixels
        if min(pixels.shape[:2]) < _MIN_SIDE:
            return dict.fromkeys(self.fields)
        return {"colours": count_colours(pixels)}


def count_colours(pixels: NDArray[np.uint8]) -> float | None:
    """Return the number of colours; None for an image of one hue; pixels: (H, W, 3)."""
    step = max(1, int(np.ceil(np.sqrt(pixels.shape[0] * pixels.shape[1] / _SAMPLES))))
    # Numba would compile once more for what is read-only.
    sample = np.require(pixels[::step, ::step], requirements=["C", "W"])
    colours = _distinct(sample.reshape(-1, 3), np.zeros(_WORDS, np.uint32))
    lumas = np.flatnonzero(cv2.calcHist([cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY)], [0], None, [256], [0, 256]))
    span = int(lumas[-1]) - int(lumas[0]) + 1
    one_hue = colours <= _ONE_HUE * len(lumas) and len(lumas) > _FILLED * span
    return None if one_hue else float(colours)


@compiled()
def _distinct(pixels: NDArray[np.uint8], words: NDArray[np.uint32]) -> int:
    """Count the colours of pixels (n, 3); words: a set of 2²⁴ bits, all 0, in which they are marked."""
    count = 0
    for k in range(pixels.shape[0]):
        code = (np.int64(pixels[k, 0]) << 16) | (np.int64(pixels[k, 1]) << 8) | np.int64(pixels[k, 2])
        bit = np.uint32(1) << np.uint32(code & 31)
        word = words[code >> 5]
        count += (word & bit) == 0
        words[code >> 5] = word | bit
    return count
