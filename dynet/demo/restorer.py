"""Restoring one image with one or more variants: results, time, memory, and quality against the clean image.

It is independent of the page: images in, images and numbers out.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dynet.degradations.degradation import Image8
from dynet.degradations.strengths import AddedDegradation
from dynet.evaluation.metrics import SSIM_WINDOW, psnr, ssim
from dynet.evaluation.protocol import as_float
from dynet.inference.decoded_image import DecodedImage
from dynet.inference.image_metadata import has_grey_profile
from dynet.inference.memory import release_memory
from dynet.inference.restore import ProgressCallback, RestoreOptions, restore_rgb
from dynet.model.training_record import TrainingRecord
from dynet.model.variant_network import VariantNetwork
from dynet.model.variants import Variant
from dynet.runtime.cost import CostMeter


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of an image against the clean one, both in 8 bits."""

    psnr: float  # dB; infinite for equal images
    ssim: float | None  # None for an image smaller than SSIM's window


@dataclass(frozen=True, slots=True)
class VariantResult:
    """The result of one variant; it has a quality only where the clean image is known."""

    variant: str
    image: DecodedImage
    tiles: int
    seconds: float
    peak_bytes: int | None
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The input of the network, with its quality where a degradation was added, and the results."""

    before: DecodedImage
    quality: Quality | None
    results: tuple[VariantResult, ...]


class Restorer:
    """One network, prepared on its device, that restores one image at a time for any number of callers."""

    def __init__(
        self, model: VariantNetwork, device: torch.device, training: TrainingRecord | None = None, name: str = ""
    ) -> None:
        """Load what the first call needs.

        Args:
            model: The network, on the device.
            device: Where it runs.
            training: How it was trained, if that is known.
            name: What its weights are called.
        """
        self.model = model
        self.device = device
        self.training = training
        self.name = name
        self._meter = CostMeter(device, model)
        self._one_at_a_time = threading.Lock()
        # The first call of a process also loads libraries and plans kernels; the page shows the times of later calls.
        with torch.inference_mode():
            model(torch.zeros(1, 3, 64, 64, device=device), model.variants[0])

    @property
    def memory(self) -> str:
        """What `peak_bytes` includes, in words."""
        return self._meter.memory

    @property
    def busy(self) -> bool:
        """Whether an image is being restored."""
        return self._one_at_a_time.locked()

    def compare(
        self,
        image: DecodedImage,
        degradation: AddedDegradation | None,
        variants: Sequence[Variant],
        on_progress: ProgressCallback,
    ) -> Comparison:
        """Degrade the image if requested, and restore it with each variant.

        Without a degradation the image keeps its bit depth, grey and alpha. With one it becomes 8-bit RGB, as in
        training, and the results include the quality against the clean image.

        Raises:
            ImageError: The memory is too small.
        """
        clean = image.as_uint8_rgb() if degradation else None
        before = degrade_image(image, degradation) if degradation else image
        results = []
        with self._one_at_a_time:
            for number, variant in enumerate(variants):

                def on_total_progress(note: str, done: float, number: int = number) -> None:
                    on_progress(note, (number + done) / len(variants))

                results.append(self._restore(before, variant, clean, on_total_progress))
        return Comparison(before, measure_quality(before, clean), tuple(results))

    def _restore(
        self, before: DecodedImage, variant: Variant, clean: Image8 | None, on_progress: ProgressCallback
    ) -> VariantResult:
        options = RestoreOptions(model=self.model, variants=(variant,), device=self.device)
        tiles = 0

        def count_tile(*_: object) -> None:
            nonlocal tiles
            tiles += 1

        def restore(rgb: Tensor) -> Tensor:
            return torch.from_numpy(restore_rgb(rgb.numpy(), variant, options, on_progress))

        release_memory(self.device)  # otherwise the peak of a small image would include memory of a larger one before
        hook = self.model.register_forward_hook(count_tile)
        try:
            restored, cost = self._meter.measure(restore, torch.from_numpy(before.as_rgb()))
        finally:
            hook.remove()
        image = before.with_rgb(restored.numpy())
        return VariantResult(variant.name, image, tiles, cost.seconds, cost.peak_bytes, measure_quality(image, clean))


def degrade_image(image: DecodedImage, degradation: AddedDegradation) -> DecodedImage:
    """Return the image as 8-bit RGB with the degradation; its alpha is kept, and a profile that is of colours."""
    degraded = degradation.apply(image.as_uint8_rgb())
    alpha = image.alpha
    if alpha is not None and alpha.dtype != np.uint8:
        alpha = np.rint(alpha / 257).astype(np.uint8)
    metadata = image.metadata.copy()
    if has_grey_profile(metadata):
        del metadata["icc_profile"]
    return replace(image, colour=degraded, alpha=alpha, metadata=metadata, png_chunks=b"")


def measure_quality(image: DecodedImage, clean: Image8 | None) -> Quality | None:
    """Return the quality against the clean image, (H, W, 3) of 8 bits; None without a clean image."""
    if clean is None:
        return None
    restored, target = as_float(image.as_uint8_rgb()), as_float(clean)
    return Quality(psnr(restored, target), ssim(restored, target) if min(clean.shape[:2]) >= SSIM_WINDOW else None)
