"""A run that was interrupted or killed resumes to the same weights, bitwise."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from dynet import DyNet
from dynet.data.mix import Mix, TrainingExample
from dynet.errors import DataError
from tests.dynet.training.runs import load_weights, logged_steps, same_weights

Command = Callable[..., tuple[int, str, str]]
Text = Callable[..., str]
LONG = 30
SCHEDULES = {"S": {"schedule": [1, 1, 1, 1]}, "L": {"schedule": [1, 2, 2, 2]}, "M": {"schedule": [1, 1, 2, 1]}}
EVERYTHING: dict[str, object] = {
    "variants": SCHEDULES,
    "policy": "sandwich",
    "ema": 0.9,
    "gradient_clip": 0.1,
    "frequency_loss": 0.1,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "larger_crops": [{"from_step": 3, "crop": 24, "batch": 4}],
    "validation": {"every": 2, "pictures": 1},
}
"""Everything that a run may carry from one step to the next."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.mark.full
def test_a_resumed_run_ends_in_the_same_bytes_as_an_uninterrupted_one(train: Command, tmp_path: Path) -> None:
    for stage, keys in (("pretrain", {}), ("finetune", EVERYTHING)):
        whole, broken = tmp_path / f"{stage}-whole", tmp_path / f"{stage}-broken"
        assert train(stage, whole, **keys)[0] == 0
        assert train(stage, broken, **keys)[0] == 0
        # Back to the state of a run that was killed after its checkpoint at step 6.
        (broken / "weights.safetensors").unlink()
        (broken / "checkpoints" / "step-00000008.pt").unlink()
        (broken / "checkpoints" / "step-00000008.tmp").write_bytes(b"half of a checkpoint")
        with (broken / "metrics.jsonl").open("a") as file:
            file.write('{"step": 9, "half of a li')
        assert train(stage, broken, "--resume", **keys)[0] == 0
        assert (whole / "weights.safetensors").read_bytes() == (broken / "weights.safetensors").read_bytes()
        assert logged_steps(broken) == list(range(1, 9))
        for name in ("validation.jsonl", "checkpoints/best.safetensors"):
            assert (whole / name).exists() == (broken / name).exists() == bool(keys)
            assert not keys or (whole / name).read_bytes() == (broken / name).read_bytes()
        assert not list(broken.glob("**/*.tmp"))


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_compiled_run_in_bfloat16_resumes_to_the_same_bytes(train: Command, tmp_path: Path) -> None:
    keys = EVERYTHING | {"compile": True, "precision": "bf16", "larger_crops": []}
    for name in ("whole", "broken"):
        code, _, err = train("finetune", tmp_path / name, **keys)
        assert code == 0, err
    (tmp_path / "broken" / "weights.safetensors").unlink()
    (tmp_path / "broken" / "checkpoints" / "step-00000008.pt").unlink()
    assert train("finetune", tmp_path / "broken", "--resume", **keys)[0] == 0
    assert same_weights(tmp_path / "whole", tmp_path / "broken")


