"""Fine-tuning: whole crops degraded by one of the recipe's tasks, or pairs that bring their own degraded ones.

task by weight → set by weight → crop, one of eight orientations → the task's degradation → the variants that the policy
draws → L1 against the clean crop → AdamW, its rate rising over the warm-up and falling along a cosine that ends with
the run
"""

from dataclasses import dataclass

import numpy as np

from dynet.config.recipe import FinetuneRecipe
from dynet.data.mix import Task
from dynet.degradations.degradation import Degradation, Image8
from dynet.degradations.draw import draw_degradation


def tasks(recipe: FinetuneRecipe) -> tuple[Task, ...]:
    """The tasks as the recipe names and weights them."""
    return tuple(
        Task(name=name, weight=task.weight, corrupt=None if task.pairs else Degrade(task.degradations))
        for name, task in recipe.tasks.items()
    )


@dataclass(frozen=True, slots=True)
class Degrade:
    """What a task does to a clean crop."""

    degradations: tuple[Degradation, ...]

    def __call__(self, clean: Image8, random: np.random.Generator) -> Image8:
        """clean: (H, W, 3) to the same crop, degraded all over."""
        return draw_degradation(self.degradations, clean, random)
