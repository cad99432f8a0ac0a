"""A training that is killed before any of its file operations is accepted again, and ends in the same bytes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.killed_commands import NEVER, attempts_of, check_attempts

Text = Callable[..., str]
TRAIN_IMPORTS = ["tensorboard", "safetensors.torch", "dynet.training.trainer", "dynet.data.sources"]


def _train(folder: Path, data_set: Path, recipe_text: Text, points: Sequence[int]) -> list[dict[str, Any]]:
    recipe = folder / "recipe.yaml"
    keys = {"steps": 3, "checkpoint_every": 1, "preview_every": 2, "workers": 0, "keep_checkpoints": 2, "ema": 0.9}
    recipe.write_text(recipe_text("pretrain", **keys, validation={"every": 2, "pictures": 1}))
    arguments = ["train", "--data", data_set, "--stage", "pretrain", "--config", recipe, "--out", folder / "out"]
    return attempts_of(
        folder,
        points,
        imports=TRAIN_IMPORTS,
        program="dynet.cli.app",
        arguments=[*map(str, arguments), "--device", "cpu"],
        resume=["--resume"],
        compare=["weights.safetensors", "validation.jsonl", "checkpoints/best.safetensors", "run.json"],
    )


@pytest.mark.full
def test_a_training_killed_at_its_start_is_accepted_again(tmp_path: Path, data_set: Path, recipe_text: Text) -> None:
    attempts = _train(tmp_path, data_set, recipe_text, [10, 12, 13, 60, NEVER])
    check_attempts(attempts, attempts[-1]["digests"])


@pytest.mark.full
@pytest.mark.timeout(3000)
def test_a_training_killed_at_every_file_operation_ends_in_the_same_bytes(
    tmp_path: Path, data_set: Path, recipe_text: Text
) -> None:
    attempts = _train(tmp_path, data_set, recipe_text, [])
    assert len(attempts) > 80
    check_attempts(attempts, attempts[-1]["digests"])
