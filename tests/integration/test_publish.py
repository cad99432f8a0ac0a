"""From pictures to the Hub and back: built, published, loaded by `datasets` and trained on, each in its own process."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.hub_faults import Fault
from tests.hub_server import Hub, served
from tests.million_ird import scenes
from tests.million_ird.hub.publishing import ACCOUNTS, NAME, environment

BIN = Path(sys.executable).parent
LOAD = """
import hashlib, json, sys
from datasets import load_dataset
images = load_dataset(sys.argv[1], split="train")
patches = load_dataset(sys.argv[1], "patches", split="train", streaming=True)
ledger = load_dataset(sys.argv[1], "ledger", split="train", streaming=True)
print(json.dumps({
    "images": {row["id"]: row["image"].size for row in images},
    "patches": {row["id"]: row["image"].size for row in patches},
    "candidates": sum(1 for _ in ledger),
}))
"""
SCHEDULES = {"S": [1, 1, 1, 1], "L": [1, 2, 2, 2]}
TINY = {
    "stage": "pretrain",
    "network": {
        "dim": 4, "heads": [1, 1, 2, 2], "prompts": 3, "prompt_channels": [4, 4, 8], "prompt_sizes": [8, 4, 2],
        "refinement_blocks": 1,
    },
    "variants": {name: {"schedule": schedule, "probability": 0.5} for name, schedule in SCHEDULES.items()},
    "corruption": {"share": 0.5, "cell": 4, "degradations": [{"kind": "gaussian_noise", "sigma": 25}]},
    "mask": {"share": 0.3, "cell": 4},
    "crop": 16, "batch": 2, "steps": 2, "learning_rate": 1e-3, "log_every": 1, "preview_every": 4,
    "checkpoint_every": 2,
}  # fmt: skip
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with served(Hub(store=tmp_path_factory.mktemp("store"), accounts=ACCOUNTS)) as hub:
        yield hub


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    scenes.make(scenes.lay_out(folder / "pictures"), folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def run(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program that takes our Hub for the Hub, with a home of its own."""
    home = tmp_path_factory.mktemp("home")

    def run(*command: object) -> "subprocess.CompletedProcess[str]":
        told, place = list(map(str, command)), environment(hub, home / "hf")
        return subprocess.run(told, env=place, cwd=home, text=True, capture_output=True, timeout=240, check=False)

    return run


@pytest.fixture(scope="module")
def published(run: Run, built: Path) -> dict[str, object]:
    """What the command says of a private data set that was not there before."""
    done = run(BIN / "million-ird", "publish", built, "--repo-id", NAME, "--private", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_what_was_published_is_loaded_as_it_was_built(run: Run, built: Path, published: dict[str, object]) -> None:
    done = run(sys.executable, "-c", LOAD, NAME)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["images"]) == scenes.KEPT
    assert told["candidates"] == scenes.CANDIDATES
    assert set(map(tuple, told["patches"].values())) == {(32, 32)}
    local = run(sys.executable, "-c", LOAD, built)
    assert json.loads(local.stdout.splitlines()[-1]) == told


@pytest.mark.full
def test_dynet_trains_on_it_whole_and_streamed_to_the_same_weights(
    run: Run, published: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    for name, how in (("whole", []), ("streamed", ["--stream"])):
        arguments = ["--stage", "pretrain", "--config", tmp_path / "tiny.yaml", "--out", tmp_path / name, *how]
        done = run(BIN / "dynet", "train", "--data", NAME, *arguments, "--device", "cpu")
        assert done.returncode == 0, done.stderr
        steps = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert steps[-1]["step"] == 2
    assert list((tmp_path / "streamed" / "stream").iterdir())
    whole, streamed = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "streamed"))
    assert whole == streamed


@pytest.mark.parametrize("name", ["user/nothing", "no name"])
def test_a_data_set_that_is_not_there_is_one_line(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    arguments = ["--stage", "pretrain", "--config", tmp_path / "tiny.yaml", "--out", tmp_path / "run"]
    done = run(BIN / "dynet", "train", "--data", name, *arguments, "--device", "cpu")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"dynet: --data {name}")


def test_a_connection_that_breaks_is_one_line_too(
    run: Run, hub: Hub, published: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    arguments = ["--stage", "pretrain", "--config", tmp_path / "tiny.yaml", "--out", tmp_path / "run"]
    hub.repositories["user/far"] = hub.repositories[NAME]  # of which nothing is cached
    hub.faults.append(Fault("resolve", "drop", times=1000))
    try:
        done = run(BIN / "dynet", "train", "--data", "user/far", *arguments, "--device", "cpu")
    finally:
        hub.faults.clear()
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert done.stderr.splitlines()[-1].startswith("dynet: --data user/far: ")
