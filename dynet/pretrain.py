"""Dynamic pre-training: crops are corrupted in part and masked in part, and one variant at a time learns to undo it.

data set → crop, one of eight orientations → a degradation shown through half of its cells → a third of its cells
black → one variant of DyNet → L1 against the clean crop → Adam
"""

from dataclasses import dataclass

import numpy as np
from torch.optim import Adam

from dynet.config import Cells, Corruption, PretrainRecipe
from dynet.data import Image8, Pictures
from dynet.degrade.draw import draw_degradation
from dynet.degrade.square_cells import mask_square_cells, square_cells
from dynet.job import Job
from dynet.run_folder import RunFolder
from dynet.trainer import Stage, fit


def pretrain(recipe: PretrainRecipe, pictures: Pictures, run: RunFolder, job: Job) -> None:
    """Train every variant of the recipe on one set of weights, to the recipe's last step."""
    stage = Stage(
        corrupt=CorruptAndMask(recipe.corruption, recipe.mask),
        optimizer=lambda model: Adam(model.parameters(), lr=recipe.learning_rate),
        learning_rate=lambda step: recipe.learning_rate,
    )
    fit(recipe, stage, pictures, run, job)


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
