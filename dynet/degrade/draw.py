"""Drawing one of a recipe's degradations for a picture, and its parameters."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dynet.config import GaussianNoise, Jpeg, RandomNoise
from dynet.degrade import DEGRADATIONS


def draw_degradation(
    choices: Sequence[GaussianNoise | RandomNoise | Jpeg], image: npt.NDArray[np.uint8], random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """image: (H, W, 3) degraded by one of the choices, drawn by weight, with parameters from its ranges."""
    weights = np.array([choice.weight for choice in choices])
    choice = choices[int(random.choice(len(choices), p=weights / weights.sum()))]
    return DEGRADATIONS[choice.kind](image, random, **choice.draw_parameters(random))
