"""A degradation in a recipe: its kind, the ranges of its parameters, and a function of one image."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from dynet.degradations.parameter_types import Positive, StrictModel

Image8 = npt.NDArray[np.uint8]


def to_uint8(levels: npt.NDArray[np.floating[Any]]) -> Image8:
    """Return levels as 8 bits, of the same shape: rounded to the nearest level, clipped to 0 and 255."""
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


class Degradation(StrictModel):
    """One kind of degradation; of several, one is drawn by weight for each image.

    Every field but `kind` and `weight` is a range, and a parameter of the same name of `function`.
    """

    LIMITS: ClassVar[dict[str, tuple[float, float]]]
    """The smallest and the largest value that the model allows, for each parameter."""

    weight: Positive = Field(default=1.0)

    @staticmethod
    @abstractmethod
    def function(image: Image8, generator: np.random.Generator, **parameters: Any) -> Image8:
        """Degrade an 8-bit image (H, W, 3); the result has the same size, rounded and never truncated."""

    def apply(self, image: Image8, generator: np.random.Generator) -> Image8:
        """Degrade an image (H, W, 3) with parameters drawn uniformly from the ranges."""
        drawn = {name: float(generator.uniform(*getattr(self, name))) for name in self.LIMITS}
        degrade: Callable[..., Image8] = self.function
        return degrade(image, generator, **drawn)

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        for name, (lowest, highest) in self.LIMITS.items():
            low, high = getattr(self, name)
            if not lowest <= low <= high <= highest:
                raise ValueError(
                    f"{name} must be a range from a smaller to a larger number within {lowest:g} to {highest:g}, "
                    f"not {low:g} to {high:g}"
                )
        return self


def draw_degradation(choices: Sequence[Degradation], image: Image8, random: np.random.Generator) -> Image8:
    """Return `image`, (H, W, 3), degraded by one of the choices, drawn by weight, with parameters from its ranges."""
    weights = np.array([choice.weight for choice in choices])
    choice = choices[int(random.choice(len(choices), p=weights / weights.sum()))]
    return choice.apply(image, random)
