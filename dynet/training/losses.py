"""The training loss, and the PSNR that validation measures."""

import torch
from torch import Tensor
from torch.nn import functional as F


def training_loss(restored: Tensor, clean: Tensor, frequency: float = 0.0, log_scale: float = 0.0) -> Tensor:
    """Return the mean absolute difference of two (B, 3, H, W), plus `frequency` times that of their spectra.

    With a `log_scale` s > 0, the loss l of each image becomes s · log(1 + l / s): an image whose error is small counts
    about as much as one whose error is large, as in PSNR, which is a logarithm, too. Without it, strongly degraded
    images decide nearly alone what is learned. The value never exceeds l.

    Nothing is clamped: a clamped output has no gradient beyond [0, 1], so the network could not come back.
    """
    if not log_scale:
        loss = F.l1_loss(restored, clean)
        return loss + frequency * frequency_loss(restored, clean) if frequency else loss
    each = (restored - clean).abs().mean(dim=(1, 2, 3))
    if frequency:
        each = each + frequency * _spectral_differences(restored, clean).mean(dim=(1, 2, 3, 4))
    return log_scale * (each / log_scale).log1p().mean()


def frequency_loss(restored: Tensor, clean: Tensor) -> Tensor:
    """Return the mean absolute difference of real and imaginary parts of the 2-D spectra of two (B, 3, H, W).

    MIMO-UNet, arXiv 2108.05054, eq. 9. The transform is orthonormal, so that the value has the same size for any crop,
    and in float32, since bfloat16 has no transform and too few bits for one.
    """
    return _spectral_differences(restored, clean).mean()


def _spectral_differences(restored: Tensor, clean: Tensor) -> Tensor:
    """Return (B, 3, H, W // 2 + 1, 2) of absolute differences of real and imaginary parts."""
    with torch.autocast(restored.device.type, enabled=False):
        spectrum = torch.fft.rfft2(restored.float() - clean.float(), norm="ortho")
        return torch.view_as_real(spectrum).abs()


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Return (B,) of PSNR in dB of images (B, 3, H, W) in [0, 1]; `restored` is clipped. Equal images have 100."""
    error = (restored.float().clamp(0, 1) - clean.float()).square().mean(dim=(1, 2, 3))
    return -10 * error.clamp_min(1e-10).log10()
