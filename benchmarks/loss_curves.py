"""Plot the loss of 200 steps in the published form and in ours, from the same weights and data."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from machine import photographs
from PIL import Image
from published_form import published_form

from dynet import LARGE, SMALL, DyNet
from dynet.runtime.rng import generator

mpl.use("Agg")
STEPS, BATCH, CROP, SIGMA = 200, 4, 32, 25
SHAPE = {"dim": 16, "prompt_channels": (16, 32, 64), "prompt_sizes": (16, 8, 4), "refinement_blocks": 2}


def _clean() -> torch.Tensor:
    """Return (images, 3, H, W): a few small photographs."""
    photos = [Image.open(path).convert("RGB").resize((192, 128)) for path in photographs()[:8]]
    return torch.from_numpy(np.stack([np.asarray(photo) for photo in photos])).permute(0, 3, 1, 2).float() / 255


def _batch(images: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = generator(0, "curves", step)
    crops = []
    for _ in range(BATCH):
        which, top, left = (int(random.integers(high)) for high in (len(images), 128 - CROP, 192 - CROP))
        crops.append(images[which, :, top : top + CROP, left : left + CROP])
    clean = torch.stack(crops)
    noise = random.standard_normal(clean.shape, dtype=np.float32) * (SIGMA / 255)
    return clean + torch.from_numpy(noise), clean


def losses(*, ours: bool) -> list[float]:
    """Return the L1 loss of each step with Adam; S and L alternate."""
    torch.manual_seed(0)
    model = DyNet(**SHAPE)
    network = model if ours else published_form(model)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4, fused=ours)
    images, values = _clean(), []
    for step in range(STEPS):
        degraded, clean = _batch(images, step)
        loss = (network(degraded, (SMALL, LARGE)[step % 2]) - clean).abs().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(loss.item())
    return values


def draw(file: Path) -> dict[str, float]:
    """Write the plot; return the last losses (means of 20 steps) and the largest gap between the curves."""
    from matplotlib import pyplot

    published, ours = losses(ours=False), losses(ours=True)
    figure, axes = pyplot.subplots(figsize=(7, 4), constrained_layout=True)
    axes.plot(published, color="tab:orange", linewidth=3, alpha=0.6, label="published form")
    axes.plot(ours, color="tab:blue", linewidth=1, label="ours")
    axes.set(xlabel="step", ylabel="L1 loss", title=f"Noise of σ {SIGMA}, width {SHAPE['dim']}, S and L by turns")
    axes.set_yscale("log")
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    gap = max(abs(a - b) / a for a, b in zip(published, ours, strict=True))
    last = {"published": float(np.mean(published[-20:])), "ours": float(np.mean(ours[-20:]))}
    return {**{name: round(value, 5) for name, value in last.items()}, "largest_gap_percent": round(100 * gap, 2)}
