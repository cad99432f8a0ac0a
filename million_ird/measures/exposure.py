"""How the light lies: shares of pixels without detail for want or for excess of light, and the mean.

Judged on the thumbnail, where a share needs no more than its 65,000 pixels. The limits 5 and 250 leave room
for the rounding of JPEG and of the shrinking around 0 and 255.

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
from million_ird.schema import MEASURE_SPECS, Tier

CRUSHED = 5
BLOWN = 250


@dataclass(frozen=True, slots=True)
class ExposureMeasure:
    """Shares of crushed and blown pixels, and mean luma."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["exposure"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["exposure"].tier

    def measure(self, sample: EncodedImage) -> Mapping[str, float | None]:
        """Looks at the thumbnail's luma."""
        luma = cv2.cvtColor(sample.thumbnail, cv2.COLOR_RGB2GRAY)
        return {
            "crushed_share": float(np.count_nonzero(luma <= CRUSHED) / luma.size),
            "blown_share": float(np.count_nonzero(luma >= BLOWN) / luma.size),
            "mean_luma": float(luma.mean()),
        }
