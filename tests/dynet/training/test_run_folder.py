"""The RUN folder: which runs may use it, and how damage in it is reported."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.training.metrics_log import LineLog, ValidationLine
from dynet.training.provenance import read_validations
from tests.dynet.disk_calls import recorded_disk_calls

Command = Callable[..., tuple[int, str, str]]
VARIANTS = {"S": {"schedule": [1, 1, 1, 1]}, "L": {"schedule": [1, 2, 2, 2]}}


def test_a_finished_run_says_so_and_an_existing_one_is_not_overwritten(train: Command, tmp_path: Path) -> None:
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
    ("stage", "arguments", "keys", "message"),
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
    message: str,
) -> None:
    assert train("pretrain", tmp_path / "run", "--steps", 2, variants=VARIANTS)[0] == 0
    code, _, err = train(stage, tmp_path / "run", "--resume", *arguments, **{"variants": VARIANTS} | keys)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_keys_for_monitoring_may_change_when_a_run_is_resumed(train: Command, tmp_path: Path) -> None:
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


def test_a_folder_that_another_run_is_writing_to_is_refused(train: Command, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = train("pretrain", tmp_path / "run")
    assert (code, err.count("\n")) == (2, 1)
    assert "is in use: another run is writing to it" in err


@pytest.mark.parametrize("record", ["{", "{}", "[1]"])
def test_a_damaged_run_record_is_reported_in_one_line(train: Command, tmp_path: Path, record: str) -> None:
    assert train("pretrain", tmp_path / "run", "--steps", 2)[0] == 0
    (tmp_path / "run" / "run.json").write_text(record)
    code, _, err = train("pretrain", tmp_path / "run", "--resume", "--steps", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "run.json, which identifies the run, is missing or damaged" in err


def test_every_file_of_a_run_is_flushed_around_its_renaming(train: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with recorded_disk_calls() as disk:
        assert train("finetune", run, "--steps", 3, validation={"every": 1, "pictures": 1})[0] == 0
    written = {path for path in run.rglob("*") if path.is_file() and "tensorboard" not in path.parts}
    appended = {run / "metrics.jsonl", run / "validation.jsonl"}
    assert {run / "weights.safetensors", run / "run.json", run / "checkpoints" / "best.safetensors"} <= written
    assert written - {run / ".lock"} <= {Path(path) for path in disk.renamed}
    for path in appended:
        assert disk.calls.count(("flush", str(path))) >= 1
    for folder in (run.parent, run):  # which hold the new folders RUN and RUN/checkpoints
        assert ("flush", str(folder)) in disk.calls


def _folder_of_images(data: Path, photographs: list[np.ndarray]) -> None:
    data.mkdir()
    for number, photograph in enumerate(photographs[:3]):
        Image.fromarray(photograph[:96, :96]).save(data / f"{number}.png")


@pytest.mark.parametrize("kind", ["images", "dataset"])
def test_a_run_inside_its_data_can_be_resumed(
    kind: str, train: Command, data_set: Path, photographs: list[np.ndarray], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    if kind == "images":
        _folder_of_images(data, photographs)
    else:
        shutil.copytree(data_set, data)
    for run in ("run", "another"):  # whose data does not have the images of the first either
        assert train("pretrain", data / run, "--data", data, "--steps", 2, preview_every=1)[0] == 0
    (data / "run" / "weights.safetensors").unlink()
    code, _, err = train("pretrain", data / "run", "--data", data, "--steps", 2, "--resume", preview_every=1)
    assert code == 0, err


def test_a_run_that_would_change_its_data_is_refused_before_it_starts(
    train: Command, data_set: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (shard,) = (data_set / "patches").iterdir()
    shutil.copy(shard, data / "rows.parquet")
    (tmp_path / "link").symlink_to(data)
    for out in (data / "run", tmp_path / "link" / "run"):
        code, _, err = train("pretrain", out, "--data", data)
        assert (code, err.count("\n")) == (2, 1)
        assert f"--out {out} is inside --data {data}, which has no card that lists its files" in err
    assert [path.name for path in data.iterdir()] == ["rows.parquet"]


DAMAGE = {"cut": '{"step": 2, "mean": 3', "binary": "\0\x1c\x85\u2028", "other": "[]", "without": '{"step": "2"}'}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_line_of_a_log_costs_that_line_alone(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "validation.jsonl"
    lines = [f'{{"step": {step}, "mean": {step}.5, "psnr": {{"a": {{}}}}}}\n' for step in range(1, 7)]
    lines[1] = DAMAGE[damage] + "\n"
    log.write_text("".join(lines))
    assert [line.step for line in read_validations(log)] == [1, 3, 4, 5, 6]
    assert caplog.messages == [f"{log}: line 2 is damaged and left out"]
    caplog.clear()
    LineLog(log, 5).append([ValidationLine(6, 6.5, {"a": {}})])
    assert caplog.messages == [f"{log}: line 2 is damaged and left out"]
    caplog.clear()
    assert [line.step for line in read_validations(log)] == [1, 3, 4, 5, 6]
    assert caplog.messages == []


def test_half_a_line_at_the_end_is_named_unless_its_step_is_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "validation.jsonl"
    log.write_text('{"step": 1, "mean": 1, "psnr": {"a": {}}}\n{"step": 2, "mea')
    assert [line.step for line in read_validations(log)] == [1]
    assert caplog.messages == [f"{log}: line 2 is damaged and left out"]
    caplog.clear()
    LineLog(log, 1)
    assert caplog.messages == []
    log.write_text("x\n\ny\n")
    assert read_validations(log) == []
    assert caplog.messages == [f"{log}: line 1 (and 2 more) is damaged and left out"]
