"""Tiles compared with the whole image: how much they differ, and whether a seam is visible."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.evaluation.metrics import psnr
from dynet.inference import restore
from dynet.inference.memory import DEFAULT_TILE
from dynet.inference.restore import RestoreOptions, prepare_for_inference, restore_rgb
from dynet.inference.tiling import tile_spans

CPU = torch.device("cpu")


def _restored(model: DyNet, rgb: np.ndarray, tile: int) -> np.ndarray:
    options = RestoreOptions(model=model, variants=model.variants, device=CPU, tile=tile)
    return restore_rgb(rgb, model.variants[0], options)


def _steps_at_edges_and_elsewhere(difference: np.ndarray, tile: int) -> tuple[float, float]:
    """Return the mean step of a difference, (H, W, 3), at columns where tiles begin or end, and at all others.

    A seam is a step with the same sign along the edge, so steps are averaged over 20 rows before taking the absolute
    value.
    """
    steps = np.diff(difference, axis=1)
    along = steps[: len(steps) // 20 * 20].reshape(-1, 20, *steps.shape[1:]).mean(axis=1)
    by_column = np.abs(along).mean(axis=(0, 2))
    spans = tile_spans(difference.shape[1], tile, tile // restore.OVERLAP)
    edges = np.unique([*(first for first, _ in spans[1:]), *(end for _, end in spans[:-1])]) - 1
    return float(by_column[edges].mean()), float(np.delete(by_column, edges).mean())


@pytest.mark.full
def test_tiles_leave_no_seam_and_differ_little_from_the_whole(
    denoiser: DyNet, noisy_photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = 160
    whole = _restored(denoiser, noisy_photograph, 4096)
    tiled = _restored(denoiser, noisy_photograph, tile)
    assert psnr(whole, noisy_photograph) < 32  # the network changes the image, so tiles could differ
    assert psnr(tiled, whole) > 45
    assert np.abs(tiled - whole).max() < 20 / 255
    at_edges, elsewhere = _steps_at_edges_and_elsewhere(tiled - whole, tile)
    assert at_edges < 1.25 * elsewhere
    # The measure detects a seam where there is one.
    monkeypatch.setattr(restore, "OVERLAP", 2**20)
    at_edges, elsewhere = _steps_at_edges_and_elsewhere(_restored(denoiser, noisy_photograph, tile) - whole, tile)
    assert at_edges > 3 * elsewhere


@pytest.mark.full
@pytest.mark.parametrize("window", [None, 72])
def test_tiles_of_a_2k_image_differ_little_from_the_whole(
    denoiser: DyNet, photographs: list[np.ndarray], window: int | None
) -> None:
    clean = np.asarray(Image.fromarray(photographs[1]).resize((2048, 1080), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).normal(0, 25, clean.shape)
    noisy = np.clip((clean + noise) / 255, 0, 1).astype(np.float32)
    model = copy.deepcopy(denoiser)
    prepare_for_inference(model, torch.float32, window)
    whole, tiled = (_restored(model, noisy, tile) for tile in (4096, DEFAULT_TILE))
    difference = tiled - whole
    print(f"\nwindow {window}: PSNR {psnr(tiled, whole):.1f} dB, most {np.abs(difference).max() * 255:.1f} levels")
    assert psnr(tiled, whole) > 47
    assert np.abs(difference).max() < 20 / 255
    at_edges, elsewhere = _steps_at_edges_and_elsewhere(difference, DEFAULT_TILE)
    assert at_edges < 1.25 * elsewhere
