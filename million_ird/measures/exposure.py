"""Exposure: shares of pixels that are too dark or too bright to show detail, and the mean.

Measured on the thumbnail, whose 65,000 pixels are enough for a share. The limits 5 and 250 leave room for the
rounding of JPEG and of the downscaling around 0 and 255.

- `crushed_share` (0–1, down is better): pixels whose luma is at most 5.
- `blown_share` (0–1, down is better): pixels whose luma is at least 250.
- `mean_luma` (0–255, neither end is good): mean BT.601 luma.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier

CRUSHED = 5
BLOWN = 250


@dataclass(frozen=True, slots=True)
class ExposureMeasure:
    """Shares of crushed and blown pixels, and mean luma."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["exposure"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["exposure"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure the luma of the thumbnail."""
        luma = cv2.cvtColor(image.thumbnail, cv2.COLOR_RGB2GRAY)
        return {
            "crushed_share": float(np.count_nonzero(luma <= CRUSHED) / luma.size),
            "blown_share": float(np.count_nonzero(luma >= BLOWN) / luma.size),
            "mean_luma": float(luma.mean()),
        }
