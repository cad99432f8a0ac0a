"""Blur of a camera that moves while the shutter is open: in linear light, along a straight or shaken path.

Source: Boracchi and Foi, "Modeling the Performance of Image Restoration From Motion Blur", IEEE TIP 2012, as Kupyn et
al. use it for DeblurGAN (CVPR 2018): a point with inertia that a hand pushes at random, pulls back and sometimes
jerks; the strengths here were chosen by eye. That light adds up, not levels: Nah et al. (GoPro), CVPR 2017. Without
`shake`, straight and at constant speed: the linear kernels of Sun et al., CVPR 2015. All pixels move in the same way.
"""

from math import ceil
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from dynet.degradations.convolution import Kernel, convolve
from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.linear_light import to_levels, to_light
from dynet.degradations.parameter_types import Range

Path = npt.NDArray[np.complex128]
STEPS = 320
"""Time steps of the exposure: two per pixel for the longest path."""
PUSH = 0.06
"""Standard deviation of the push in one time step, as a share of the speed."""
PULL = 0.00006
"""Pull back in one time step, added to the velocity, as a share of the distance from the start."""
JERKS = 1.0
"""Average number of jerks in an exposure; a jerk may reverse the path."""


def motion_blur(image: Image8, generator: np.random.Generator, *, length: float, angle: float, shake: float) -> Image8:
    """Blur an image (H, W, 3) along the path of a camera.

    The image stays in place, because the centre of gravity of the path is the middle of the kernel.

    Args:
        image: (H, W, 3) of 8 bits.
        generator: Draws the path.
        length: Length of the path in pixels.
        angle: Direction at the start in degrees, counter-clockwise from the horizontal.
        shake: From 0, a straight line, to 1, a trembling hand.
    """
    return to_levels(convolve(to_light(image), path_kernel(shaken_path(generator, length, angle, shake))))


def shaken_path(generator: np.random.Generator, length: float, angle: float, shake: float) -> Path:
    """Return (STEPS,) positions right + i·down in pixels, around 0; the count of drawn numbers is always the same."""
    pushes = generator.standard_normal(STEPS) + 1j * generator.standard_normal(STEPS)
    is_jerk = generator.random(STEPS) < JERKS / STEPS
    jerks = np.exp(1j * np.pi * generator.uniform(0.5, 1.5, STEPS))
    path = np.zeros(STEPS, np.complex128)
    velocity = complex(np.exp(-1j * np.radians(angle)))
    for step in range(1, STEPS):
        path[step] = path[step - 1] + velocity
        change = PUSH * pushes[step] - PULL * path[step] + (2 * jerks[step] * velocity if is_jerk[step] else 0)
        velocity += shake * complex(change)
        velocity /= max(abs(velocity), 1.0)
    travelled = np.abs(np.diff(path)).sum()
    return np.asarray((path - path.mean()) * (length / travelled), np.complex128)


def path_kernel(path: Path) -> Kernel:
    """Return how long the path stays at each pixel, shared among the four nearest: (K, K), K odd, with a sum of 1."""
    reach = ceil(max(np.abs(path.real).max(), np.abs(path.imag).max()))
    side = 2 * reach + 3
    right, down = path.real + reach + 1, path.imag + reach + 1
    column, row = np.floor(right).astype(np.intp), np.floor(down).astype(np.intp)
    to_right, to_down = right - column, down - row
    kernel = np.zeros((side, side))
    for next_row in (0, 1):
        for next_column in (0, 1):
            share = np.abs(1 - next_row - to_down) * np.abs(1 - next_column - to_right)
            np.add.at(kernel, (row + next_row, column + next_column), share)
    return np.asarray(kernel / kernel.sum(), np.float64)


class MotionBlur(Degradation):
    """A path of `length` pixels that starts at `angle` degrees; `shake` 0 is a straight line, 1 a trembling hand."""

    LIMITS: ClassVar = {"length": (0, 160), "angle": (-180, 180), "shake": (0, 1)}
    kind: Literal["motion_blur"]
    length: Range = (5, 40)
    angle: Range = (0, 180)
    shake: Range = (0, 1)

    function: ClassVar[Any] = staticmethod(motion_blur)
