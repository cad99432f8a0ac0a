"""Exported files in the runtimes of other programs: each in an environment of its own, from a package index."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dynet.exporting.export import FORMATS
from dynet.exporting.export import export as run_export
from dynet.exporting.files import plan_files
from tests.dynet.exporting.conftest import ONCE, network

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]
SHAPES = ((1, 1, 1), (2, 5, 12), (1, 37, 53), (1, 64, 64), (1, 117, 160))
ONNXRUNTIME = """
import onnxruntime
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
(taken,), (given,) = session.get_inputs(), session.get_outputs()
assert (taken.name, given.name, taken.shape[1], given.shape[1]) == ("image", "restored", 3, 3)
run = lambda image: session.run([given.name], {taken.name: image})[0]
"""
OPENVINO = """
import openvino
compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
run = lambda image: compiled(image)[0]
"""
NCNN = """
import ncnn
net = ncnn.Net()
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
assert net.load_param(file) == 0 and net.load_model(file.replace(".param", ".bin")) == 0
def run(image):
    extractor = net.create_extractor()
    extractor.input("in0", ncnn.Mat(image[0]).clone())
    return numpy.array(extractor.extract("out0")[1])[None]
"""
PROGRAM = """
import sys, numpy
file, images, results = sys.argv[1:]
{load}
numpy.savez(results, **{{name: run(image) for name, image in numpy.load(images).items()}})
"""


@pytest.fixture(scope="module")
def narrow_param(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ncnn file of the same network."""
    pytest.importorskip("pnnx")
    files = plan_files("ncnn", tmp_path_factory.mktemp("ncnn") / "once.param", (ONCE,), overwrite=False)
    (exported,) = run_export(network(), {"dynet": "0"}, FORMATS["ncnn"], files)
    return exported.path


def _largest_difference(
    folder: Path, packages: list[str], load: str, file: Path, shapes: tuple[tuple[int, int, int], ...]
) -> float:
    """Return the largest difference between torch and a runtime in a fresh environment; skip if none can be made."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)
    python = str(folder / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    done = subprocess.run(install, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(packages)} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(count, 3, height, width, generator=generator) for count, height, width in shapes]
    np.savez(folder / "images.npz", *(image.numpy() for image in images))
    program = [python, "-c", PROGRAM.format(load=load), str(file), str(folder / "images.npz")]
    subprocess.run([*program, str(folder / "results.npz")], check=True, timeout=600)
    results = np.load(folder / "results.npz")
    with torch.no_grad():
        expected = [network()(image, ONCE).numpy() for image in images]
    assert [results[f"arr_{number}"].shape for number in range(len(images))] == [one.shape for one in expected]
    return max(float(np.abs(results[f"arr_{number}"] - one).max()) for number, one in enumerate(expected))


@pytest.mark.parametrize(
    ("packages", "load"),
    [
        pytest.param(["onnxruntime==1.17.1", "numpy<2"], ONNXRUNTIME, id="onnxruntime that chaiNNer pins"),
        pytest.param(["onnxruntime"], ONNXRUNTIME, id="newest onnxruntime"),
        pytest.param(["openvino"], OPENVINO, id="newest OpenVINO"),
    ],
)
def test_other_runtimes_give_the_results_of_torch_from_an_onnx_file(
    narrow: tuple[Path, str], tmp_path: Path, packages: list[str], load: str
) -> None:
    assert _largest_difference(tmp_path, packages, load, narrow[0], SHAPES) <= 1e-5


@pytest.mark.parametrize("version", ["1.0.20250503", "1.0.20260526"])
def test_older_ncnn_gives_the_results_of_torch(narrow_param: Path, tmp_path: Path, version: str) -> None:
    """pnnx 20261020 writes files that older ncnn loads, and gives wrong results for without an error."""
    packages = [f"ncnn=={version}", "numpy"]
    assert _largest_difference(tmp_path, packages, NCNN, narrow_param, SHAPES[2:]) <= 1e-3
