"""Errors of an evaluation: one line, an exit code, and no partial results."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.errors import ImageError
from dynet.evaluation.benchmark import BenchmarkSet
from dynet.evaluation.plan import plan_tasks
from dynet.evaluation.protocol import STRICT
from dynet.runtime.cost import CostMeter

Command = Callable[..., tuple[int, str, str]]


def save(file: Path, width: int, height: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """A folder of three clean images."""
    for name, width, height in (("a", 50, 33), ("b", 37, 41), ("c", 33, 49)):
        save(tmp_path / "sets" / "clean" / f"{name}.png", width, height)
    return tmp_path / "sets" / "clean"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of two pairs."""
    for side in ("input", "target"):
        for number in range(2):
            save(tmp_path / "sets" / "pairs" / side / f"{number}.png", 48, 40)
    return tmp_path / "sets" / "pairs"


def test_a_broken_image_is_one_line_before_anything_is_restored(
    clean: Path, tiny_weights: Path, tmp_path: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CostMeter, "measure", lambda *_: pytest.fail("restored"))
    whole = (clean / "b.png").read_bytes()
    (clean / "b.png").write_bytes(whole[: len(whole) // 2])
    code, stdout, err = dynet_command(
        "evaluate", "--weights", tiny_weights, "--benchmark", f"C={clean}", "--protocol", "strict", "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert (code, stdout, list((tmp_path / "out").iterdir())) == (1, "", [])
    assert [line.startswith(f"dynet: {clean / 'b.png'}: ") for line in err.splitlines()] == [True]


@pytest.mark.parametrize(
    ("clean_range", "degraded_range", "fits"),
    [((0, 1), (0, 1), True), ((0.2, 0.4), (0, 1), True), ((0, 1), (-0.1, 1.1), False), ((0, 250), (0, 255), False)],
)
def test_a_pair_of_floating_point_images_has_the_same_black_and_white(
    tmp_path: Path, clean_range: tuple[float, float], degraded_range: tuple[float, float], fits: bool
) -> None:
    tifffile = pytest.importorskip("tifffile")
    for side, (low, high) in (("input", degraded_range), ("target", clean_range)):
        (tmp_path / side).mkdir()
        samples = np.linspace(low, high, 48 * 40 * 3, dtype=np.float32).reshape(40, 48, 3)
        tifffile.imwrite(tmp_path / side / "a.tif", samples, photometric="rgb")
    (task,) = plan_tasks([BenchmarkSet.parse(f"P={tmp_path}")], None)
    (image,) = task.benchmark.images
    if fits:
        degraded, clean = task.read(image, STRICT)
        assert [int(clean.min()), int(clean.max())] == [round(255 * limit) for limit in clean_range]
        assert [int(degraded.min()), int(degraded.max())] == [round(255 * limit) for limit in degraded_range]
        return
    with pytest.raises(
        ImageError, match=rf"{tmp_path}/input/a\.tif has floating-point samples .*; clip both to 0 and 1"
    ):
        task.read(image, STRICT)


def test_a_pair_of_two_sizes_and_an_image_that_is_too_small_are_named(
    pairs: Path, clean: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    Image.new("RGB", (48, 41)).save(pairs / "target" / "1.png")
    code, _, err = dynet_command(
        "evaluate", "--weights", tiny_weights, "--benchmark", f"P={pairs}", "--protocol", "strict"
    )
    assert (code, err.count("\n")) == (1, 1)
    assert f"{pairs / 'input' / '1.png'} is 48×40 pixels, but its clean image" in err
    assert "48×41" in err
    Image.new("RGB", (15, 40)).save(clean / "a.png")
    arguments = ("evaluate", "--weights", tiny_weights, "--benchmark", f"C={clean}", "--device", "cpu")
    code, _, err = dynet_command(*arguments, "--protocol", "aio-paper")
    assert (code, err.count("\n")) == (1, 1)
    assert f"{clean / 'a.png'} is 15×40 pixels: too small" in err
    code, _, err = dynet_command(*arguments, "--protocol", "strict", "--sigma", "15")
    assert code == 0, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "nameless"], "must be NAME=DIR"),
        (["--benchmark", "C=missing"], "C=missing: no such folder"),
        (["--benchmark", "a|b=."], "no |"),
        (["--benchmark", "C=empty"], "holds no images"),
        (["--benchmark", "C=clean", "--benchmark", "C=pairs"], "two have the name C"),
        (["--benchmark", "C=."], "one of"),
        (["--benchmark", "C=clean", "--sigma", "15,x"], "--sigma 15,x"),
        (["--benchmark", "C=clean", "--sigma", "0"], "above 0"),
        (["--benchmark", "C=clean", "--sigma", "nan"], "above 0"),
        (["--benchmark", "C=clean", "--sigma", "15,15"], "twice"),
        (["--benchmark", "C=pairs", "--sigma", "15"], "clean images only"),
        (["--benchmark", "C=clean", "--variants", "S,XL"], "no variant 'XL'"),
        (["--benchmark", "C=clean", "--metrics", "nope"], "no such metric"),
        (["--benchmark", "C=clean", "--protocol", "ours"], "--protocol"),
        (["--benchmark", "C=clean", "--out", "clean/a.png"], "--out clean/a.png"),
        (["--benchmark", "C=clean", "--tile", "8"], "--tile"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unusable_arguments_are_one_line_and_write_nothing(
    clean: Path,
    pairs: Path,
    tiny_weights: Path,
    dynet_command: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(clean.parent)
    (clean.parent / "empty").mkdir()
    if arguments == ["--benchmark", "C=."]:  # two tasks in one folder
        clean.rename(clean.parent / "denoise")
        pairs.rename(clean.parent / "derain")
    before = sorted(clean.parent.rglob("*"))
    protocol = [] if "--protocol" in arguments else ["--protocol", "strict"]
    code, stdout, err = dynet_command("evaluate", "--weights", tiny_weights, *protocol, *arguments)
    assert (code, stdout, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert sorted(clean.parent.rglob("*")) == before


def test_ctrl_c_is_130_and_leaves_no_file(
    clean: Path, tiny_weights: Path, tmp_path: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = []

    def interrupt_third_call(meter: CostMeter, call: object, image: torch.Tensor) -> object:
        restored.append(image)
        if len(restored) == 3:
            raise KeyboardInterrupt
        return measure(meter, call, image)

    measure = CostMeter.measure
    monkeypatch.setattr(CostMeter, "measure", interrupt_third_call)
    out = tmp_path / "out"
    code, stdout, err = dynet_command(
        "evaluate", "--weights", tiny_weights, "--benchmark", f"C={clean}", "--protocol", "strict", "--out", out
    )
    assert (code, stdout, list(out.iterdir())) == (130, "", [])
    assert "Traceback" not in err


def test_outputs_that_are_not_finite_and_a_full_device_are_one_line(
    clean: Path, tiny: DyNet, tmp_path: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        tiny.output.weight.fill_(3e38)  # finite, but sums with it are not
    tiny.save(tmp_path / "big.safetensors")
    arguments = (
        "evaluate",
        "--weights",
        tmp_path / "big.safetensors",
        "--benchmark",
        f"C={clean}",
        "--protocol",
        "strict",
    )
    code, stdout, err = dynet_command(*arguments)
    assert (code, stdout) == (1, "")
    assert "a.png: variant S gives values that are not finite" in err

    def fail_without_memory(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(DyNet, "forward", fail_without_memory)
    code, stdout, err = dynet_command(*arguments)
    assert (code, stdout) == (1, "")
    assert "out of memory on cpu at a.png, 50×33: use --tile 512" in err
