"""The command line of dynet: its public names, bad arguments, signals, and what importing it costs."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import dynet

Command = Callable[..., tuple[int, str, str]]


def test_help_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom dynet.cli.app import _run\n_run(['train', '--help'])\n"
        "assert not {'torch', 'accelerate', 'datasets', 'cv2'} & set(sys.modules), 'heavy imports'"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--resume" in done.stdout
    assert time.perf_counter() - start < 5  # 0.3 s on an idle machine


def test_dynet_never_imports_million_ird() -> None:
    sources = Path(dynet.__file__).parent.rglob("*.py")
    assert [source.name for source in sources if "import million_ird" in source.read_text()] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tarin"], "tarin"),
        (["train", "--stage", "pretrian"], "--stage"),
        (["train", "--stage", "pretrain", "--config", "nope.yaml", "--out", "o", "--data", "d"], "nope.yaml: no such"),
        (["train", "--stage", "pretrain", "--config", "demo_pretrain.yaml", "--out", "o", "--data", "d"], "--data d:"),
        (
            ["train", "--stage", "finetune", "--config", "demo_pretrain.yaml", "--out", "o", "--data", "d"],
            "not 'finetune'",
        ),
        (["train", "--steps", "0"], "--steps"),
        (["convert", "missing.ckpt", "w.safetensors"], "missing.ckpt: no such file"),
    ],
    ids=str,
)
def test_unusable_arguments_are_one_line_and_exit_2(
    dynet_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stdout, err = dynet_command(*arguments)
    assert (code, stdout, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_an_unavailable_device_is_refused_before_anything_is_written(
    dynet_command: Command, tmp_path: Path, data_set: Path, tiny_weights: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    arguments = ("--data", data_set, "--stage", "pretrain", "--config", "demo_pretrain.yaml", "--out", tmp_path / "run")
    code, _, err = dynet_command("train", *arguments, "--device", "cuda")
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "run").exists()


def test_convert_lists_the_weights_that_it_leaves_out(
    dynet_command: Command, tmp_path: Path, random_state: Callable[[int], dict[str, torch.Tensor]]
) -> None:
    torch.save(random_state(0), tmp_path / "r.ckpt")
    code, stdout, _ = dynet_command("convert", tmp_path / "r.ckpt", tmp_path / "w.safetensors")
    assert code == 0
    assert stdout.count("left out (never used by the network): reduce_noise_channel_") == 3
    assert (tmp_path / "w.safetensors").is_file()


@pytest.mark.parametrize("option", ["--licence", "--license"])
def test_publish_takes_the_licence_in_both_spellings(dynet_command: Command, tmp_path: Path, option: str) -> None:
    weights = tmp_path / "missing.safetensors"
    code, _, err = dynet_command("publish", weights, "--repo-id", "user/model", option, "mit", "--dry-run")
    assert code == 2
    assert str(weights) in err


_WAITS = """
import signal, sys, time
from dynet.cli.app import main
from dynet.config import shipped_recipes

def find_recipe(path):
    print("here", flush=True)
    time.sleep(60)

shipped_recipes.find_recipe = find_recipe
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without it
main(["train", "--data", "a", "--stage", "pretrain", "--config", "b.yaml", "--out", sys.argv[1]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_training_starts_is_one_line_and_exit_130(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WAITS, str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "dynet: interrupted\n"
    assert not (tmp_path / "run").exists()
