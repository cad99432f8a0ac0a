"""Stage `pretrain`: crops are degraded in part and masked in part, and the variants learn to undo both.

dataset → crop in one of eight orientations → a degradation in half of its square cells → a third of its cells black →
variants drawn by the policy → L1 against the clean crop → Adam
"""

from dataclasses import dataclass

import numpy as np

from dynet.config.recipe import DegradedCells, PretrainRecipe, SquareCells
from dynet.data.mix import TrainingTask
from dynet.degradations.degradation import Image8, draw_degradation
from dynet.degradations.square_cells import mask_square_cells, square_cells


def tasks(recipe: PretrainRecipe) -> tuple[TrainingTask, ...]:
    """Return the one task of pre-training."""
    return (TrainingTask(name="pretrain", weight=1.0, degrade=DegradeAndMask(recipe.corruption, recipe.mask)),)


@dataclass(frozen=True, slots=True)
class DegradeAndMask:
    """The degradation of a clean crop by pre-training."""

    corruption: DegradedCells
    mask: SquareCells

    def __call__(self, clean: Image8, random: np.random.Generator) -> Image8:
        """Return the crop `clean` (H, W, 3), degraded in a share of its cells and black in another."""
        degraded = draw_degradation(self.corruption.degradations, clean, random)
        height, width = clean.shape[:2]
        is_degraded = square_cells(height, width, random, share=self.corruption.share, cell=self.corruption.cell)
        partly_degraded = np.where(is_degraded[..., None], degraded, clean)
        return mask_square_cells(partly_degraded, random, share=self.mask.share, cell=self.mask.cell)
