"""Drawing one of a recipe's degradations for a picture, and its parameters."""

from collections.abc import Sequence

import numpy as np

from dynet.degradations.degradation import Degradation, Image8


def draw_degradation(choices: Sequence[Degradation], image: Image8, random: np.random.Generator) -> Image8:
    """image: (H, W, 3) degraded by one of the choices, drawn by weight, with parameters from its ranges."""
    weights = np.array([choice.weight for choice in choices])
    choice = choices[int(random.choice(len(choices), p=weights / weights.sum()))]
    return choice.apply(image, random)
