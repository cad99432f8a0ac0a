"""Checkpoints that are damaged, or that the disk has no room for."""

import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dynet.errors import RunError
from dynet.training.checkpoints import TrainState, load_checkpoint, save_checkpoint
from tests.dynet.conftest import tiny_network

Command = Callable[..., tuple[int, str, str]]


def test_a_checkpoint_without_a_tensor_is_reported_in_one_line(train: Command, tmp_path: Path) -> None:
    assert train("pretrain", tmp_path / "run", "--steps", 2)[0] == 0
    (tmp_path / "run" / "weights.safetensors").unlink()
    state = load_checkpoint(tmp_path / "run" / "checkpoints")
    assert state is not None
    del state.model["output.weight"]
    save_checkpoint(tmp_path / "run" / "checkpoints", state, keep=2)
    code, _, err = train("pretrain", tmp_path / "run", "--resume", "--steps", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "the checkpoint of step 2 does not fit" in err


@pytest.mark.full
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


def state_at(step: int) -> TrainState:
    """A state with weights of a tiny network, and an optimiser's."""
    model = tiny_network()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(1, 3, 16, 16)).sum().backward()
    optimizer.step()
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return TrainState(step=step, model=model.state_dict(), optimizer=optimizer.state_dict(), average=average, best=12.5)


@pytest.fixture
def two_checkpoints(tmp_path: Path) -> Path:
    for step in (4, 8):
        save_checkpoint(tmp_path / "checkpoints", state_at(step), keep=2)
    return tmp_path / "checkpoints"


def test_a_checkpoint_comes_back_as_it_was(two_checkpoints: Path) -> None:
    state, expected = load_checkpoint(two_checkpoints), state_at(8)
    assert state is not None
    assert (state.step, state.best) == (8, 12.5)
    for mine, theirs in ((state.model, expected.model), (state.average or {}, expected.average or {})):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


DAMAGED = r"step-00000008\.pt is damaged .*; delete step-00000008\.pt, and --resume goes on from step 4, which is whole"


@pytest.mark.full
def test_every_flipped_bit_is_noticed(two_checkpoints: Path) -> None:
    file = two_checkpoints / "step-00000008.pt"
    whole = file.read_bytes()
    draw = random.Random(18)
    anywhere = [draw.randrange(len(whole) * 8) for _ in range(40)]
    at_the_ends = [draw.randrange(400 * 8) for _ in range(10)]
    in_the_digest = [(len(whole) - 1 - draw.randrange(80)) * 8 + draw.randrange(8) for _ in range(20)]
    for bit in [*anywhere, *at_the_ends, *in_the_digest]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(RunError, match=DAMAGED) as caught:
            load_checkpoint(two_checkpoints)
        assert "\n" not in str(caught.value)


def test_every_cut_is_noticed(two_checkpoints: Path) -> None:
    file = two_checkpoints / "step-00000008.pt"
    whole = file.read_bytes()
    size = len(whole)
    for length in (0, 1, 3, 4, 100, 5000, size // 2, size - 1000, size - 80, size - 79, size - 78, size - 10, size - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(RunError, match=DAMAGED):
            load_checkpoint(two_checkpoints)
    file.write_bytes(whole + b"x")
    with pytest.raises(RunError, match=DAMAGED):
        load_checkpoint(two_checkpoints)


def test_without_a_whole_checkpoint_the_message_says_so(two_checkpoints: Path) -> None:
    for file in two_checkpoints.iterdir():
        file.write_bytes(b"PK")
    message = "no other is whole: delete step-00000008.pt and step-00000004.pt, and --resume begins at the first step"
    with pytest.raises(RunError, match=message):
        load_checkpoint(two_checkpoints)


def test_a_checkpoint_of_an_earlier_version_loads_with_a_remark(
    two_checkpoints: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, state = two_checkpoints / "step-00000008.pt", state_at(8)
    # As versions without a digest wrote it.
    torch.save({name: getattr(state, name) for name in TrainState.__slots__}, file)
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(two_checkpoints) is not None
    assert "step-00000008.pt is of an earlier version of dynet and has no digest" in caplog.text
    content = bytearray(file.read_bytes())
    place = content.index(state.model["output.weight"].numpy().tobytes())
    content[place + 5] ^= 4
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"the checksum of its part .* differs.*goes on from step 4"):
        load_checkpoint(two_checkpoints)


def test_after_the_advice_is_followed_the_run_goes_on(train: Command, tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train("pretrain", whole)[0] == 0
    shutil.copytree(whole, run)
    (run / "weights.safetensors").unlink()
    newest = run / "checkpoints" / "step-00000008.pt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    code, _, err = train("pretrain", run, "--resume")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{newest} is damaged" in err
    assert "goes on from step 6" in err
    newest.unlink()
    assert train("pretrain", run, "--resume")[0] == 0
    assert (run / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
