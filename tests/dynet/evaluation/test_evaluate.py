"""Evaluating from the command line."""

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.evaluation.benchmark import BenchmarkSet
from dynet.evaluation.metrics import psnr, ssim
from dynet.evaluation.plan import plan_tasks
from dynet.evaluation.protocol import PROTOCOLS, STRICT, as_float

Command = Callable[..., tuple[int, str, str]]
PUBLISHED = ("aio-paper", "strict")


@pytest.fixture
def clean(tmp_path: Path, photographs: list[np.ndarray]) -> Path:
    """A folder of clean images, none of them a multiple of 16, and a file that is no image."""
    folder = tmp_path / "sets" / "clean"
    folder.mkdir(parents=True)
    Image.fromarray(photographs[0][:33, :50]).save(folder / "a.png")
    Image.fromarray(photographs[1][100:141, 200:237]).save(folder / "b.png")
    Image.fromarray(photographs[2][60:109, 100:133]).save(folder / "c.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def pairs(tmp_path: Path, photographs: list[np.ndarray]) -> Path:
    """A folder of two pairs: one darkened, one with a line through it."""
    folder = tmp_path / "sets" / "pairs"
    for side in ("input", "target"):
        (folder / side).mkdir(parents=True)
    for number, photograph in enumerate(photographs[:2]):
        target = photograph[50:90, 60:108].copy()
        degraded = target // 2 if number else target.copy()
        degraded[20] = 255
        Image.fromarray(target).save(folder / "target" / f"{number}.png")
        Image.fromarray(degraded).save(folder / "input" / f"{number}.png")
    return folder


@pytest.fixture
def unchanging(tiny: DyNet, tmp_path: Path) -> Path:
    """Weights of a network that changes nothing."""
    torch.nn.init.zeros_(tiny.output.weight)
    tiny.save(tmp_path / "unchanging.safetensors")
    return tmp_path / "unchanging.safetensors"


def _rows(results: dict) -> dict[tuple[str, float | None, str], dict]:
    return {(row["benchmark"], row["sigma"], row["variant"]): row for row in results["results"]}


def _lines(out: Path) -> list[dict[str, str]]:
    with (out / "per_image.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_a_network_that_changes_nothing_gives_the_inputs_own_figures(
    clean: Path, pairs: Path, unchanging: Path, dynet_command: Command, protocol: str
) -> None:
    code, stdout, err = dynet_command(
        "evaluate", "--weights", unchanging, "--benchmark", f"P={pairs}", "--benchmark", f"C={clean}",
        "--protocol", protocol, "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0, err
    rows = _rows(json.loads(stdout.splitlines()[-1]))
    assert list(rows) == [
        (name, sigma, variant)
        for name, sigma in (("P", None), ("C", 15.0), ("C", 25.0), ("C", 50.0))
        for variant in ("input", "S", "L")
    ]
    for (name, sigma, _), row in rows.items():
        of_input = rows[name, sigma, "input"]
        assert (row["psnr"], row["ssim"]) == (of_input["psnr"], of_input["ssim"])
        assert row["images"] == (2 if name == "P" else 3)
    assert rows["C", 15.0, "S"]["psnr"]["mean"] > rows["C", 50.0, "S"]["psnr"]["mean"] + 8
    assert rows["C", 15.0, "input"]["ms"] is None
    assert rows["C", 15.0, "L"]["ms"]["mean"] > 0
    assert rows["C", 15.0, "L"]["peak_mb"] > 50


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_every_figure_equals_that_of_the_network_and_scikit_image(
    clean: Path, tiny_weights: Path, tmp_path: Path, dynet_command: Command, protocol: str
) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    out = tmp_path / "out"
    code, _, err = dynet_command(
        "evaluate", "--weights", tiny_weights.parent, "--benchmark", f"C={clean}", "--protocol", protocol,
        "--sigma", "25", "--variants", "L,S", "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert code == 0, err
    model, rules = DyNet.from_pretrained(tiny_weights), PROTOCOLS[protocol]
    lines = {(line["file"], line["variant"]): line for line in _lines(out)}
    assert len(lines) == 9
    for file in ("a.png", "b.png", "c.png"):
        target = np.array(Image.open(clean / file))
        noisy = rules.add_noise(target, file[0], 25)
        if protocol == "aio-paper":
            top, left = (side % 16 // 2 for side in target.shape[:2])
            height, width = (side - side % 16 for side in target.shape[:2])
            target, noisy = (image[top : top + height, left : left + width] for image in (target, noisy))
        for variant in model.variants:
            with torch.no_grad():
                x = torch.from_numpy(noisy.astype(np.float32) / 255).permute(2, 0, 1)[None]
                restored = model(x, variant).clamp(0, 1)[0].permute(1, 2, 0).numpy()
            if protocol == "strict":
                restored = np.rint(restored * 255).astype(np.float32) / 255
            truth = target.astype(np.float32) / 255
            line = lines[file, variant.name]
            assert (int(line["height"]), int(line["width"])) == target.shape[:2]
            expected = skimage.peak_signal_noise_ratio(truth, restored, data_range=1)
            assert float(line["psnr"]) == pytest.approx(expected, abs=1e-3 if protocol == "strict" else 1e-4)
            expected = skimage.structural_similarity(truth, restored, data_range=1, channel_axis=-1)
            assert float(line["ssim"]) == pytest.approx(expected, abs=1e-4)


def test_table_json_and_csv_agree_and_nothing_else_is_written(
    clean: Path,
    pairs: Path,
    tiny_weights: Path,
    tmp_path: Path,
    dynet_command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(tmp_path.rglob("*"))
    arguments = (
        "evaluate", "--weights", tiny_weights, "--benchmark", f"P={pairs}", "--benchmark", f"C={clean}",
        "--protocol", "strict", "--sigma", "25,50", "--metrics", "gmsd,ssim", "--device", "cpu", "--out", "out/deep",
    )  # fmt: skip
    code, stdout, err = dynet_command(*arguments)
    assert code == 0, err
    out = tmp_path / "here" / "out" / "deep"
    names = ["per_image.csv", "results.json", "results.md"]
    assert sorted(set(tmp_path.rglob("*")) - set(before)) == sorted([out.parent, out, *(out / name for name in names)])
    assert (out / "results.md").read_text(encoding="utf-8") == stdout
    results, lines = json.loads((out / "results.json").read_text()), _lines(out)
    assert results["lower_is_better"] == ["gmsd"]
    for (name, sigma, variant), row in _rows(results).items():
        own_lines = [
            line
            for line in lines
            if (line["benchmark"], line["variant"]) == (name, variant) and line["sigma"] == str(sigma or "")
        ]
        assert len(own_lines) == row["images"]
        for measure in ("psnr", "ssim", "gmsd", "pyiqa-ssim"):
            values = np.array([float(line[measure]) for line in own_lines])
            assert row[measure]["mean"] == pytest.approx(values.mean(), abs=1e-9)
            assert row[measure]["std"] == pytest.approx(values.std(), abs=1e-9)
        label = name if sigma is None else f"{name} σ{sigma:g}"
        shown = re.search(rf"^\| {label} +\| {variant} +\|(.*)$", stdout, re.MULTILINE)
        assert shown is not None
        assert f"{row['psnr']['mean']:.2f} ± {row['psnr']['std']:.2f}" in shown[1]
        assert f"{row['ssim']['mean']:.4f} ± " in shown[1]
    for mean in results["mean_over_tasks"]:
        rows = [row for row in results["results"] if row["variant"] == mean["variant"]]
        assert len(rows) == 3
        assert mean["psnr"] == pytest.approx(np.mean([row["psnr"]["mean"] for row in rows]))
        assert re.search(rf"^\| mean of 3 +\| {mean['variant']} +\| +{mean['psnr']:.2f} \|", stdout, re.MULTILINE)
    assert max(map(len, stdout.splitlines())) <= 80

    monkeypatch.setattr("time.perf_counter", iter(range(10**6)).__next__)  # time is not a result that repeats
    again = [dynet_command(*arguments)[0], _lines(out)]
    assert again[0] == 0
    for first, second in zip(lines, again[1], strict=True):
        assert {**first, "ms": "", "peak_mb": ""} == {**second, "ms": "", "peak_mb": ""}
    assert sorted(file.name for file in out.iterdir()) == names


def test_the_figures_of_an_image_do_not_depend_on_folder_order_or_other_images(
    clean: Path, tiny_weights: Path, tmp_path: Path, dynet_command: Command
) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for file in ("c.png", "a.png"):  # written in another order, one fewer, one as another format, and one between
        Image.open(clean / file).save(other / file.replace(".png", ".bmp"))
    Image.open(clean / "b.png").rotate(180).save(other / "a0.png")
    psnrs = []
    for folder, sigmas in ((clean, "15,50"), (other, "50")):
        out = tmp_path / f"out-{folder.name}"
        code, _, err = dynet_command(
            "evaluate", "--weights", tiny_weights, "--benchmark", f"C={folder}", "--protocol", "aio-paper",
            "--sigma", sigmas, "--variants", "S", "--device", "cpu", "--out", out,
        )  # fmt: skip
        assert code == 0, err
        lines = [line for line in _lines(out) if line["sigma"] == "50.0"]
        psnrs.append({(Path(line["file"]).stem, line["variant"]): line["psnr"] for line in lines})
    whole, part = psnrs
    for stem in ("a", "c"):
        for variant in ("input", "S"):
            assert whole[stem, variant] == part[stem, variant]


def test_equal_images_are_infinite_in_table_and_csv_and_null_in_valid_json(
    pairs: Path, unchanging: Path, tmp_path: Path, dynet_command: Command
) -> None:
    (pairs / "input" / "0.png").write_bytes((pairs / "target" / "0.png").read_bytes())
    arguments = (
        "evaluate",
        "--weights",
        unchanging,
        "--benchmark",
        f"P={pairs}",
        "--protocol",
        "strict",
        "--variants",
        "S",
    )
    code, stdout, err = dynet_command(*arguments, "--json", "--out", tmp_path / "out")
    assert code == 0, err
    assert "\n" not in stdout.strip()
    row = _rows(json.loads(stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")))["P", None, "S"]
    assert row["psnr"] == {"mean": None, "std": None, "not_finite": 1}
    assert 0 < row["ssim"]["mean"] < 1
    assert [line["psnr"] == "inf" for line in _lines(tmp_path / "out") if line["variant"] == "S"] == [True, False]
    table = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert re.search(r"^\| P +\| S +\| +inf \| 0\.", table, re.MULTILINE)
    assert "PSNR is infinite for 2 images" in table  # the input's and the variant's


def test_tiles_are_reported_and_hardly_change_the_figures(
    clean: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    arguments = (
        "evaluate",
        "--weights",
        tiny_weights,
        "--benchmark",
        f"C={clean}",
        "--protocol",
        "strict",
        "--sigma",
        15,
    )
    _, stdout, _ = dynet_command(*arguments, "--tile", 32)
    assert "in tiles of 32 pixels, not whole images" in " ".join(stdout.split())
    results = [
        json.loads(dynet_command(*arguments, "--json", *tile)[1]) for tile in ([], ["--tile", 32], ["--tile", 512])
    ]
    assert [result["tile"] for result in results] == [None, 32, 512]
    whole, small, large = (_rows(result)["C", 15.0, "L"]["psnr"]["mean"] for result in results)
    assert whole == large  # every image fits into one tile
    assert whole != small
    assert abs(whole - small) < 3


@pytest.mark.full
def test_the_inputs_of_rain100l_have_the_published_figures(shared_data: Path) -> None:
    folder = shared_data / "benchmarks" / "Rain100L"
    (task,) = plan_tasks([BenchmarkSet.parse(f"Rain100L={folder}")], None)
    figures = []
    for image in task.benchmark.images:
        rainy, clean = task.read(image, STRICT)
        luma = [(levels @ np.array([65.481, 128.553, 24.966])) / 255 for levels in (rainy, clean)]  # ITU-R BT.601
        error = float(((luma[0] - luma[1]) ** 2).mean())
        x, y = as_float(rainy), as_float(clean)
        figures.append((10 * math.log10(255**2 / error), psnr(x, y), ssim(x, y)))
    assert len(figures) == 100
    on_luma, on_rgb, similarity = np.mean(figures, axis=0)
    assert on_luma == pytest.approx(26.90, abs=0.005)  # published, and what MATLAB's rgb2ycbcr gives
    assert on_rgb == pytest.approx(25.523, abs=0.001)  # what the protocols' input row has
    assert similarity == pytest.approx(0.8140, abs=0.0001)
