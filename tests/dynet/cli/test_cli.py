import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import dynet

Command = Callable[..., tuple[int, str, str]]


def test_the_public_names() -> None:
    assert dynet.__all__ == ["LARGE", "SMALL", "DyNet", "ReuseSchedule", "Variant", "__version__"]
    assert all(getattr(dynet, name) is not None for name in dynet.__all__)


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys\nfrom dynet.cli.app import _run\n_run(['train', '--help'])\n"
        "assert not {'torch', 'accelerate', 'datasets', 'cv2'} & set(sys.modules), 'heavy imports'"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--resume" in done.stdout
    assert time.perf_counter() - began < 5  # 0.3 s on an idle machine


def test_dynet_never_imports_million_ird() -> None:
    sources = Path(dynet.__file__).parent.rglob("*.py")
    assert [source.name for source in sources if "import million_ird" in source.read_text()] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
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
def test_bad_use_is_one_line_and_exit_2(
    dynet_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stdout, err = dynet_command(*arguments)
    assert (code, stdout, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(
    dynet_command: Command, tmp_path: Path, data_set: Path, tiny_weights: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    given = ("--data", data_set, "--stage", "pretrain", "--config", "demo_pretrain.yaml", "--out", tmp_path / "run")
    code, _, err = dynet_command("train", *given, "--device", "cuda")
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "run").exists()


def test_convert_lists_what_it_left_out(
    dynet_command: Command, tmp_path: Path, random_state: Callable[[int], dict[str, torch.Tensor]]
) -> None:
    torch.save(random_state(0), tmp_path / "r.ckpt")
    code, stdout, _ = dynet_command("convert", tmp_path / "r.ckpt", tmp_path / "w.safetensors")
    assert code == 0
    assert stdout.count("left out (never used by the network): reduce_noise_channel_") == 3
    assert (tmp_path / "w.safetensors").is_file()
