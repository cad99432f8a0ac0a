"""Fine-tuning: whole crops degraded by one of the recipe's tasks.

data set → crop, one of eight orientations → one task's degradation → one variant of DyNet → L1 against the clean
crop → AdamW, its rate rising over the warm-up and falling along a cosine that ends with the run
"""

import math
from dataclasses import dataclass

import numpy as np
from torch.optim import AdamW

from dynet.config import FinetuneRecipe
from dynet.data import Image8, Pictures
from dynet.degrade.draw import draw_degradation
from dynet.job import Job
from dynet.run_folder import RunFolder
from dynet.trainer import Stage, fit


def finetune(recipe: FinetuneRecipe, pictures: Pictures, run: RunFolder, job: Job) -> None:
    """Train on the recipe's tasks, to the recipe's last step."""
    stage = Stage(
        corrupt=DegradeByTask(recipe),
        optimizer=lambda model: AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay),
        learning_rate=lambda step: warmup_cosine(step, recipe.steps, recipe.warmup_steps, recipe.learning_rate),
    )
    fit(recipe, stage, pictures, run, job)


@dataclass(frozen=True, slots=True)
class DegradeByTask:
    """What fine-tuning does to a clean crop."""

    recipe: FinetuneRecipe

    def __call__(self, clean: Image8, random: np.random.Generator) -> Image8:
        """clean: (H, W, 3) to the same crop, degraded all over."""
        return draw_degradation(self.recipe.tasks, clean, random)


def warmup_cosine(step: int, steps: int, warmup: int, peak: float) -> float:
    """The rate of step 0, 1, … steps - 1: never zero, at its peak when the warm-up ends, near zero at the last."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    way = (step - warmup) / (steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * way))
