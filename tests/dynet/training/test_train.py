"""Training from the command line: what a run leaves, how it resumes, and how it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from PIL import Image

from dynet import DyNet
from dynet.config.config_types import StrictModel
from dynet.data.mix import TrainingExample, Mix
from dynet.errors import DataError
from dynet.model.weights import read_header

Command = Callable[..., tuple[int, str, str]]
Text = Callable[..., str]
LONG = 30
VARIANTS = {"S": {"schedule": [1, 1, 1, 1]}, "L": {"schedule": [1, 2, 2, 2]}}
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
"""Whatever a run may carry from one step to the next."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.fixture
def train(data_set: Path, tmp_path: Path, recipe_text: Text, dynet_command: Command) -> Command:
    """train(stage, out, *more arguments, **recipe keys)."""

    def run(stage: str, out: Path, *more: object, **keys: object) -> tuple[int, str, str]:
        AcceleratorState._reset_state()  # one process is one training to accelerate; here it is many
        recipe = tmp_path / f"{stage}.yaml"
        recipe.write_text(recipe_text(stage, **keys))
        arguments = ("--data", data_set, "--stage", stage, "--config", recipe, "--out", out, "--device", "cpu")
        return dynet_command("train", *arguments, *more)

    return run


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return DyNet.from_pretrained(run).state_dict()


def _same(one: Path, two: Path) -> bool:
    a, b = _weights(one), _weights(two)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_weights_metrics_previews_and_a_bounded_number_of_checkpoints(
    train: Command, tmp_path: Path
) -> None:
    code, out, err = train("pretrain", tmp_path / "run")
    assert code == 0, err
    assert out == f"{tmp_path / 'run' / 'weights.safetensors'}\n"
    run = tmp_path / "run"
    assert sorted(file.name for file in (run / "checkpoints").iterdir()) == ["step-00000006.pt", "step-00000008.pt"]
    assert sorted(file.name for file in (run / "previews").iterdir()) == ["step-00000004.png", "step-00000008.png"]
    assert list((run / "tensorboard").glob("events*"))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert {line["variant"] for line in lines} == {"S", "L"}
    assert all(line["stage"] == "pretrain" and line["lr"] == 1e-3 and line["images_per_s"] > 0 for line in lines)
    assert all(line["cpu_mb"] > 100 and 0 <= line["data_wait"] <= 1 for line in lines)
    assert [variant.name for variant in DyNet.from_pretrained(run).variants] == ["S", "L"]
    assert Image.open(run / "previews" / "step-00000008.png").size[0] > 4 * 160  # input, S, L and target


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
        assert _steps(broken) == list(range(1, 9))
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
    assert _same(tmp_path / "whole", tmp_path / "broken")


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
        given = ("--data", data_set, "--stage", "pretrain", "--config", long_recipe, "--device", "cpu")
        assert dynet_command("train", *given, "--out", folder / "uninterrupted")[0] == 0
    return folder / "uninterrupted"


def _start_and_kill(point: int, run: Path, data_set: Path, recipe: Path) -> None:
    process = _start(data_set, recipe, run)
    _wait_for_steps(run, point)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_run_killed_by_sigkill_resumes_to_the_same_weights(
    tmp_path: Path, data_set: Path, long_recipe: Path, uninterrupted: Path, dynet_command: Command
) -> None:
    run = tmp_path / "run"
    _start_and_kill(10, run, data_set, long_recipe)
    assert not (run / "weights.safetensors").exists()
    code, _, err = _resume(dynet_command, data_set, long_recipe, run)
    assert code == 0, err
    assert _same(run, uninterrupted)
    assert _steps(run) == list(range(1, LONG + 1))


def _resume(command: Command, data_set: Path, recipe: Path, run: Path) -> tuple[int, str, str]:
    given = ("--data", data_set, "--stage", "pretrain", "--config", recipe, "--out", run, "--device", "cpu")
    return command("train", *given, "--resume")