def _start(data_set: Path, recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    code = "from dynet.cli.app import main; main()"
    arguments = ["train", "--data", data_set, "--stage", "pretrain", "--config", recipe, "--out", out]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", code, *map(str, arguments), "--device", "cpu"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def _wait_for_steps(run: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (run / "metrics.jsonl").is_file() and len((run / "metrics.jsonl").read_text().splitlines()) >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"no {count} steps within two minutes")


@pytest.fixture(scope="module")
def long_recipe(folder: Path, recipe_text: Text) -> Path:
    keys = {"ema": 0.9, "validation": {"every": 6, "pictures": 1}, "checkpoint_every": 4, "preview_every": 100}
    (folder / "long.yaml").write_text(recipe_text("pretrain", steps=LONG, **keys))
    return folder / "long.yaml"


@pytest.fixture
def uninterrupted(folder: Path, data_set: Path, long_recipe: Path, dynet_command: Command) -> Path:
    if not (folder / "uninterrupted").exists():
        AcceleratorState._reset_state()
        arguments = ("--data", data_set, "--stage", "pretrain", "--config", long_recipe, "--device", "cpu")
        assert dynet_command("train", *arguments, "--out", folder / "uninterrupted")[0] == 0
    return folder / "uninterrupted"


def _start_and_kill(point: int, run: Path, data_set: Path, recipe: Path) -> None:
    process = _start(data_set, recipe, run)
    _wait_for_steps(run, point)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.full
def test_a_run_killed_by_sigkill_resumes_to_the_same_weights(
    tmp_path: Path, data_set: Path, long_recipe: Path, uninterrupted: Path, dynet_command: Command
) -> None:
    run = tmp_path / "run"
    _start_and_kill(10, run, data_set, long_recipe)
    assert not (run / "weights.safetensors").exists()
    code, _, err = _resume(dynet_command, data_set, long_recipe, run)
    assert code == 0, err
    assert same_weights(run, uninterrupted)
    assert logged_steps(run) == list(range(1, LONG + 1))


def _resume(command: Command, data_set: Path, recipe: Path, run: Path) -> tuple[int, str, str]:
    arguments = ("--data", data_set, "--stage", "pretrain", "--config", recipe, "--out", run, "--device", "cpu")
    return command("train", *arguments, "--resume")


@pytest.mark.full
@pytest.mark.parametrize("point", [1, 3, 4, 5, 8, 13, 17, 20, 24, 28])
def test_a_run_killed_at_any_step_resumes_to_the_same_weights(
    point: int, tmp_path: Path, data_set: Path, long_recipe: Path, uninterrupted: Path, dynet_command: Command
) -> None:
    run = tmp_path / "run"
    _start_and_kill(point, run, data_set, long_recipe)
    assert _resume(dynet_command, data_set, long_recipe, run)[0] == 0
    assert same_weights(run, uninterrupted)


@pytest.mark.parametrize("stage", ["finetune", pytest.param("pretrain", marks=pytest.mark.full)])
@pytest.mark.full
def test_two_processes_train_the_same_weights_as_one_within_rounding(
    stage: str, tmp_path: Path, data_set: Path, recipe_text: Text, train: Command
) -> None:
    # A small learning rate, since Adam turns the rounding of a gradient near zero into a whole step.
    keys = {"batch": 4, "learning_rate": 1e-5} | (EVERYTHING if stage == "finetune" else {})
    assert train(stage, tmp_path / "one", **keys)[0] == 0
    recipe = tmp_path / "two.yaml"
    recipe.write_text(recipe_text(stage, **keys))
    arguments = ["--data", data_set, "--stage", stage, "--config", recipe, "--out", tmp_path / "two", "--device", "cpu"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "dynet", "train"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([*map(str, [*command, *arguments])], env=environment, check=True, timeout=240)
    assert logged_steps(tmp_path / "two") == list(range(1, 9))
    for log in ("metrics.jsonl", "validation.jsonl")[: 2 if stage == "finetune" else 1]:
        one, two = ([json.loads(line) for line in (tmp_path / name / log).open()] for name in ("one", "two"))
        for key in ("loss", "gradient_norm", "mean"):
            mine, theirs = ([line.get(key, 0.0) for line in lines] for lines in (one, two))
            assert theirs == pytest.approx(mine, abs=1e-4 if key == "mean" else 1e-5)
    for name, tensor in load_weights(tmp_path / "one").items():
        torch.testing.assert_close(load_weights(tmp_path / "two")[name], tensor, atol=1e-4, rtol=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.full)])
@pytest.mark.full
def test_a_signal_saves_a_checkpoint_and_exits_130(
    number: signal.Signals, tmp_path: Path, data_set: Path, recipe_text: Text
) -> None:
    recipe = tmp_path / "r.yaml"
    # No checkpoint is due, so the one in the folder was written because of the signal.
    recipe.write_text(recipe_text("pretrain", steps=5000, checkpoint_every=5000, preview_every=5000))
    process = _start(data_set, recipe, tmp_path / "run")
    _wait_for_steps(tmp_path / "run", 3)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.decode().strip().splitlines()[-1]
    done = logged_steps(tmp_path / "run")[-1]
    assert last == f"dynet: stopped after step {done} of 5000; --resume goes on from there"
    assert [file.name for file in (tmp_path / "run" / "checkpoints").iterdir()] == [f"step-{done:08d}.pt"]


def test_data_out_of_reach_in_the_middle_of_a_run_loses_no_step(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"checkpoint_every": 100, "preview_every": 100}
    example = Mix.example

    def fail_at_step_5(self: Mix, step: int, index: int, size: int) -> TrainingExample:
        if step == 5:
            raise DataError("row group 3 of user/name cannot be fetched")
        return example(self, step, index, size)

    monkeypatch.setattr(Mix, "example", fail_at_step_5)
    code, _, err = train("pretrain", tmp_path / "run", **keys)
    assert (code, err.splitlines()[-1]) == (2, "dynet: row group 3 of user/name cannot be fetched")
    assert logged_steps(tmp_path / "run") == list(range(1, 6))
    monkeypatch.undo()
    assert train("pretrain", tmp_path / "run", "--resume", **keys)[0] == 0
    assert train("pretrain", tmp_path / "whole", **keys)[0] == 0
    assert same_weights(tmp_path / "run", tmp_path / "whole")


def test_running_out_of_memory_names_the_settings_and_loses_no_step(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, steps_left = DyNet.forward, [3]

    def fail_after_three_steps(self: DyNet, *arguments: object) -> torch.Tensor:
        steps_left[0] -= 1
        if steps_left[0] < 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, *arguments)

    monkeypatch.setattr(DyNet, "forward", fail_after_three_steps)
    keys = {"steps": 6, "preview_every": 100, "checkpoint_every": 100}
    code, _, err = train("pretrain", tmp_path / "run", **keys)
    assert code == 1
    last = err.splitlines()[-1]
    assert "out of memory in step 4 with batch: 2 and crop: 16; set gradient_checkpointing: true" in last
    monkeypatch.undo()
    code, _, err = train("pretrain", tmp_path / "run", "--resume", **keys, gradient_checkpointing=True)
    assert code == 0, err
    assert train("pretrain", tmp_path / "whole", **keys)[0] == 0
    assert same_weights(tmp_path / "run", tmp_path / "whole")
