"""An image restored in several orientations, and the results averaged: more accurate, and as many times slower.

This is the geometric self-ensemble of Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution"
(CVPR Workshops 2017), section 3.4, which papers mark by a + after a network's name. The errors that a network makes in
one orientation are partly others than those it makes in another, so that their mean is smaller.

Images are padded to multiples of 8 before they are turned. Otherwise the blocks of a JPEG would begin elsewhere in a
turned image, where a network that removes blocks does not expect them: that cost `laptop` 0.3 dB.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dynet.model.network import pad_to_stride

_HEIGHT, _WIDTH = -2, -1
_TURNS = (0, 2, 1, 3, 0, 2, 1, 3)
"""Quarter turns of each orientation: upright and upside down first; those from the fifth on are mirrored before."""
_MIRRORED_FROM = 4


def average_orientations(network: Callable[[Tensor], Tensor], image: Tensor, count: int) -> Tensor:
    """Return the mean of a network's results for an image in several orientations.

    Args:
        network: From (1, 3, h, w) to the same shape.
        image: (1, 3, H, W).
        count: How many orientations: 1, which is the network's own result, 2 (upside down, too), 4 (all quarter turns)
            or 8 (and mirrored).

    Returns:
        (1, 3, H, W), upright; float32 where count is 2 or more.
    """
    if count == 1:
        return network(image)
    height, width = image.shape[-2:]
    padded = pad_to_stride(image)
    total = torch.zeros_like(padded, dtype=torch.float32)
    for number in range(count):
        total += _turned_back(network(_turned(padded, number)), number)
    return total[..., :height, :width] / count


def _turned(image: Tensor, number: int) -> Tensor:
    mirrored = image.flip(_WIDTH) if number >= _MIRRORED_FROM else image
    return torch.rot90(mirrored, _TURNS[number], (_HEIGHT, _WIDTH)).contiguous()


def _turned_back(image: Tensor, number: int) -> Tensor:
    upright = torch.rot90(image, -_TURNS[number], (_HEIGHT, _WIDTH))
    return upright.flip(_WIDTH) if number >= _MIRRORED_FROM else upright