@pytest.mark.full
@pytest.mark.parametrize("point", [1, 3, 4, 5, 8, 13, 17, 20, 24, 28])
def test_wherever_it_is_killed_it_resumes_to_the_same_weights(
    point: int, tmp_path: Path, data_set: Path, long_recipe: Path, uninterrupted: Path, dynet_command: Command
) -> None:
    run = tmp_path / "run"
    _start_and_kill(point, run, data_set, long_recipe)
    assert _resume(dynet_command, data_set, long_recipe, run)[0] == 0
    assert _same(run, uninterrupted)


@pytest.mark.parametrize("stage", ["finetune", pytest.param("pretrain", marks=pytest.mark.full)])
def test_two_processes_give_what_one_gives_within_rounding(
    stage: str, tmp_path: Path, data_set: Path, recipe_text: Text, train: Command
) -> None:
    # A small rate: Adam turns the rounding of a gradient near zero into a whole step.
    keys = {"batch": 4, "learning_rate": 1e-5} | (EVERYTHING if stage == "finetune" else {})
    assert train(stage, tmp_path / "one", **keys)[0] == 0
    recipe = tmp_path / "two.yaml"
    recipe.write_text(recipe_text(stage, **keys))
    arguments = ["--data", data_set, "--stage", stage, "--config", recipe, "--out", tmp_path / "two", "--device", "cpu"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "dynet", "train"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([*map(str, [*command, *arguments])], env=environment, check=True, timeout=240)
    assert _steps(tmp_path / "two") == list(range(1, 9))
    for log in ("metrics.jsonl", "validation.jsonl")[: 2 if stage == "finetune" else 1]:
        one, two = ([json.loads(line) for line in (tmp_path / name / log).open()] for name in ("one", "two"))
        for key in ("loss", "gradient_norm", "mean"):
            mine, theirs = ([line.get(key, 0.0) for line in lines] for lines in (one, two))
            assert theirs == pytest.approx(mine, abs=1e-4 if key == "mean" else 1e-5)
    for name, tensor in _weights(tmp_path / "one").items():
        torch.testing.assert_close(_weights(tmp_path / "two")[name], tensor, atol=1e-4, rtol=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.full)])
def test_a_signal_saves_a_checkpoint_and_exits_130(
    number: signal.Signals, tmp_path: Path, data_set: Path, recipe_text: Text
) -> None:
    recipe = tmp_path / "r.yaml"
    # No checkpoint is due: the one that is found was written because of the signal.
    recipe.write_text(recipe_text("pretrain", steps=5000, checkpoint_every=5000, preview_every=5000))
    process = _start(data_set, recipe, tmp_path / "run")
    _wait_for_steps(tmp_path / "run", 3)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.decode().strip().splitlines()[-1]
    done = _steps(tmp_path / "run")[-1]
    assert last == f"dynet: stopped after step {done} of 5000; --resume goes on from there"
    assert [file.name for file in (tmp_path / "run" / "checkpoints").iterdir()] == [f"step-{done:08d}.pt"]


