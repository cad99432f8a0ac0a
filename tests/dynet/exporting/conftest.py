"""What the tests of exporting share: a narrow network with short variants, its weights file, and its ONNX file."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from dynet import DyNet, ReuseSchedule, Variant
from dynet.exporting.export import max_differences
from tests.dynet.conftest import tiny_network

ROOT = Path(__file__).parents[3]
ONCE = Variant("once", ReuseSchedule(1, 1, 1, 1))  # tracing takes time for each application of a block
MIXED = Variant("mixed", ReuseSchedule(2, 1, 1, 2))


def network(**changes: object) -> DyNet:
    model = tiny_network(**changes)
    model.variants = (ONCE, MIXED)
    return model


def largest(run: Callable[[Tensor], Tensor], model: DyNet, variant: Variant, shape: tuple[int, int, int]) -> float:
    """The largest difference between an exported file and the network, for noise of this shape."""
    return max_differences(run, lambda image: model(image, variant), (shape,))[shape]


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("narrow") / "weights.safetensors"
    network().save(file, notes={"licence": "cc-by-4.0"})
    return file


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> tuple[Path, str]:
    """Write an ONNX file with the command, and return it with the command's output."""
    for module in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(module)
    out = tmp_path_factory.mktemp("out") / "once.onnx"
    done = export_once(weights, "onnx", out)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return out, done.stdout


def export_once(weights: Path, file_format: str, out: Path) -> "subprocess.CompletedProcess[str]":
    """Write the variant `once` with the command, which must succeed."""
    options = ["--weights", weights, "--variants", "once", "--format", file_format, "--out", out]
    done = subprocess.run(
        [sys.executable, "-m", "dynet", "export", *map(str, options)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done
