"""Loss of resolution: the image is made smaller by a factor and resized back.

Source: the resizing of Zhang et al. (BSRGAN, ICCV 2021, section 3) and Wang et al. (Real-ESRGAN, ICCVW 2021, section
3), who also draw the kernel. When the image is made smaller, the kernel is widened by the factor, so that nothing
aliases, and pixel centres stay in place. It is Pillow's resize, in integers: the same on every processor.
"""

from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.parameter_types import Range

KERNELS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


def downscale(image: Image8, generator: np.random.Generator, *, scale: float) -> Image8:
    """Make an image (H, W, 3) smaller by `scale` along both sides, to at least one pixel, and resize it back.

    Each direction draws its kernel: box mean, bilinear, bicubic or Lanczos; without the box mean on the way back.
    """
    smaller, larger = KERNELS[int(generator.integers(4))], KERNELS[1 + int(generator.integers(3))]
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((max(1, round(width / scale)), max(1, round(height / scale))), smaller)
    return np.array(small.resize((width, height), larger))


class Downscale(Degradation):
    """Resizing to a size smaller by `scale` and back, with kernels that are drawn."""

    LIMITS: ClassVar = {"scale": (1, 16)}
    kind: Literal["downscale"]
    scale: Range

    function: ClassVar[Any] = staticmethod(downscale)
