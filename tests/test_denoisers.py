"""benchmarks/denoisers.py: its rows are those of scikit-image, Pillow and `dynet evaluate` for the same pixels."""

import importlib
import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dynet import DyNet
from dynet.cli.app import main
from dynet.evaluation.protocol import STRICT, benchmark_noise

ROOT = Path(__file__).parents[1]
TINY = {"dim": 4, "heads": (1, 1, 2, 2), "prompts": 3, "prompt_channels": (4, 4, 8), "prompt_sizes": (8, 4, 2)}
DEGRADED = ("noise15", "noise25", "noise50", "float25", "float50", "weak5", "jpeg10", "jpeg20", "jpeg30", "jpeg40")
METHODS = ["input", "weights S", "weights L", "nlm", "wavelets"]

pytestmark = pytest.mark.full
pytest.importorskip("pywt", reason="the wavelets of scikit-image need PyWavelets")


def run(*arguments: object, code: int = 0, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script as if `without` were not installed."""
    start = f"import runpy, sys; sys.modules |= dict.fromkeys({without.split()!r}); sys.path.insert(0, 'benchmarks'); "
    start += "runpy.run_path('benchmarks/denoisers.py', run_name='__main__')"
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # else the script restarts itself, and all is installed
    command = [sys.executable, "-c", start, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clean pictures, pairs with real noise (here: grain of two pixels), and the weights of a tiny network."""
    data = pytest.importorskip("skimage.data")
    top = tmp_path_factory.mktemp("denoisers")
    for name in ("clean", "real/noisy", "real/clean"):
        (top / name).mkdir(parents=True)
    for name in ("coffee", "astronaut", "cat"):
        crop = getattr(data, name)()[100:164, 150:246]
        grain = np.kron(np.random.default_rng(1).normal(0, 12, (32, 48, 1)), np.ones((2, 2, 3)))
        Image.fromarray(crop).save(top / "clean" / f"{name}.png")
        Image.fromarray(crop).save(top / "real" / "clean" / f"{name}.png")
        Image.fromarray(np.clip(crop + grain, 0, 255).astype(np.uint8)).save(top / "real" / "noisy" / f"{name}.png")
    torch.manual_seed(0)
    model = DyNet(**TINY, refinement_blocks=1)  # type: ignore[arg-type]
    model.save_pretrained(top / "weights")
    return top


@pytest.fixture(scope="module")
def measured(folder: Path) -> tuple[str, dict[str, Any]]:
    """What the script printed and wrote."""
    options = ("--weights", folder / "weights", "--benchmark", folder / "clean", "--real", folder / "real")
    done = run(*options, "--methods", "dynet,nlm,wavelets", "--count", 1, "--out", folder / "raw.json")
    return done.stdout, json.loads((folder / "raw.json").read_text())


@pytest.mark.full
def test_every_task_has_a_row_of_every_method(measured: tuple[str, dict[str, Any]]) -> None:
    printed, raw = measured
    tasks = [*DEGRADED, "clean", "real"]
    assert [(row["task"], row["method"]) for row in raw["rows"]] == [(task, name) for task in tasks for name in METHODS]
    for row in raw["rows"]:
        assert row["megapixels"] == 64 * 96 / 1e6
        blind = row["method"] in METHODS[:3]
        assert (row["sigma"] is None) == blind
        assert (row["seconds"] is None) == (row["core_seconds"] is None) == (row["method"] == "input")
        if not blind and row["task"] in DEGRADED[:5]:
            assert row["sigma"] == int(row["task"][-2:])
    assert list(raw["means"]) == tasks
    assert {"machine", "command", "settings", "threads"} <= raw.keys()
    assert [row["method"] for row in raw["threads"]] == METHODS[1:]
    for task in tasks:
        assert f"\n{task}, 1 picture\n" in printed


@pytest.mark.full
def test_the_input_is_measured_as_scikit_image_measures_it(folder: Path, measured: tuple[str, dict[str, Any]]) -> None:
    inputs = {row["task"]: row for row in measured[1]["rows"] if row["method"] == "input"}
    for task, row in inputs.items():
        clean = np.asarray(Image.open(folder / "clean" / Path(row["image"]).name))
        if task == "real":
            degraded = np.asarray(Image.open(folder / "real" / row["image"])) / 255
        elif task.startswith("jpeg"):
            Image.fromarray(clean).save(stream := io.BytesIO(), "JPEG", quality=int(task[4:]))
            degraded = np.asarray(Image.open(stream)) / 255
        elif task == "clean":
            degraded = clean / 255
        else:
            sigma = float(re.sub(r"\D", "", task))
            noisy = clean + benchmark_noise(clean.shape, Path(row["image"]).stem, sigma)
            assert noisy.std() > 0
            levels = np.rint(np.clip(noisy, 0, 255)) if not task.startswith("float") else np.clip(noisy, 0, 255)
            degraded = levels / 255
        with np.errstate(divide="ignore"):
            expected = min(peak_signal_noise_ratio(clean / 255, degraded, data_range=1), 20 * math.log10(510))
        assert row["psnr"] == pytest.approx(expected, abs=2e-4), task
        similarity = structural_similarity(clean / 255, degraded, channel_axis=-1, data_range=1)
        assert row["ssim"] == pytest.approx(similarity, abs=2e-5), task


def test_noise_and_our_restoration_are_those_of_evaluate(
    folder: Path, measured: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    options = ["--benchmark", f"C={folder / 'clean'}", "--protocol", "strict", "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--weights", str(folder / "weights"), *options, "--out", str(tmp_path)])
    assert ended.value.code == 0
    lines = [line.split(",") for line in (tmp_path / "per_image.csv").read_text().splitlines()]
    names = lines[0]
    evaluated = [dict(zip(names, line, strict=True)) for line in lines[1:]]
    compared = 0
    for row in measured[1]["rows"]:
        if row["task"].startswith("noise") and row["method"] in METHODS[:3]:
            (same,) = [
                other
                for other in evaluated
                if other["file"] == row["image"]
                and float(other["sigma"]) == float(row["task"][-2:])
                and other["variant"] == row["method"].split()[-1]
            ]
            # A machine that is faster in bfloat16 restores in it, and evaluate never does.
            assert row["psnr"] == pytest.approx(float(same["psnr"]), abs=0.02)
            compared += 1
    assert compared == 9


def test_orientations_are_rows_of_their_own(folder: Path, tmp_path: Path) -> None:
    given = ("--weights", folder / "weights", "--benchmark", folder / "clean", "--out", tmp_path / "raw.json")
    run(*given, "--methods", "dynet", "--self-ensemble", 1, 4, "--tasks", "noise25", "--count", 1)
    raw = json.loads((tmp_path / "raw.json").read_text())["rows"]
    rows = {row["method"]: row["psnr"] for row in raw}
    assert list(rows) == ["input", "weights S", "weights S ×4", "weights L", "weights L ×4"]
    options = ["--benchmark", f"C={folder / 'clean'}", "--protocol", "strict", "--device", "cpu", "--sigma", "25"]
    with pytest.raises(SystemExit) as ended:
        main(
            ["evaluate", "--weights", str(folder / "weights"), *options, "--self-ensemble", "4", "--out", str(tmp_path)]
        )
    assert ended.value.code == 0
    lines = [line.split(",") for line in (tmp_path / "per_image.csv").read_text().splitlines()]
    psnr = {line[5]: float(line[6]) for line in lines if line[2] == raw[0]["image"]}
    for variant in ("S", "L"):
        # A machine that is faster in bfloat16 restores in it, and evaluate never does.
        assert rows[f"weights {variant} ×4"] == pytest.approx(psnr[variant], abs=0.02)
        assert rows[f"weights {variant} ×4"] != rows[f"weights {variant}"]


def test_noise_in_floating_point_is_the_noise_in_8_bits_before_clipping() -> None:
    clean = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    noise = benchmark_noise(clean.shape, "Ärger", 50)
    assert (clean + noise).max() > 255
    assert np.array_equal(STRICT.add_noise(clean, "Ärger", 50), np.rint(np.clip(clean + noise, 0, 255)))


@pytest.mark.full
def test_resuming_measures_only_what_is_missing_and_refuses_other_settings(
    folder: Path, measured: tuple[str, dict[str, Any]]
) -> None:
    before = {(row["task"], row["method"], row["image"]): row for row in measured[1]["rows"]}
    out = folder / "resumed.json"
    out.write_text(json.dumps(measured[1]))
    options = ("--weights", folder / "weights", "--benchmark", folder / "clean", "--out", out, "--resume")
    run(*options, "--methods", "dynet,wavelets", "--count", 3, "--tasks", "noise15,clean")
    after = {(row["task"], row["method"], row["image"]): row for row in json.loads(out.read_text())["rows"]}
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 2 * 2 * (len(METHODS) - 1)
    assert len({image for task, _, image in after if task == "clean"}) == 3
    refused = run(*options, "--methods", "wavelets", "--blind", code=2)  # a method that CI has installed, too
    assert refused.stderr.count("\n") == 1
    assert "blind" in refused.stderr


@pytest.mark.full
@pytest.mark.parametrize(
    ("arguments", "without", "said"),
    [
        (("--methods", "bm3d"), "bm3d", "bm3d is not installed: pip install bm3d"),
        (("--methods", "nlm"), "skimage", "skimage is not installed: pip install scikit-image"),
        (("--methods", "bm4"), "", "--methods: 'bm4' is none of dynet, bm3d, nlm, wavelets"),
        (("--methods", "nlm", "--tasks", "noise"), "", "--tasks: 'noise' is none of noise15"),
        (("--methods", "nlm", "--count", "0"), "", "--count 0: must be at least 1"),
        (("--methods", "nlm", "--real", "{clean}"), "", "holds no pairs"),
        (("--methods", "nlm", "--weights", "{clean}"), "", "holds no weights.safetensors"),
        (("--methods", "nlm", "--benchmark", "{clean}/none"), "", "no such folder"),
    ],
)
def test_what_cannot_be_measured_is_one_line(arguments: tuple[str, ...], without: str, said: str, folder: Path) -> None:
    options = [argument.format(clean=folder / "clean") for argument in arguments]
    given = {"--weights": folder / "weights", "--benchmark": folder / "clean"}
    rest = [part for name, value in given.items() if name not in options for part in (name, value)]
    done = run(*options, *rest, "--out", folder / "none.json", code=2, without=without)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


@pytest.fixture
def classical(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("classical_denoisers")


@pytest.mark.parametrize("name", ["bm3d", "nlm", "wavelets"])
def test_the_right_sigma_restores_better_than_half_or_twice_of_it(name: str, classical: ModuleType) -> None:
    data = pytest.importorskip("skimage.data")
    pytest.importorskip({"bm3d": "bm3d"}.get(name, "cv2"), reason="pip install bm3d")
    clean = data.astronaut()[:96, 180:276]
    noisy = (clean + benchmark_noise(clean.shape, name, 25)).astype(np.float32) / 255

    def reached(sigma: float | None) -> float:
        restored, _ = classical.denoiser(name, 1)(noisy, sigma)
        return float(peak_signal_noise_ratio(clean / 255, np.clip(restored, 0, 1).astype(float), data_range=1))

    right = reached(25)
    assert right > peak_signal_noise_ratio(clean / 255, np.clip(noisy, 0, 1).astype(float), data_range=1) + 3
    assert right > reached(12.5)
    assert right > reached(50)
    assert reached(None) == pytest.approx(right, abs=0.5)  # white noise is estimated well


@pytest.mark.parametrize("name", ["bm3d", "nlm", "wavelets"])
def test_a_grey_picture_is_restored(name: str, classical: ModuleType) -> None:
    data = pytest.importorskip("skimage.data")
    pytest.importorskip({"bm3d": "bm3d"}.get(name, "cv2"), reason="pip install bm3d")
    clean = np.repeat(data.camera()[100:164, 180:244, None], 3, axis=2)
    noise = benchmark_noise((64, 64, 1), name, 25)
    noisy = ((clean + noise) / 255).astype(np.float32)
    restored, _ = classical.denoiser(name, 1)(noisy, 25)
    assert np.square(restored - clean / 255).mean() < np.square(noisy - clean / 255).mean()  # a number, and smaller


def test_a_picture_without_noise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    classical = importlib.import_module("classical_denoisers")
    flat = np.full((32, 32, 3), 0.3, np.float32)
    restored, sigma = classical.denoiser("nlm", 1)(flat, None)
    assert sigma < classical.MIN_SIGMA
    assert np.array_equal(restored, flat)
