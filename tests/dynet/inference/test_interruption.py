"""What remains when a run ends early: after Ctrl-C, SIGTERM, SIGKILL, or out of memory."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet import DyNet, ReuseSchedule, Variant

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits of Linux")


@pytest.fixture
def shallow(tiny: DyNet, tmp_path: Path) -> Path:
    """Weights of a network that takes about a second per megapixel."""
    tiny.variants = (Variant("T", ReuseSchedule(1, 1, 1, 1)),)
    tiny.save(tmp_path / "shallow.safetensors")
    return tmp_path / "shallow.safetensors"


def _write_images(folder: Path, count: int, height: int, width: int) -> Path:
    folder.mkdir()
    column = np.linspace(0, 255, height).astype(np.uint8)[:, None, None]
    for number in range(count):
        Image.fromarray(np.broadcast_to(column, (height, width, 3)).copy()).save(folder / f"{number}.png")
    return folder


def _start(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "dynet", "restore", *map(str, arguments)]
    # Tests that run in the background ignore SIGINT, and processes that they start would inherit that.
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.full
def test_finished_files_are_complete_and_nothing_remains_of_the_others(
    number: signal.Signals, shallow: Path, tmp_path: Path
) -> None:
    images = _write_images(tmp_path / "in", 4, 700, 900)
    out = tmp_path / "out"
    run = _start(images, "--out", out, "--weights", shallow, "--variants", "T", "--json")
    assert run.stdout is not None
    lines = [run.stdout.readline()]  # one file is finished, the next one has begun
    run.send_signal(number)
    rest, err = run.communicate(timeout=60)
    lines += rest.splitlines()
    remaining = sorted(path.name for path in out.iterdir())
    assert 1 <= len(lines) < 4
    if number == signal.SIGKILL:
        assert run.returncode == -signal.SIGKILL
        remaining = [name for name in remaining if not name.startswith(".")]
    else:
        assert run.returncode == 130
        assert err.splitlines()[-1] == f"dynet: interrupted: {len(lines)} of 4 files finished and complete"
        assert "Traceback" not in err
    assert remaining == [f"{number}.png" for number in range(len(remaining))]
    assert len(remaining) >= len(lines)
    for name in remaining:
        Image.open(out / name).load()


@pytest.mark.full
def test_the_temporary_file_of_a_killed_run_is_not_an_input_of_the_next(shallow: Path, tmp_path: Path) -> None:
    images = _write_images(tmp_path / "in", 1, 32, 32)
    (images / ".dynet-0a1b.tmp").write_bytes(b"half a file")
    run = _start(images, "--out", tmp_path / "out", "--weights", shallow, "--variants", "T", "--json")
    stdout, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert [json.loads(line)["input"] for line in stdout.splitlines()] == [str(images / "0.png")]


_LIMITED = """
import contextlib, json, resource, sys, torch
from dynet.cli.app import main
from dynet.inference import memory

torch.set_num_threads(1)
megabytes, memory.SMALLEST_TILE, warm_up, arguments = json.loads(sys.argv[1])
with contextlib.suppress(SystemExit):  # loads all code first, so that the limit only concerns images and features
    main(warm_up)
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize:")).split()[1]) * 2**10
limit = used + megabytes * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
main(arguments)
"""


def _with_memory(
    megabytes: int, images: Path, out: Path, *options: object, smallest_tile: int = 64
) -> "subprocess.CompletedProcess[str]":
    """Restore the images in a process that may allocate this many megabytes after all code is loaded."""
    options = (*options, "--variants", "T", "--precision", "fp32", "--json")
    small = images.parent / "small.png"
    Image.fromarray(np.full((70, 70, 3), 40000 // 257, np.uint8)).save(small)
    commands = [
        ["restore", *map(str, (source, "--out", target, *options))]
        for source, target in ((small, images.parent / f"{out.name}-warm"), (images, out))
    ]
    command = [sys.executable, "-c", _LIMITED, json.dumps([megabytes, smallest_tile, *commands])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    first, *rest = done.stdout.splitlines()
    assert "error" not in json.loads(first)
    return subprocess.CompletedProcess(command, done.returncode, "\n".join(rest), done.stderr)


@pytest.mark.full
def test_out_of_memory_halves_the_tile_and_continues(shallow: Path, tmp_path: Path) -> None:
    images = _write_images(tmp_path / "in", 1, 1700, 1700)
    done = _with_memory(260, images, tmp_path / "little", "--weights", shallow, "--tile", 4096)
    assert done.returncode == 0, done.stderr
    assert "out of memory on cpu with the whole image; continuing with tiles of 640" in done.stderr
    tile = json.loads(done.stdout)["outputs"]["T"]["tile"]
    assert tile in (640, 320, 160)
    # The result is the same as with that tile from the start.
    done = _with_memory(4000, images, tmp_path / "enough", "--weights", shallow, "--tile", tile)
    assert done.returncode == 0, done.stderr
    assert "out of memory" not in done.stderr
    little, enough = (np.array(Image.open(tmp_path / name / "0.png")) for name in ("little", "enough"))
    assert np.array_equal(little, enough)


@pytest.mark.full
def test_a_file_for_which_no_tile_is_small_enough_fails_and_the_next_is_tried(shallow: Path, tmp_path: Path) -> None:
    images = _write_images(tmp_path / "in", 1, 1700, 1700)
    # It can be read, but memory is too small for the next step.
    noise = np.random.default_rng(0).integers(0, 256, (3000, 3000, 3), np.uint8)
    Image.fromarray(np.tile(noise, (3, 3, 1))).save(images / "1.png", compress_level=1)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(images / "2.png")
    done = _with_memory(260, images, tmp_path / "out", "--weights", shallow, "--tile", 4096, smallest_tile=1000)
    assert done.returncode == 1, done.stderr
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert first["error"].endswith("0.png: out of memory on cpu with the whole image")
    assert "1.png: " in second["error"]
    assert "memory" in second["error"]
    assert third["outputs"]["T"]["tile"] is None
    assert "Traceback" not in done.stderr
