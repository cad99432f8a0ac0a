"""Keep the input where a network changes hardly anything, so that good images come out as they went in."""

import torch
from torch import Tensor
from torch.nn import functional as F

ROUNDING = 12**-0.5 / 255
"""The error of rounding to 8 bits (root mean square): 0.29 levels."""
WINDOW = 31
"""The side in pixels of the area around a pixel in which the change is averaged."""


def keep_unchanged(image: Tensor, restored: Tensor) -> Tensor:
    """Return the restored image, but the input wherever its surroundings changed by less than rounding to 8 bits does.

    Such small changes are guesses about what is nearly clean, and on average they are no better than the input. Where
    the surroundings changed by twice that, the result stays as it is, and in between the two are mixed, so that no edge
    shows.

    Args:
        image: (1, 3, H, W), the input of the network.
        restored: (1, 3, H, W), its output.

    Returns:
        (1, 3, H, W), float32.
    """
    change = restored.float() - image.float()
    energy = change.square().mean(dim=1, keepdim=True)
    for size in ((WINDOW, 1), (1, WINDOW)):
        padding = size[0] // 2, size[1] // 2
        energy = F.avg_pool2d(energy, size, stride=1, padding=padding, count_include_pad=False)
    share = (energy.sqrt() / ROUNDING - 1).clamp(0, 1)
    return torch.where(share == 1, restored.float(), image.float() + share * change)
