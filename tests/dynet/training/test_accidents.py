"""Accidents around a run end in one line and an exit code, and lose no finished step."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dynet.training.checkpoints import last_step
from tests.dynet.training.runs import logged_steps

Command = Callable[..., tuple[int, str, str]]
Text = Callable[..., str]
Start = Callable[..., "subprocess.Popen[bytes]"]
ENDLESS = 100_000


@pytest.fixture
def start(data_set: Path, tmp_path: Path, recipe_text: Text) -> Iterator[Start]:
    """Start an endless training in a process group of its own, by start(run, *arguments, **recipe keys)."""
    running = []

    def run(out: Path, *more: str, **keys: object) -> "subprocess.Popen[bytes]":
        recipe = tmp_path / "endless.yaml"
        often = {"checkpoint_every": ENDLESS, "preview_every": ENDLESS}
        recipe.write_text(recipe_text("pretrain", steps=ENDLESS, **often | keys))
        arguments = ["train", "--data", data_set, "--stage", "pretrain", "--config", recipe, "--out", out, *more]
        command = [sys.executable, "-c", "from dynet.cli.app import main; main()", *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
        process = subprocess.Popen(
            [*command, "--device", "cpu"], env=environment, stderr=subprocess.PIPE, start_new_session=True
        )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def wait_for_step(run: Path, step: int) -> None:
    """Wait until the steps up to this one are logged."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if (run / "metrics.jsonl").is_file() and len((run / "metrics.jsonl").read_text().splitlines()) >= step:
            return
        time.sleep(0.02)
    pytest.fail(f"no {step} steps within two minutes")


def workers_of(process: "subprocess.Popen[bytes]") -> list[int]:
    """The processes that make crops: children that a fork made of the program itself."""
    children = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    return [pid for pid in children if b"dynet.cli.app" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.full
def test_a_killed_loader_is_told_in_one_line_and_a_signal_to_all_processes_is_a_stop(
    start: Start, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start(run, workers=2)
    wait_for_step(run, 2)
    worker = workers_of(process)[0]
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in err.decode()
    last, saved = err.decode().strip().splitlines()[-1], last_step(run / "checkpoints")
    # By the signal's handler, or from the batch that did not come.
    assert re.match(rf"dynet: process {worker}, which made crops, (was killed \(Killed\)|ended), perhaps because", last)
    assert last.endswith(f"--resume goes on from step {saved}, and needs less memory with fewer workers than 2")

    process = start(run, "--resume", workers=2)
    until = time.monotonic() + 120
    # Once there are workers, the log of the first run has been cut to its checkpoint.
    while not workers_of(process) and time.monotonic() < until:
        time.sleep(0.02)
    wait_for_step(run, saved + 2)
    os.killpg(process.pid, signal.SIGTERM)  # as a scheduler of jobs does
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err.decode()
    last, now_saved = err.decode().strip().splitlines()[-1], last_step(run / "checkpoints")
    assert last == f"dynet: stopped after step {now_saved} of {ENDLESS}; --resume goes on from there"
    assert logged_steps(run) == list(range(1, logged_steps(run)[-1] + 1))


@pytest.mark.full
def test_two_trainings_in_one_run_do_not_disturb_each_other(start: Start, train: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(run, checkpoint_every=2)
    wait_for_step(run, 3)
    keys = {"steps": ENDLESS, "preview_every": ENDLESS, "checkpoint_every": 2}
    code, _, err = train("pretrain", run, "--resume", **keys)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{run} is in use: dynet train, pid {process.pid} on " in err
    code, _, err = train("pretrain", run, **keys)
    assert (code, err.count("\n")) == (2, 1)
    assert "already holds a run" in err
    so_far = len(logged_steps(run))
    wait_for_step(run, so_far + 2)
    assert process.poll() is None


def test_a_run_whose_data_set_has_changed_is_refused_in_one_line(
    train: Command, data_set: Path, tmp_path: Path
) -> None:
    run, mine = tmp_path / "run", tmp_path / "set"
    shutil.copytree(data_set, mine)
    assert train("pretrain", run, "--data", mine, "--steps", 2)[0] == 0
    (run / "weights.safetensors").unlink()
    (shard,) = (mine / "patches").iterdir()
    pq.write_table(pq.read_table(shard).slice(1), shard)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    code, _, err = train("pretrain", run, "--data", mine, "--steps", 2, "--resume")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{run} was trained on other data than that of --data, and cannot be resumed" in err
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_diverged_run_without_room_for_its_batch_still_says_that_it_diverged(train: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    keys = {"steps": 6, "batch": 4, "learning_rate": 1e9, "warmup_steps": 0, "checkpoint_every": 6}
    original = Path.mkdir

    def refuse(self: Path, *arguments: object, **options: object) -> None:
        if self.name == "diverged":
            raise OSError(28, "No space left on device")
        original(self, *arguments, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        code, _, err = train("finetune", run, **keys)
    assert code == 1
    last = err.splitlines()[-1]
    assert "the loss of step 2" in last
    assert "diverged/step-00000002.pt cannot be written ([Errno 28] No space left on device)" in last


def test_a_lock_that_was_removed_while_it_was_taken_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    from dynet.training.run_folder import RunFolder

    (tmp_path / ".lock").touch()
    flock, calls = fcntl.flock, []

    def remove_first(file: object, operation: int) -> None:
        if not calls:  # another process removes the folder's content between opening and locking
            (tmp_path / ".lock").unlink()
        calls.append(operation)
        flock(file, operation)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", remove_first)
    lock = RunFolder(tmp_path)._acquire()
    assert len(calls) == 2
    assert os.fstat(lock.fileno()).st_ino == (tmp_path / ".lock").stat().st_ino
    lock.close()
