"""The weights that the repository holds: what a clone restores with, and what the pages say of them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dynet import DyNet
from dynet.config.recipe import load_recipe
from dynet.evaluation.metrics import psnr
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import locate_weights, read_header

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "benchmarks" / "weights" / "dynet-noise-rain"
if not KEPT.is_dir():
    pytest.skip("a distribution of the source holds no weights", allow_module_level=True)
RESULTS = json.loads((KEPT / "results" / "aio-paper.json").read_text(encoding="utf-8"))
ROWS = {(row["benchmark"], row.get("sigma"), row["variant"]): row for row in RESULTS["results"]}


def test_the_figures_are_of_these_weights_and_their_recipes_are_valid() -> None:
    assert RESULTS["weights"]["sha256"] == sha256_of(locate_weights(KEPT))
    training = read_header(locate_weights(KEPT)).training
    assert training is not None
    assert training.start is not None
    assert training.start.training is not None
    recipe, before = load_recipe(KEPT / "recipe.yaml", "finetune"), load_recipe(KEPT / "pretrain.yaml", "pretrain")
    assert (recipe.steps, before.steps) == (training.steps, training.start.training.steps)
    assert max(file.stat().st_size for file in KEPT.glob("*.safetensors")) <= 15e6


def test_the_page_has_the_figures_of_the_evaluation() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for variant, name in (("input", "the input itself"), ("S", "ours, S"), ("L", "ours, L")):
        (line,) = re.findall(rf"^\| {name} \| (.*)$", page, re.MULTILINE)
        figures = re.findall(r"(\d\d\.\d\d) / (0\.\d{4})", line)
        keys = [("Rain100L", None), *(("CBSD68", sigma) for sigma in (15, 25, 50))]
        rows = [ROWS[*key, variant] for key in keys]
        assert figures == [(f"{row['psnr']['mean']:.2f}", f"{row['ssim']['mean']:.4f}") for row in rows]
        assert f"({rows[0]['images']} images)" in line


@pytest.mark.parametrize("variant", [0, 1])
def test_the_shipped_weights_remove_noise(variant: int) -> None:
    photo = pytest.importorskip("skimage.data").astronaut()[:128, 160:288].astype(np.float32) / 255
    noisy = photo + np.random.default_rng(0).normal(0, 25 / 255, photo.shape).astype(np.float32)
    model = DyNet.from_pretrained(KEPT)
    with torch.inference_mode():
        x = torch.from_numpy(noisy).permute(2, 0, 1)[None].contiguous()
        restored = model(x, model.variants[variant])[0].permute(1, 2, 0).numpy()
    assert psnr(restored, photo) > psnr(noisy, photo) + 7