def test_a_finished_run_says_so_and_an_existing_one_is_not_written_over(train: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train("pretrain", run, "--steps", 2)[0] == 0
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*") if file.name == "weights.safetensors"}
    code, out, _ = train("pretrain", run, "--steps", 2, "--resume")
    assert code == 0
    assert "finished" in out
    code, _, err = train("pretrain", run, "--steps", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "already holds a run (2 steps done)" in err
    assert before == {file: file.stat().st_mtime_ns for file in before}


@pytest.mark.parametrize(
    ("stage", "arguments", "keys", "said"),
    [
        ("pretrain", ("--steps", 3), {}, "scheduled for 2 steps, not 3"),
        ("pretrain", ("--steps", 3), {}, "--init"),
        ("pretrain", ("--steps", 2), {"learning_rate": 1e-4}, "another learning_rate"),
        ("pretrain", ("--steps", 2), {"seed": 9}, "another seed"),
        ("pretrain", ("--steps", 2), {"variants": dict(sorted(VARIANTS.items()))}, "another variants"),
        ("finetune", ("--steps", 3), {}, "holds a pretrain run"),
    ],
)
def test_resuming_another_run_is_refused_in_one_line(
    train: Command,
    tmp_path: Path,
    stage: str,
    arguments: tuple[object, ...],
    keys: dict[str, object],
    said: str,
) -> None:
    assert train("pretrain", tmp_path / "run", "--steps", 2, variants=VARIANTS)[0] == 0
    code, _, err = train(stage, tmp_path / "run", "--resume", *arguments, **{"variants": VARIANTS} | keys)
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


def test_what_only_serves_to_watch_may_change_at_a_resumption(train: Command, tmp_path: Path) -> None:
    assert train("pretrain", tmp_path / "run", "--steps", 2)[0] == 0
    (tmp_path / "run" / "weights.safetensors").unlink()
    assert train("pretrain", tmp_path / "run", "--steps", 2, "--resume", preview_every=7, log_every=2)[0] == 0


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(train: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    code, _, err = train("pretrain", tmp_path / "mine")
    assert (code, err.count("\n")) == (2, 1)
    assert "thesis.txt" in err
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_run_that_is_going_on_is_not_joined(train: Command, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, _, err = train("pretrain", tmp_path / "run")
    assert (code, err.count("\n")) == (2, 1)
    assert "is in use: another run is writing to it" in err


def test_fine_tuning_starts_from_init_and_refuses_another_width(
    train: Command, tmp_path: Path, tiny_weights: Path
) -> None:
    # Steps so small that they change nothing: what comes out is what went in.
    code, _, err = train("finetune", tmp_path / "run", "--init", tiny_weights, steps=3, learning_rate=1e-30)
    assert code == 0, err
    for name, tensor in _weights(tiny_weights.parent).items():
        torch.testing.assert_close(_weights(tmp_path / "run")[name], tensor, atol=1e-20, rtol=0)
    wide = {"dim": 8, "heads": [1, 1, 2, 2], "refinement_blocks": 1}
    code, _, err = train("finetune", tmp_path / "wide", "--init", tiny_weights, network=wide)
    assert (code, err.count("\n")) == (2, 1)
    assert "is of another network: the recipe's has dim 8 instead of 4" in err
    assert not (tmp_path / "wide").exists()


def test_data_that_is_out_of_reach_in_mid_run_loses_no_step(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"checkpoint_every": 100, "preview_every": 100}
    example = Mix.example

    def gone_at_step_5(self: Mix, step: int, index: int, size: int) -> TrainingExample:
        if step == 5:
            raise DataError("row group 3 of user/name cannot be fetched")
        return example(self, step, index, size)

    monkeypatch.setattr(Mix, "example", gone_at_step_5)
    code, _, err = train("pretrain", tmp_path / "run", **keys)
    assert (code, err.splitlines()[-1]) == (2, "dynet: row group 3 of user/name cannot be fetched")
    assert _steps(tmp_path / "run") == list(range(1, 6))
    monkeypatch.undo()
    assert train("pretrain", tmp_path / "run", "--resume", **keys)[0] == 0
    assert train("pretrain", tmp_path / "whole", **keys)[0] == 0
    assert _same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("record", ["{", "{}", "[1]"])
def test_a_run_whose_record_is_damaged_is_told_in_one_line(train: Command, tmp_path: Path, record: str) -> None:
    assert train("pretrain", tmp_path / "run", "--steps", 2)[0] == 0
    (tmp_path / "run" / "run.json").write_text(record)
    code, _, err = train("pretrain", tmp_path / "run", "--resume", "--steps", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "run.json, which identifies the run, is missing or damaged" in err


def test_a_checkpoint_without_a_tensor_is_told_in_one_line(train: Command, tmp_path: Path) -> None:
    assert train("pretrain", tmp_path / "run", "--steps", 2)[0] == 0
    (tmp_path / "run" / "weights.safetensors").unlink()
    file = tmp_path / "run" / "checkpoints" / "step-00000002.pt"
    state = torch.load(file, weights_only=True)
    del state["model"]["output.weight"]
    torch.save(state, file)
    code, _, err = train("pretrain", tmp_path / "run", "--resume", "--steps", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "the checkpoint of step 2 does not fit" in err


def test_a_checkpoint_that_finds_no_room_is_one_line(train: Command, tmp_path: Path, data_set: Path) -> None:
    script = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    script += "resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM)); from dynet.cli.app import main; main()"
    assert train("pretrain", tmp_path / "run", "--steps", 2, checkpoint_every=1)[0] == 0
    size = (tmp_path / "run" / "checkpoints" / "step-00000002.pt").stat().st_size
    code = script.replace("ROOM", str(size // 2))
    arguments = [tmp_path / "pretrain.yaml", "--out", tmp_path / "full", "--device", "cpu"]
    command = [sys.executable, "-c", code, "train", "--data", data_set, "--stage", "pretrain", "--config", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"dynet: {tmp_path / 'full' / 'checkpoints'}")
    assert "cannot be written: is the disk full?" in done.stderr
    assert not list((tmp_path / "full" / "checkpoints").iterdir())
    assert "Traceback" not in done.stderr


def test_repeats_of_their_own_are_added_to_weights_without_them_but_not_taken_away(
    train: Command, tmp_path: Path, tiny_weights: Path, recipe_text: Text
) -> None:
    network = yaml.safe_load(recipe_text("finetune"))["network"]
    code, _, err = train("finetune", tmp_path / "own", "--init", tiny_weights, network=network | {"per_repeat": 2})
    assert code == 0, err
    trained = _weights(tmp_path / "own")
    own = [name for name in trained if ".repeat_" in name]
    assert own
    assert all(trained[name].abs().max() > 0 for name in own)
    code, _, err = train("finetune", tmp_path / "back", "--init", tmp_path / "own", network=network)
    assert code == 2
    assert "the recipe's has per_repeat 0 instead of 2" in err


def test_a_loss_that_is_not_a_number_stops_with_one_line_and_its_batch(train: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, _, err = train("finetune", run, steps=6, batch=4, learning_rate=1e9, checkpoint_every=1, warmup_steps=0)
    assert code == 1
    assert "the loss of step 2" in err.splitlines()[-1]
    assert _steps(run) == [1]
    assert not (run / "weights.safetensors").exists()
    assert [file.name for file in (run / "checkpoints").iterdir()] == ["step-00000001.pt"]
    saved = torch.load(run / "diverged" / "step-00000002.pt", weights_only=True)
    assert str(run / "diverged" / "step-00000002.pt") in err
    assert (saved["step"], saved["tasks"]) == (2, ["denoise"] * 4)
    assert saved["degraded"].shape == saved["clean"].shape == (4, 3, 16, 16)
    assert 0.01 < (saved["degraded"] - saved["clean"]).abs().mean() < 0.3


def test_too_little_memory_is_one_line_that_names_the_settings_and_loses_no_step(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, left = DyNet.forward, [3]

    def full_after_three(self: DyNet, *arguments: object) -> torch.Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, *arguments)

    monkeypatch.setattr(DyNet, "forward", full_after_three)
    keys = {"steps": 6, "preview_every": 100, "checkpoint_every": 100}
    code, _, err = train("pretrain", tmp_path / "run", **keys)
    assert code == 1
    last = err.splitlines()[-1]
    assert "out of memory in step 4 with batch: 2 and crop: 16; set gradient_checkpointing: true" in last
    monkeypatch.undo()
    code, _, err = train("pretrain", tmp_path / "run", "--resume", **keys, gradient_checkpointing=True)
    assert code == 0, err
    assert train("pretrain", tmp_path / "whole", **keys)[0] == 0
    assert _same(tmp_path / "run", tmp_path / "whole")


def test_every_task_and_variant_is_validated_and_the_best_weights_are_kept(train: Command, tmp_path: Path) -> None:
    noise = {"kind": "gaussian_noise", "sigma": 15}
    tasks = {"light": {"degradations": [noise]}, "heavy": {"degradations": [noise | {"sigma": 75}]}}
    run = tmp_path / "run"
    validation = {"every": 2, "pictures": 1}
    code, _, err = train("finetune", run, tasks=tasks, validation=validation, learning_rate=0.02, steps=8)
    assert code == 0, err
    lines = [json.loads(line) for line in (run / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    for line in lines:
        assert {task: set(of) for task, of in line["psnr"].items()} == {"light": {"S", "L"}, "heavy": {"S", "L"}}
        values = [db for of in line["psnr"].values() for db in of.values()]
        assert line["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    best = read_header(run / "checkpoints" / "best.safetensors").notes
    top = max(lines, key=lambda line: line["mean"])
    assert best["steps"] == str(top["step"])
    assert best["validation"] == f"{top['mean']:.4f} dB"
    assert Image.open(run / "previews" / "step-00000008.png").size[1] < 3 * 200  # one row a task


def test_validation_on_the_only_picture_is_refused(
    train: Command, tmp_path: Path, write_patches: Callable[..., None], photographs: list[np.ndarray]
) -> None:
    write_patches(tmp_path / "few", [photographs[0][:64, :64]])
    few = ("--data", tmp_path / "few")
    code, _, err = train("pretrain", tmp_path / "run", *few, validation={"every": 2, "pictures": 1})
    assert (code, err.count("\n")) == (2, 1)
    assert "holds one picture" in err
    assert not (tmp_path / "run").exists()


def test_an_averaged_run_leaves_the_average_and_resumes_from_the_weights_themselves(
    train: Command, tmp_path: Path
) -> None:
    assert train("pretrain", tmp_path / "run", ema=0.9)[0] == 0
    assert train("pretrain", tmp_path / "plain")[0] == 0
    assert not _same(tmp_path / "run", tmp_path / "plain")
    newest = torch.load(tmp_path / "run" / "checkpoints" / "step-00000008.pt", weights_only=True)
    assert all(torch.equal(newest["model"][name], tensor) for name, tensor in _weights(tmp_path / "plain").items())
    assert all(torch.equal(newest["average"][name], tensor) for name, tensor in _weights(tmp_path / "run").items())


def test_wandb_that_is_not_there_is_told_in_one_line(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, _, err = train("pretrain", tmp_path / "run", wandb="restoration")
    assert (code, err.splitlines()[-1]) == (2, "dynet: wandb is not installed: pip install 'million-ird[wandb]'")


def test_wandb_gets_what_tensorboard_gets(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is an extra")
    monkeypatch.setenv("WANDB_MODE", "offline")
    code, _, err = train("pretrain", tmp_path / "run", wandb="restoration", steps=3)
    assert code == 0, err
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))


def test_the_rate_of_the_recipe_is_the_rate_of_the_steps(train: Command, tmp_path: Path) -> None:
    assert train("finetune", tmp_path / "run", learning_rate=0.01)[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(line["lr"] for line in lines) == 0.01
    assert lines[0]["lr"] > 0
    assert lines[-1]["lr"] < 0.001


def test_bf16_and_workers_train_too(train: Command, tmp_path: Path) -> None:
    code, _, err = train("pretrain", tmp_path / "run", steps=3, precision="bf16", workers=2)
    assert code == 0, err
    assert all(np.isfinite(tensor).all() for tensor in _weights(tmp_path / "run").values())


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_every_key_of_a_recipe_is_read(
    stage: str, train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[type, set[str]] = {}

    def spying(self: StrictModel, name: str) -> object:
        seen.setdefault(type(self), set()).add(name)
        return object.__getattribute__(self, name)

    monkeypatch.setattr(StrictModel, "__getattribute__", spying)
    kinds = [{"kind": "gaussian_noise", "sigma": 25}, {"kind": "jpeg", "quality": 30}]
    if stage == "pretrain":
        keys: dict[str, object] = {"corruption": {"share": 0.5, "cell": 4, "degradations": kinds}}
    else:
        keys = {"tasks": {"one": {"degradations": kinds}, "two": {"weight": 2, "degradations": kinds}}}
    keys |= {"validation": {"every": 3, "pictures": 1}, "larger_crops": [{"from_step": 4, "crop": 24, "batch": 2}]}
    assert train(stage, tmp_path / "run", steps=6, batch=4, **keys)[0] == 0
    unread = {
        f"{section.__name__}.{name}"
        for section, names in seen.items()
        for name in set(section.model_fields) - names - {"kind"}
    }
    assert unread == set()


def test_a_crop_larger_than_the_pictures_is_told_in_one_line_also_from_a_worker(train: Command, tmp_path: Path) -> None:
    for workers in (0, 1):
        code, _, err = train("pretrain", tmp_path / f"run{workers}", crop=256, workers=workers)
        assert code == 2
        assert err.endswith("has 128x128 pixels, too few for crop: 256\n")
        assert err.count("\n") == 1
