"""On a GPU: the same numbers as on the CPU, and training, resuming, restoring and evaluating.

No other test needs a GPU. All tests here are skipped without one; on a machine that has one run
`pytest tests/dynet/training/test_cuda.py`.
"""

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from torch import Tensor

from dynet import LARGE, SMALL, DyNet, Variant
from dynet.training.compiling import compile_blocks

if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as `dynet train` does, before a GPU is first used
GPU = torch.device("cuda")
Command = Callable[..., tuple[int, str, str]]
Text = Callable[..., str]
FULL_WIDTH_DIFFERENCE = 2e-4
"""Largest difference of outputs of about 1 between GPU and CPU in float32, which sum in another order."""


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Undo what training switches on in its process, and switch TF32 off: it has 10 bits where float32 has 23."""
    AcceleratorState._reset_state()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
    torch.use_deterministic_algorithms(False)
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture(scope="module")
def full_width() -> DyNet:
    torch.manual_seed(0)
    return DyNet().eval()


def _pictures(batch: int, height: int, width: int) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("variant", [SMALL, LARGE], ids=lambda variant: variant.name)
def test_a_forward_pass_at_full_width_equals_that_of_the_cpu(full_width: DyNet, variant: Variant) -> None:
    x = _pictures(2, 76, 52)
    with torch.inference_mode():
        expected = full_width(x, variant)
        output = copy.deepcopy(full_width).to(GPU)(x.to(GPU), variant).cpu()
    assert (expected - x).abs().max() > 0.01  # the network does something
    assert (output - expected).abs().max() < FULL_WIDTH_DIFFERENCE


def _gradients(model: DyNet, x: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    (model(x, SMALL) - x.flip(0)).abs().mean().backward()
    return {name: each.grad.cpu().double() for name, each in model.named_parameters() if each.grad is not None}


def _difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the difference of two gradients as a whole, relative to their length."""
    assert one.keys() == other.keys()
    squared = sum(float((one[name] - other[name]).square().sum()) for name in one)
    return (squared / sum(float(value.square().sum()) for value in other.values())) ** 0.5


def test_gradients_at_full_width_equal_those_of_the_cpu(full_width: DyNet) -> None:
    x = _pictures(2, 48, 48)
    expected = _gradients(copy.deepcopy(full_width), x)
    gradients = _gradients(copy.deepcopy(full_width).to(GPU), x.to(GPU))
    assert _difference(gradients, expected) < 1e-3


def test_gradients_in_bfloat16_are_close_to_those_of_float32(full_width: DyNet) -> None:
    x = _pictures(2, 48, 48).to(GPU)
    model = copy.deepcopy(full_width).to(GPU)
    exact = _gradients(model, x)
    with torch.autocast("cuda", torch.bfloat16):
        assert _difference(_gradients(model, x), exact) < 0.05


