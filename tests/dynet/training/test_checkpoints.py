"""Checkpoints that are damaged, or that the disk has no room for."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

Command = Callable[..., tuple[int, str, str]]


def test_a_checkpoint_without_a_tensor_is_reported_in_one_line(train: Command, tmp_path: Path) -> None:
    assert train("pretrain", tmp_path / "run", "--steps", 2)[0] == 0
    (tmp_path / "run" / "weights.safetensors").unlink()
    file = tmp_path / "run" / "checkpoints" / "step-00000002.pt"
    state = torch.load(file, weights_only=True)
    del state["model"]["output.weight"]
    torch.save(state, file)
    code, _, err = train("pretrain", tmp_path / "run", "--resume", "--steps", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "the checkpoint of step 2 does not fit" in err


def test_a_full_disk_at_a_checkpoint_is_reported_in_one_line(train: Command, tmp_path: Path, data_set: Path) -> None:
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
