"""The studies of benchmarks/: their reports of given numbers, and (full) each study at the smallest scale."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.studies.spread import Values, chart, difference, table, values, verdict

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "benchmarks" / "studies"


def test_mean_and_spread_are_those_of_a_sample() -> None:
    reached = Values({0: 30.0, 1: 30.2, 2: 30.4})
    assert reached.mean == pytest.approx(30.2)
    assert reached.std == pytest.approx(np.std([30.0, 30.2, 30.4], ddof=1))
    assert str(reached) == "30.20 ± 0.20"
    assert Values({5: 31.0}).std == 0


@pytest.mark.parametrize(
    ("one", "other", "counts"),
    [
        ([31.0, 31.1, 31.2], [30.0, 30.1, 30.2], True),  # ten spreads apart
        ([30.0, 30.1, 30.2], [31.0, 31.1, 31.2], True),
        ([30.05, 30.2, 30.3], [30.0, 30.1, 30.2], False),  # less than a spread apart
        ([31.0, 30.0, 32.0], [30.0, 30.1, 30.2], False),  # not of one sign
        ([30.6, 30.65, 30.05], [30.0, 30.1, 30.1], False),  # more than a spread apart, and not of one sign
        ([31.0], [30.0], False),  # a single seed has no spread
    ],
)
def test_a_difference_counts_only_beyond_the_spread_between_seeds(
    one: list[float], other: list[float], counts: bool
) -> None:
    result = difference(Values(dict(enumerate(one))), Values(dict(enumerate(other))))
    assert result.counts == counts
    assert result.mean == pytest.approx(np.mean(one) - np.mean(other))
    sentence = verdict("masking", result)
    refused = any(words in sentence for words in ("no difference larger", "not of one sign", "no spread"))
    assert refused != counts
    assert f"{result.mean:+.2f}" in sentence


def test_differences_are_of_seeds_that_both_have() -> None:
    result = difference(Values({0: 30.0, 1: 31.0, 7: 99.0}), Values({1: 30.5, 0: 29.5}))
    assert (result.mean, result.seeds) == (pytest.approx(0.5), 2)


def test_values_are_selected_by_run_variant_and_task() -> None:
    rows = [
        {"run": run, "seed": seed, "variant": "S", "task": "CBSD68", "psnr": psnr}
        for run, seed, psnr in (("a", 0, 30.0), ("a", 1, 30.5), ("b", 0, 20.0))
    ]
    assert values(rows, "a", "S", "CBSD68").of_seed == {0: 30.0, 1: 30.5}
    with pytest.raises(KeyError, match="a, L, CBSD68: not measured"):
        values(rows, "a", "L", "CBSD68")
    assert table(["x", "y"], [["1", "2"]]) == "| x | y |\n| --- | --- |\n| 1 | 2 |"


def test_equal_numbers_give_an_equal_chart(tmp_path: Path) -> None:
    bars = {"S": {"none": Values({0: 30.0, 1: 30.1}), "masked": Values({0: 30.5, 1: 30.4})}}
    for name in "ab":
        chart(tmp_path / f"{name}.svg", "title", bars, "none")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "dB against “none”".encode() in (tmp_path / "a.svg").read_bytes()


def test_a_run_of_only_one_panel_has_its_own_row(tmp_path: Path) -> None:
    both = {"none": Values({0: 30.0, 1: 30.1})}
    bars = {"S": both | {"S alone": Values({0: 31.0})}, "L": both | {"L alone": Values({0: 32.0})}}
    chart(tmp_path / "chart.svg", "title", bars, "none")
    words = re.findall(r"<!-- (.*?) -->", (tmp_path / "chart.svg").read_text())
    rows = [word for word in words if word in ("none", "S alone", "L alone")]
    assert rows == ["L alone", "S alone", "none"]  # from bottom to top, each of them once


RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.full
@pytest.mark.parametrize("name", re.findall(r"results/studies/(\w+)\.json\)", RESULTS))
def test_the_page_of_results_has_the_report_of_the_raw_numbers(name: str, tmp_path: Path) -> None:
    """Compare the page with the report of each study that it names."""
    shutil.copy(ROOT / "benchmarks" / "results" / "studies" / f"{name}.json", tmp_path)
    report = _run(ROOT, STUDIES / f"{name}.py", "--report", "--out", tmp_path / f"{name}.json")
    assert report.strip() in RESULTS


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with photographs of scikit-image, laid out as the studies expect the shared data."""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("shared data")
    photos = [getattr(data, name)() for name in ("astronaut", "coffee", "rocket", "chelsea")]

    def save(name: str, image: np.ndarray) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)

    for number, photo in enumerate(photos):
        save(f"train/BSDS500/{'train' if number % 2 else 'test'}/{number}.png", photo)
        save(f"photos/{number}.png", photo[::-1])
        save(f"negatives/{number}.png", photo[:, ::-1])
    save("photos/large colour.png", _blended(photos[1]))
    save("photos/large grey.png", _blended(np.repeat(data.gravel()[..., None], 3, 2)))
    save("duplicates/0.png", photos[0])
    save("real/0.png", photos[1])
    for number in range(2):
        test = data.retina()[300 * number + 300 :, 400:][:64, :96]
        save(f"benchmarks/CBSD68/{number}.png", test)
        save(f"benchmarks/Rain100L/input/{number}.png", test)
        save(f"benchmarks/Rain100L/target/{number}.png", test)
    (folder / "train" / "BSDS500" / "val").mkdir(parents=True)
    return folder