def test_gradients_of_compiled_blocks_are_close_to_those_of_eager_ones(tiny: DyNet) -> None:
    x = _pictures(2, 48, 48).to(GPU)
    model = tiny.to(GPU)
    exact = _gradients(model, x)
    compile_blocks(model)
    assert _difference(_gradients(model, x), exact) < 1e-3


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, photographs: list[np.ndarray]) -> Path:
    """A folder of two photographs, to train on, restore and evaluate with."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, photo in enumerate(photographs[:2]):
        Image.fromarray(photo).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def train(pictures: Path, tmp_path: Path, recipe_text: Text, dynet_command: Command) -> Command:
    def run(stage: str, out: Path, *more: object, **keys: object) -> tuple[int, str, str]:
        AcceleratorState._reset_state()
        recipe = tmp_path / f"{stage}.yaml"
        recipe.write_text(recipe_text(stage, **keys))
        arguments = ("--data", pictures, "--stage", stage, "--config", recipe, "--out", out, "--device", "cuda")
        return dynet_command("train", *arguments, *more)

    return run


@pytest.mark.parametrize(
    ("stage", "keys"),
    [
        ("pretrain", {"precision": "bf16", "ema": 0.9}),
        ("finetune", {"policy": "sandwich", "gradient_clip": 0.1, "frequency_loss": 0.1, "ema": 0.9}),
        ("finetune", {"precision": "bf16", "compile": True, "validation": {"every": 4, "pictures": 1}}),
    ],
    ids=["pretrain", "finetune", "compiled"],
)
def test_a_resumed_run_ends_in_the_same_bytes(
    train: Command, tmp_path: Path, stage: str, keys: dict[str, object]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for out in (whole, broken):
        code, _, err = train(stage, out, workers=1, **keys)
        assert code == 0, err
    (broken / "weights.safetensors").unlink()
    (broken / "checkpoints" / "step-00000008.pt").unlink()
    code, _, err = train(stage, broken, "--resume", workers=1, **keys)
    assert code == 0, err
    one, other = (DyNet.from_pretrained(run).state_dict() for run in (whole, broken))
    assert not [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert all(line["gpu_mb"] > 0 and np.isfinite(line["loss"]) for line in lines)


def _limit_memory(megabytes: int) -> None:
    """Limit the memory that torch may take in addition to what it holds, such as the workspaces of cuBLAS."""
    torch.cuda.empty_cache()
    limit = torch.cuda.memory_reserved() + megabytes * 2**20
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(GPU).total_memory)


def test_a_batch_that_does_not_fit_into_memory_is_reported_in_one_line(train: Command, tmp_path: Path) -> None:
    _limit_memory(300)
    code, _, err = train("finetune", tmp_path / "run", crop=128, batch=64)
    assert code == 1, err
    assert "out of memory in step 1 with batch: 64 and crop: 128" in err


def _tiles(printed: str) -> set[int]:
    """Return the sides of the tiles, 0 for an image that was restored whole."""
    (line,) = printed.splitlines()
    return {output["tile"] or 0 for output in json.loads(line)["outputs"].values()}


def _levels(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(file)).astype(int) for file in sorted(folder.rglob("*.png"))]


@pytest.mark.parametrize("tile", [(), ("--tile", "128")], ids=["whole", "tiles"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_images_are_restored_as_on_the_cpu(
    tmp_path: Path, pictures: Path, tiny_weights: Path, dynet_command: Command, precision: str, tile: tuple[str, ...]
) -> None:
    restored = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        arguments = ("--weights", tiny_weights, "--out", out, "--device", device, "--precision", precision)
        code, _, err = dynet_command("restore", pictures, *arguments, *tile)
        assert code == 0, err
        restored[device] = _levels(out)
    assert len(restored["cpu"]) == 2
    for one, other in zip(restored["cpu"], restored["cuda"], strict=True):
        difference = np.abs(one - other)
        if precision == "fp32":
            assert difference.max() <= 1
        else:  # random weights make single pixels of small differences anything
            assert difference.mean() < 1.5


def test_tiles_get_smaller_when_memory_runs_out(
    tmp_path: Path, tiny_weights: Path, dynet_command: Command, photographs: list[np.ndarray]
) -> None:
    picture = tmp_path / "large.png"
    Image.fromarray(photographs[0]).resize((1536, 1536)).save(picture)  # takes some 300 MB as a whole
    arguments = ("restore", picture, "--weights", tiny_weights, "--device", "cuda", "--json")
    code, out, err = dynet_command(*arguments, "--out", tmp_path / "enough")
    assert code == 0, err
    assert _tiles(out) == {0}
    _limit_memory(150)
    code, out, err = dynet_command(*arguments, "--out", tmp_path / "little")
    assert code == 0, err
    assert "out of memory on cuda with the whole image; continuing with tiles of 640" in err
    assert 0 < min(_tiles(out)) <= max(_tiles(out)) <= 640
    for one, other in zip(_levels(tmp_path / "little"), _levels(tmp_path / "enough"), strict=True):
        assert np.abs(one - other).mean() < 1


def test_evaluation_gives_the_figures_of_the_cpu(
    tmp_path: Path, pictures: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    results = {}
    for device in ("cpu", "cuda"):
        arguments = (
            "evaluate",
            "--weights",
            tiny_weights,
            "--benchmark",
            f"CBSD68={pictures}",
            "--protocol",
            "aio-paper",
        )
        code, _, err = dynet_command(*arguments, "--sigma", "25", "--out", tmp_path / device, "--device", device)
        assert code == 0, err
        results[device] = json.loads((tmp_path / device / "results.json").read_text())
    assert torch.cuda.get_device_name() in json.dumps(results["cuda"])
    for one, other in zip(results["cpu"]["results"], results["cuda"]["results"], strict=True):
        assert one["variant"] == other["variant"]
        assert other["psnr"]["mean"] == pytest.approx(one["psnr"]["mean"], abs=0.01)
