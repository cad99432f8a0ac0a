"""A training and a restoration on a disk with short writes, and with an error at one of their operations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.disk_faults import FaultyDisk, check_failing_operations, check_same_results

pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]


@pytest.fixture
def training(tmp_path: Path, data_set: Path, recipe_text: Callable[..., str]) -> FaultyDisk:
    keys = {"steps": 3, "checkpoint_every": 1, "preview_every": 2, "workers": 0, "ema": 0.9}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_text("pretrain", **keys, validation={"every": 2, "pictures": 1}))
    arguments = ["train", "--data", data_set, "--stage", "pretrain", "--config", recipe]
    arguments += ["--out", tmp_path / "out", "--device", "cpu"]
    results = ["weights.safetensors", "validation.jsonl", "run.json"]
    return FaultyDisk("dynet.cli.app", arguments, tmp_path / "out", results, resume=("--resume",))


@pytest.fixture
def restoration(tmp_path: Path, tiny_weights: Path) -> FaultyDisk:
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(noise.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / "in" / f"{number}.png")
    arguments = ["restore", tmp_path / "in", "--weights", tiny_weights, "--out", tmp_path / "out", "--device", "cpu"]
    return FaultyDisk("dynet.cli.app", [*arguments, "--overwrite"], tmp_path / "out", ["."])


@pytest.mark.parametrize("kind", ["short", "clock"])
@pytest.mark.parametrize("name", ["training", "restoration"])
def test_short_writes_and_a_jumping_clock_change_nothing(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    check_same_results(request.getfixturevalue(name), kind)


@pytest.mark.parametrize("name", ["training", "restoration"])
def test_a_command_goes_on_after_a_failing_operation(name: str, request: pytest.FixtureRequest) -> None:
    check_failing_operations(request.getfixturevalue(name), tries=12)
