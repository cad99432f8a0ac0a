"""Blur of a camera that moves while the shutter is open: in linear light, along a path, straight or shaken.

Source: Boracchi and Foi, "Modeling the Performance of Image Restoration From Motion Blur", IEEE TIP 2012, as Kupyn et
al. use it for DeblurGAN (CVPR 2018): a point with inertia that a hand pushes at random, pulls back and now and then
jerks, here as strongly as looked right. That light adds up, not levels: Nah et al. (GoPro), CVPR 2017. Straight at a
steady pace without `shake`: the linear kernels of Sun et al., CVPR 2015. The whole picture moves alike.
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
"""Moments of the exposure: at the longest path, two a pixel."""
PUSH = 0.06
"""Standard deviation of a moment's push, as a share of the speed."""
PULL = 0.00006
"""Share of the distance from where it began that a moment's pull back adds to the velocity."""
JERKS = 1.0
"""Jerks of the hand in an exposure, on average; one may turn the path back."""


def motion_blur(image: Image8, generator: np.random.Generator, *, length: float, angle: float, shake: float) -> Image8:
    """image: (H, W, 3) as the camera sees it along a path of `length` pixels that sets out at `angle`.

    `angle` in degrees, counter-clockwise from the horizontal; `shake` from 0, a straight line, to 1, a trembling hand.
    The picture stays where it was: the path's centre of gravity is the middle of the kernel.
    """
    return to_levels(convolve(to_light(image), path_kernel(shaken_path(generator, length, angle, shake))))


def shaken_path(generator: np.random.Generator, length: float, angle: float, shake: float) -> Path:
    """(STEPS,) places right + i·down in pixels, around 0; draws the same count of numbers whatever the parameters."""
    pushes = generator.standard_normal(STEPS) + 1j * generator.standard_normal(STEPS)
    jerked = generator.random(STEPS) < JERKS / STEPS
    jerks = np.exp(1j * np.pi * generator.uniform(0.5, 1.5, STEPS))
    path = np.zeros(STEPS, np.complex128)
    velocity = complex(np.exp(-1j * np.radians(angle)))
    for step in range(1, STEPS):
        path[step] = path[step - 1] + velocity
        change = PUSH * pushes[step] - PULL * path[step] + (2 * jerks[step] * velocity if jerked[step] else 0)
        velocity += shake * complex(change)
        velocity /= max(abs(velocity), 1.0)
    travelled = np.abs(np.diff(path)).sum()
    return np.asarray((path - path.mean()) * (length / travelled), np.complex128)


def path_kernel(path: Path) -> Kernel:
    """(K, K), K odd, of sum one: how long the path stays at each pixel, shared among the four nearest."""
    reach = ceil(max(np.abs(path.real).max(), np.abs(path.imag).max()))
    side = 2 * reach + 3
    right, down = path.real + reach + 1, path.imag + reach + 1
    column, row = np.floor(right).astype(np.intp), np.floor(down).astype(np.intp)
    to_right, to_down = right - column, down - row
    kernel = np.zeros((side, side))
    for lower in (0, 1):
        for later in (0, 1):
            share = np.abs(1 - lower - to_down) * np.abs(1 - later - to_right)
            np.add.at(kernel, (row + lower, column + later), share)
    return np.asarray(kernel / kernel.sum(), np.float64)


class MotionBlur(Degradation):
    """A path of `length` pixels that sets out at `angle` degrees; `shake` 0 is a straight line, 1 a trembling hand."""

    LIMITS: ClassVar = {"length": (0, 160), "angle": (-180, 180), "shake": (0, 1)}
    kind: Literal["motion_blur"]
    length: Range = (5, 40)
    angle: Range = (0, 180)
    shake: Range = (0, 1)

    function: ClassVar[Any] = staticmethod(motion_blur)
