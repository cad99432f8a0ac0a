"""Stage `finetune`: crops are degraded by the tasks of the recipe, or come as pairs that are already degraded.

task by weight → dataset by weight → crop in one of eight orientations → degradation of the task → variants drawn by the
policy → L1 against the clean crop → AdamW, with a rate that rises during the warm-up and falls along a cosine that ends
with the run
"""

from dataclasses import dataclass

import numpy as np

from dynet.config.recipe import FinetuneRecipe
from dynet.data.mix import TrainingTask
from dynet.degradations.degradation import Degradation, Image8, draw_degradation


def tasks(recipe: FinetuneRecipe) -> tuple[TrainingTask, ...]:
    """Return the tasks with the names and weights of the recipe."""
    return tuple(
        TrainingTask(
            name=name, weight=task.weight, degrade=None if task.pairs else Degrade(task.degradations, task.then)
        )
        for name, task in recipe.tasks.items()
    )


@dataclass(frozen=True, slots=True)
class Degrade:
    """The degradation of a clean crop by a task."""

    degradations: tuple[Degradation, ...]
    then: tuple[Degradation, ...] = ()

    def __call__(self, clean: Image8, random: np.random.Generator) -> Image8:
        """Return the crop `clean` (H, W, 3), all of it degraded by one of the degradations, then by one of `then`."""
        degraded = draw_degradation(self.degradations, clean, random)
        return draw_degradation(self.then, degraded, random) if self.then else degraded