def _blended(photo: np.ndarray, side: int = 1200, tile: int = 200) -> np.ndarray:
    """A large photograph of random parts of a small one, without seams: the recipe drops mosaics; (H, W, 3)."""
    random, mean = np.random.default_rng(1), photo.mean((0, 1))
    weight = np.sqrt(np.outer(np.hanning(tile), np.hanning(tile))) + 1e-6
    total, power = np.zeros((side + 2 * tile, side + 2 * tile, 3)), np.zeros((side + 2 * tile, side + 2 * tile, 1))
    for top, left in itertools.product(range(0, side + tile, tile // 2), repeat=2):
        y, x = (random.integers(0, length - tile) for length in photo.shape[:2])
        part = slice(top, top + tile), slice(left, left + tile)
        total[part] += weight[..., None] * (photo[y : y + tile, x : x + tile] - mean)
        power[part] += weight[..., None] ** 2
    inner = slice(tile // 2, tile // 2 + side)
    whole = (total / np.sqrt(np.maximum(power, 1e-9)) + mean)[inner, inner]
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8)


def _run(shared: Path, *command: object) -> str:
    environment = os.environ | {"MILLION_IRD_SHARED_DATA": str(shared)}
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.full
@pytest.mark.parametrize(
    "name", ["joint_pretraining", "variants_and_policies", "pretraining_and_data", "prompts", "leaky_list", "laptop"]
)
def test_a_study_runs_to_its_report_and_again_without_training(
    name: str, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    work, out = tmp_path_factory.getbasetemp() / "studies", tmp_path_factory.mktemp(name) / "raw.json"
    command = (STUDIES / f"{name}.py", "--scale", "smoke", "--seeds", 0, 1, "--work", work, "--out", out)
    report = _run(shared, *command)
    raw = json.loads(out.read_text())
    assert raw["scale"] == "smoke"
    assert {row["seed"] for row in raw["rows"]} == {0, 1}
    assert all(0 < row["psnr"] < 100 for row in raw["rows"])
    assert report.count("±") >= 8
    assert "CBSD68" in report
    assert "dB" in report
    trained = {path: path.stat().st_mtime_ns for path in work.rglob("weights.safetensors")}
    assert _run(shared, *command) == report
    assert {path: path.stat().st_mtime_ns for path in work.rglob("weights.safetensors")} == trained
    assert _run(shared, STUDIES / f"{name}.py", "--report", "--out", out) == report


@pytest.mark.full
def test_a_run_of_given_minutes_by_a_recipe_can_be_kept_and_continued(shared: Path, tmp_path: Path) -> None:
    pack, timed = (STUDIES / "full_width.py", "pack"), STUDIES / "timed_run.py"
    _run(shared, *pack, "--to", tmp_path / "packed", "--work", tmp_path / "studies")
    recipe = ("--recipe", ROOT / "pipelines" / "dynet_laptop.yaml", "--data", tmp_path / "packed")
    small = ("--device", "cpu", "--work", tmp_path / "work", "--pictures", 1, "--set", "crop=16", "batch=2")
    _run(shared, timed, *recipe, "--out", tmp_path / "first", "--minutes", 0.1, *small)
    parts = tmp_path / "first" / "weights"
    _run(shared, timed, *recipe, "--out", tmp_path / "second", "--steps", 2, "--init", parts, *small)
    for out in ("first", "second"):
        _run(
            shared,
            STUDIES / "full_width.py",
            "keep",
            tmp_path / out,
            "--to",
            tmp_path / "kept" / out,
            "--licence",
            "other",
        )
        card = (tmp_path / "kept" / out / "README.md").read_text()
        assert "aio-paper" in card
        assert "harm" in card
    assert (tmp_path / "kept" / "second" / "start-1.yaml").is_file()


@pytest.mark.full
def test_the_full_width_run_works_from_packing_to_restoring(shared: Path, tmp_path: Path) -> None:
    script = STUDIES / "full_width.py"
    _run(shared, script, "pack", "--to", tmp_path / "packed", "--work", tmp_path / "studies")
    rehearsal = ("--minutes", 0.1, "--crop", 16, "--batch", 1, "--device", "cpu", "--pictures", 1)
    out = tmp_path / "out"
    _run(shared, script, "run", "--data", tmp_path / "packed", "--out", out, "--work", tmp_path / "work", *rehearsal)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) <= 8
    assert max(path.stat().st_size for path in files) <= 15 * 10**6
    _run(shared, script, "keep", out, "--to", tmp_path / "weights" / "full", "--licence", "cc-by-4.0")
    card = (tmp_path / "weights" / "full" / "README.md").read_text()
    assert "CBSD68" in card
    image = shared / "benchmarks" / "CBSD68" / "0.png"
    options = ("--weights", tmp_path / "weights" / "full", "--variants", "S")
    _run(shared, "-m", "dynet", "restore", image, "--out", tmp_path / "restored", *options)
    assert Image.open(tmp_path / "restored" / "0.png").size == Image.open(image).size
