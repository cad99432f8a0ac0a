"""What training minimises, and how far from a picture another one is."""

import torch
from torch import Tensor
from torch.nn import functional as F


def training_loss(restored: Tensor, clean: Tensor, frequency: float = 0.0) -> Tensor:
    """Mean absolute difference of two (B, 3, H, W), and `frequency` times that of their spectra.

    Nothing is clamped: beyond [0, 1] a clamped output has no gradient, and the network could not come back.
    """
    loss = F.l1_loss(restored, clean)
    return loss + frequency * frequency_loss(restored, clean) if frequency else loss


def frequency_loss(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference of real and imaginary parts of the 2-D spectra (MIMO-UNet, arXiv 2108.05054, eq. 9).

    The transform is orthonormal, so that the value is of the same size for any crop, and float32, since bfloat16 has
    no transform and too few bits for one.
    """
    with torch.autocast(restored.device.type, enabled=False):
        spectrum = torch.fft.rfft2(restored.float() - clean.float(), norm="ortho")
        return torch.view_as_real(spectrum).abs().mean()


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """(B,) of PSNR in dB of pictures (B, 3, H, W) in [0, 1], the restored ones clipped to it; equal ones have 100."""
    error = (restored.float().clamp(0, 1) - clean.float()).square().mean(dim=(1, 2, 3))
    return -10 * error.clamp_min(1e-10).log10()
