"""Fixtures for the tests of inference."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from dynet import DyNet, ReuseSchedule, Variant

TINY = {"dim": 4, "heads": (1, 1, 2, 2), "prompts": 3, "prompt_channels": (4, 4, 8), "prompt_sizes": (8, 4, 2)}
SHALLOW = Variant("T", ReuseSchedule(1, 1, 2, 2))


@pytest.fixture(scope="session", autouse=True)
def _allocator_stays_unchanged() -> Iterator[None]:
    """Leave the allocator alone: a setting for the whole process would also affect later tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynet.inference.memory.keep_small_freed_blocks", lambda: False)
        yield


@pytest.fixture(scope="session")
def denoiser(photographs: list[np.ndarray]) -> DyNet:
    """Train a tiny network for some seconds to remove noise of 25 levels; its variant is T."""
    torch.manual_seed(0)
    model = DyNet(**TINY, refinement_blocks=1)
    model.variants = (SHALLOW,)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(80):
        crops = [photo[(step * 16) % 200 :][:48, (step * 24) % 300 :][:, :48] for photo in photographs]
        clean = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 255
        noisy = clean + torch.randn(clean.shape) * 25 / 255
        loss = (model(noisy, SHALLOW) - clean).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.8 * (noisy - clean).abs().mean()
    return model.eval()


@pytest.fixture(scope="session")
def noisy_photograph(photographs: list[np.ndarray]) -> np.ndarray:
    """(H, W, 3) in [0, 1] with noise of 25 levels, 400×600."""
    noise = np.random.default_rng(0).normal(0, 25, photographs[1].shape)
    return np.clip((photographs[1] + noise) / 255, 0, 1).astype(np.float32)
