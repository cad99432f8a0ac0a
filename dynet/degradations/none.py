"""No degradation: what goes in comes out, so that a network learns to leave a clean image as it is.

Source: blind denoisers are trained on a range of strengths that includes none, as in Zhang et al., "Beyond a Gaussian
Denoiser" (DnCNN), IEEE TIP 2017: sigma from 0 to 55. A network that never sees a clean image alters it.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from dynet.degradations.degradation import Degradation, Image8


def none(image: Image8, generator: np.random.Generator) -> Image8:
    """Return an image (H, W, 3) unchanged. Draws nothing."""
    return image


class NoDegradation(Degradation):
    """The clean image itself; it has no parameters."""

    LIMITS: ClassVar = {}
    kind: Literal["none"]

    function: ClassVar[Any] = staticmethod(none)
