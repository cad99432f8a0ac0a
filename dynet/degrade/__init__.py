"""What can be done to a clean picture, one degradation per file.

Each is a pure function of (image, generator, parameters): 8-bit RGB in, 8-bit RGB out, rounded and never truncated.
A new one is a file and a line in DEGRADATIONS, and its parameters are a section in `dynet.config`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dynet.degrade.gaussian_noise import gaussian_noise
from dynet.degrade.jpeg import jpeg
from dynet.degrade.random_noise import random_noise

Image8 = npt.NDArray[np.uint8]
Degradation = Callable[..., Image8]

DEGRADATIONS: dict[str, Degradation] = {
    "gaussian_noise": gaussian_noise,
    "random_noise": random_noise,
    "jpeg": jpeg,
}
