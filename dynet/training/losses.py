"""The training loss, and the PSNR that validation measures."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

PixelLoss: TypeAlias = Literal["l1", "rmse", "mse"]
"""How the pixels of a restored image are compared with those of the clean one."""
_EPSILON = 1e-12
"""Added under the root, which has no gradient at zero; its own root is 0.0003 levels of 8 bits."""


def training_loss(
    restored: Tensor, clean: Tensor, frequency: float = 0.0, log_scale: float = 0.0, pixels: PixelLoss = "l1"
) -> Tensor:
    """Return the mean difference of two (B, 3, H, W), plus `frequency` times that of their spectra.

    With a `log_scale` s > 0, the loss l of each image becomes s · log(1 + l / s): an image whose error is small counts
    about as much as one whose error is large, as in PSNR, which is a logarithm, too. Without it, strongly degraded
    images decide nearly alone what is learned. The value never exceeds l. (`mse` has a form of its own, below.)

    Nothing is clamped: a clamped output has no gradient beyond [0, 1], so the network could not come back.

    Args:
        restored: What the network makes of degraded images.
        clean: What it should make of them.
        frequency: Weight of `frequency_loss`.
        log_scale: s; 0 without the logarithm.
        pixels: `l1`, the mean absolute difference, which is least for the median of what may be right; or `rmse`, the
            root of the mean squared difference of each image, which is least for its mean, and which PSNR measures. The
            logarithm of `rmse` is the PSNR loss of NAFNet (arXiv 2204.04676). `mse` is the mean squared difference d of
            each image, and with a `log_scale` s it becomes s / 2 · log(1 + d / s²). For large errors this has the same
            gradient as `rmse`; but that of `rmse` does not vanish with the error, so that images with hardly any
            error, of which nothing can be learned, fill the sum with noise.
    """
    if not log_scale and pixels == "l1":
        loss = F.l1_loss(restored, clean)
        return loss + frequency * frequency_loss(restored, clean) if frequency else loss
    each = _difference(restored, clean, pixels)
    if log_scale and pixels == "mse":
        each = log_scale / 2 * (each / log_scale**2).log1p()
        log_scale = 0.0
    if frequency:
        each = each + frequency * _spectral_differences(restored, clean).mean(dim=(1, 2, 3, 4))
    return log_scale * (each / log_scale).log1p().mean() if log_scale else each.mean()


def _difference(restored: Tensor, clean: Tensor, pixels: PixelLoss) -> Tensor:
    """Return (B,) of differences of images."""
    difference = restored - clean
    if pixels == "l1":
        return difference.abs().mean(dim=(1, 2, 3))
    squared = difference.float().square().mean(dim=(1, 2, 3))
    return squared if pixels == "mse" else (squared + _EPSILON).sqrt()


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
