"""Train a tiny network for twelve steps from the command line, as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.dynet.conftest import _recipe_text, _write_patches

CHANGES: dict[str, object] = {
    "steps": 12,
    "checkpoint_every": 6,
    "preview_every": 12,
    "ema": 0.9,
    "frequency_loss": 0.1,
    "validation": {"every": 6, "pictures": 1},
    "tasks": {
        "denoise": {"degradations": [{"kind": "gaussian_noise", "sigma": [5, 50]}]},
        "deblock": {"degradations": [{"kind": "jpeg", "quality": [10, 60]}]},
        "derain": {"degradations": [{"kind": "rain"}]},
    },
}


def patches() -> list[np.ndarray]:
    """Four 96x96 patches of integer arithmetic alone, equal on every machine."""
    y, x = np.mgrid[:96, :96]
    return [
        np.stack([(x * (3 + n) + y * 5) % 256, (x * x + n * y) % 256, (x ^ (y + 17 * n)) % 256], 2).astype(np.uint8)
        for n in range(4)
    ]


def train(folder: Path) -> Path:
    """Return the run's folder."""
    _write_patches(folder / "set", patches())
    recipe = folder / "recipe.yaml"
    recipe.write_text(_recipe_text("finetune", **CHANGES))
    arguments = ["--data", folder / "set", "--stage", "finetune", "--config", recipe, "--out", folder / "run"]
    command = [sys.executable, "-m", "dynet", "train", *map(str, arguments), "--device", "cpu"]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=os.environ | one_thread)
    assert done.returncode == 0, json.dumps(done.stderr)
    return folder / "run"
