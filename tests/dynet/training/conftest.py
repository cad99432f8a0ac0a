"""The fixture that trains a small network from the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

Command = Callable[..., tuple[int, str, str]]
Text = Callable[..., str]


@pytest.fixture
def train(data_set: Path, tmp_path: Path, recipe_text: Text, dynet_command: Command) -> Command:
    """Run `dynet train` by train(stage, out, *more arguments, **recipe keys)."""

    def run(stage: str, out: Path, *more: object, **keys: object) -> tuple[int, str, str]:
        AcceleratorState._reset_state()  # accelerate expects one training per process
        recipe = tmp_path / f"{stage}.yaml"
        recipe.write_text(recipe_text(stage, **keys))
        arguments = ("--data", data_set, "--stage", stage, "--config", recipe, "--out", out, "--device", "cpu")
        return dynet_command("train", *arguments, *more)

    return run
