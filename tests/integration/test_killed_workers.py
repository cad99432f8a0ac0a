"""Processes killed at random moments, one after the other, while a build of a few hundred files goes on."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from million_ird.maintenance.verify import verify
from tests.million_ird import scenes

PROGRAM = str(Path(sys.executable).parent / "million-ird")
PICTURES = 300


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "a few hundred"
    folder.mkdir()
    for number in range(PICTURES):
        scenes.photograph(number, 200, 160).save(folder / f"{number:03d}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump({"patches": {"size": 64}, "shards": {"bytes": 4_000_000}}))
    return path


def command(many: Path, recipe: Path, out: Path, workers: int) -> list[str]:
    return [PROGRAM, "build", "--sources", str(many), "--out", str(out), "--recipe", str(recipe),
            "--workers", str(workers)]  # fmt: skip


def finish(arguments: list[str]) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, many: Path, recipe: Path) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    finish(command(many, recipe, out, 1))
    assert verify(str(out)).faults == []
    return scenes.contents(out)


def _is_worker(process: psutil.Process) -> bool:
    """Workers and decoders alike; the tracker of multiprocessing's resources is neither."""
    try:
        return "resource_tracker" not in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # or a zombie
        return False


def with_kills(arguments: list[str], moments: random.Random, kills: int) -> int:
    """Runs a build and kills a process of it, not the driver, that many times; returns the exit code."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    killed = 0
    while process.poll() is None and killed < kills:
        time.sleep(moments.uniform(0.3, 1.5))
        try:
            below = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            break
        targets = [one for one in below if _is_worker(one)]
        if targets:
            try:
                moments.choice(targets).kill()
                killed += 1
            except psutil.NoSuchProcess:
                continue
    return process.wait(timeout=240)


def survives(many: Path, recipe: Path, whole: dict[str, bytes], folder: Path, seed: int, kills: int) -> None:
    out = folder / f"out {seed}"
    arguments = command(many, recipe, out, 2)
    with_kills(arguments, random.Random(seed), kills)
    finish(arguments)
    assert verify(str(out)).faults == []
    assert scenes.contents(out) == whole


@pytest.mark.full
def test_killed_workers_change_nothing(many: Path, recipe: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    survives(many, recipe, whole, tmp_path, seed=1, kills=3)


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_thirty_killed_workers_change_nothing(
    many: Path, recipe: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for seed in range(2, 8):
        survives(many, recipe, whole, tmp_path, seed, kills=5)


@pytest.mark.full
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("workers", [2, 4])
def test_thirty_killed_drivers_change_nothing(
    many: Path, recipe: Path, whole: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    moments = random.Random(workers)
    out = tmp_path / "out"
    for _ in range(15):
        process = subprocess.Popen(
            command(many, recipe, out, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(0.5, 6))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finish(command(many, recipe, out, workers))
    assert verify(str(out)).faults == []
    assert scenes.contents(out) == whole


@pytest.mark.full
def test_four_workers_write_the_same_bytes(many: Path, recipe: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    finish(command(many, recipe, tmp_path / "out", 4))
    assert scenes.contents(tmp_path / "out") == whole


def _is_forked(process: psutil.Process | None) -> bool:
    """Return whether it is the server that forks decoders, or one of them: they have the same command line."""
    return process is not None and "fork_server import run" in " ".join(process.cmdline())


def _stopped(arguments: list[str], name: str, seconds: float) -> int:
    """Stop the driver, a worker, or a process that decodes, for that time; return the exit code."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while not found and time.monotonic() < deadline:
        time.sleep(0.2)
        driver = psutil.Process(process.pid)
        decoders = [one for one in driver.children(recursive=True) if _is_forked(one) and _is_forked(one.parent())]
        if decoders:
            server = decoders[0].parent()
            assert server is not None
            worker = server.parent()
            assert worker is not None
            found = {"driver": [driver], "worker": [worker], "decoder": decoders}[name]
    assert found, "no image is being measured"
    found[0].suspend()
    time.sleep(seconds)
    found[0].resume()
    return process.wait(timeout=240)


@pytest.mark.full
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("name", "seconds"), [("driver", 90), ("worker", 90), ("worker", 330)])
def test_a_driver_or_worker_that_stands_still_for_minutes_changes_nothing(
    many: Path, recipe: Path, whole: dict[str, bytes], tmp_path: Path, name: str, seconds: float
) -> None:
    assert _stopped(command(many, recipe, tmp_path / "out", 2), name, seconds) == 0
    assert scenes.contents(tmp_path / "out") == whole


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_a_decoder_that_stands_still_fails_its_image_alone_and_a_retry_mends_it(
    many: Path, recipe: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    arguments = command(many, recipe, tmp_path / "out", 2)
    assert _stopped(arguments, "decoder", 120) == 0
    finish([*arguments, "--retry-class", "hung"])
    assert scenes.contents(tmp_path / "out") == whole
