"""One picture through one or more variants: before, after, time, memory, and how near they are to the clean picture.

Knows nothing of the page: pictures in, pictures and numbers out.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dynet.degradations.degradation import Image8
from dynet.demo.degradations import Addition
from dynet.evaluation.metrics import SSIM_WINDOW, psnr, ssim
from dynet.evaluation.protocol import as_float
from dynet.inference.images import Picture
from dynet.inference.memory import give_back_memory
from dynet.inference.restore import Advance, Restoration, restore_rgb
from dynet.model.network import DyNet
from dynet.model.variants import Variant
from dynet.runtime.cost import CostMeter


@dataclass(frozen=True, slots=True)
class Quality:
    """How near a picture is to the clean one, both in 8 bits."""

    psnr: float  # dB; infinite for equal pictures
    ssim: float | None  # None for a picture smaller than SSIM's window


@dataclass(frozen=True, slots=True)
class After:
    """What one variant made of the picture; `quality` only where the clean picture is known."""

    variant: str
    picture: Picture
    tiles: int
    seconds: float
    peak_bytes: int | None
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What went in, with its quality where something was added, and what came out."""

    before: Picture
    quality: Quality | None
    after: tuple[After, ...]


class Restorer:
    """Restores with one network, on its device and made ready for it, one picture at a time whoever calls."""

    def __init__(self, model: DyNet, device: torch.device) -> None:
        self.model = model
        self.device = device
        self._meter = CostMeter(device, model)
        self._one_at_a_time = threading.Lock()
        # The first call of a process also loads and plans; the times that are shown are those of later ones.
        with torch.inference_mode():
            model(torch.zeros(1, 3, 64, 64, device=device), model.variants[0])

    @property
    def memory(self) -> str:
        """What `peak_bytes` is of, in words."""
        return self._meter.memory

    @property
    def busy(self) -> bool:
        """True while a picture is being restored."""
        return self._one_at_a_time.locked()

    def compare(
        self, picture: Picture, addition: Addition | None, variants: Sequence[Variant], advance: Advance
    ) -> Comparison:
        """Degrade the picture if asked to, and restore it by each variant.

        Without an addition the picture keeps its depth, its grey, its alpha; with one it is 8-bit RGB, as training
        sees it, and each picture's quality against the clean one comes with it. Raises PictureError where memory lacks.
        """
        clean = picture.as_levels() if addition else None
        before = degraded(picture, addition) if addition else picture
        after = []
        with self._one_at_a_time:
            for number, variant in enumerate(variants):

                def advance_all(note: str, done: float, number: int = number) -> None:
                    advance(note, (number + done) / len(variants))

                after.append(self._restore(before, variant, clean, advance_all))
        return Comparison(before, quality(before, clean), tuple(after))

    def _restore(self, before: Picture, variant: Variant, clean: Image8 | None, advance: Advance) -> After:
        how = Restoration(model=self.model, variants=(variant,), device=self.device)
        tiles = 0

        def count(*_: object) -> None:
            nonlocal tiles
            tiles += 1

        def restore(rgb: Tensor) -> Tensor:
            return torch.from_numpy(restore_rgb(rgb.numpy(), variant, how, advance))

        give_back_memory(self.device)  # or a small picture would seem to take what a larger one before it took
        counter = self.model.register_forward_hook(count)
        try:
            restored, cost = self._meter.measure(restore, torch.from_numpy(before.as_rgb()))
        finally:
            counter.remove()
        picture = before.with_rgb(restored.numpy())
        return After(variant.name, picture, tiles, cost.seconds, cost.peak_bytes, quality(picture, clean))


def degraded(picture: Picture, addition: Addition) -> Picture:
    """The picture in 8-bit RGB with the degradation; its alpha and profile stay."""
    levels = addition.apply(picture.as_levels())
    alpha = picture.alpha
    if alpha is not None and alpha.dtype != np.uint8:
        alpha = np.rint(alpha / 257).astype(np.uint8)
    return replace(picture, colour=levels, alpha=alpha, png_chunks=b"")


def quality(picture: Picture, clean: Image8 | None) -> Quality | None:
    """Against the clean picture, (H, W, 3) of 8 bits; None where there is none."""
    if clean is None:
        return None
    levels, target = as_float(picture.as_levels()), as_float(clean)
    return Quality(psnr(levels, target), ssim(levels, target) if min(clean.shape[:2]) >= SSIM_WINDOW else None)
