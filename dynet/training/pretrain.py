"""Dynamic pre-training: crops are corrupted in part and masked in part, and the variants learn to undo it.

data set → crop, one of eight orientations → a degradation shown through half of its cells → a third of its cells
black → the variants that the policy draws → L1 against the clean crop → Adam
"""

from dataclasses import dataclass

import numpy as np

from dynet.config.recipe import Cells, Corruption, PretrainRecipe
from dynet.data.mix import Task
from dynet.degradations.degradation import Image8
from dynet.degradations.draw import draw_degradation
from dynet.degradations.square_cells import mask_square_cells, square_cells


def tasks(recipe: PretrainRecipe) -> tuple[Task, ...]:
    """The one task of pre-training."""
    return (Task(name="pretrain", weight=1.0, corrupt=CorruptAndMask(recipe.corruption, recipe.mask)),)


@dataclass(frozen=True, slots=True)
class CorruptAndMask:
    """What pre-training does to a clean crop."""

    corruption: Corruption
    mask: Cells

    def __call__(self, clean: Image8, random: np.random.Generator) -> Image8:
        """clean: (H, W, 3) to the same crop, degraded in a share of its cells and black in another."""
        degraded = draw_degradation(self.corruption.degradations, clean, random)
        height, width = clean.shape[:2]
        through = square_cells(height, width, random, share=self.corruption.share, cell=self.corruption.cell)
        corrupted = np.where(through[..., None], degraded, clean)
        return mask_square_cells(corrupted, random, share=self.mask.share, cell=self.mask.cell)
