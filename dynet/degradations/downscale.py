"""Resolution lost: made smaller by a factor, and brought back to its size.

Source: the resizing of Zhang et al. (BSRGAN, ICCV 2021, section 3) and Wang et al. (Real-ESRGAN, ICCVW 2021, section
3), who draw the kernel too. A kernel that makes smaller is widened by the factor, so that nothing aliases, and pixel
centres stay where they are. It is Pillow's resize, in integers: the same on every processor.
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
    """image: (H, W, 3) made smaller by `scale` along both sides, to one pixel at least, and brought back.

    The kernel is drawn for either way: the mean of a box, bilinear, bicubic or Lanczos; back with one but the box.
    """
    smaller, larger = KERNELS[int(generator.integers(4))], KERNELS[1 + int(generator.integers(3))]
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((max(1, round(width / scale)), max(1, round(height / scale))), smaller)
    return np.array(small.resize((width, height), larger))


class Downscale(Degradation):
    """Made smaller by `scale`, by a kernel that is drawn, and brought back by another."""

    LIMITS: ClassVar = {"scale": (1, 16)}
    kind: Literal["downscale"]
    scale: Range

    function: ClassVar[Any] = staticmethod(downscale)
