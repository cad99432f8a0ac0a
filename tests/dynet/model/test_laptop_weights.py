"""The weights that come with the package: found by name, harmless, and their tables are reproduced."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import dynet
from dynet.cli.app import app
from dynet.config.recipe import load_recipe
from dynet.evaluation.metrics import psnr
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import locate_weights, read_header

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "weights" / "dynet-laptop"
CBSD68 = ROOT.parent / "shared" / "data" / "benchmarks" / "CBSD68"
if not KEPT.is_dir():
    pytest.skip("this checkout holds no weights", allow_module_level=True)


def results(protocol: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((KEPT / "results" / f"{protocol}.json").read_text(encoding="utf-8"))
    return content


def test_the_figures_are_of_these_weights_and_they_pass_the_test_for_harm() -> None:
    file = locate_weights("laptop")
    assert file.parent == KEPT
    assert file.stat().st_size <= 8e6
    names = {variant.name for variant in read_header(file).variants}
    for protocol in ("aio-paper", "harm"):
        found = results(protocol)
        assert found["weights"]["sha256"] == sha256_of(file)  # type: ignore[index]
        rows = found["results"]
        assert {row["variant"] for row in rows} == {"input", *names}  # type: ignore[attr-defined]
        assert {row["images"] for row in rows} == {68}  # type: ignore[attr-defined]
    verdicts = results("harm")["harm"]["variants"]  # type: ignore[index]
    assert {name: verdict["passes"] for name, verdict in verdicts.items()} == dict.fromkeys(names, True)


def test_the_recipes_of_all_runs_are_there() -> None:
    training = read_header(locate_weights("laptop")).training
    names = ["recipe.yaml"]
    while training is not None:
        recipe = load_recipe(KEPT / names[-1], "finetune")
        assert recipe.steps == training.steps
        names.append(f"start-{len(names)}.yaml")
        training = training.start.training if training.start else None
    assert {path.name for path in KEPT.glob("*.yaml")} == {*names[:-1], "data_bsds.yaml", "data_photos.yaml"}


@pytest.mark.parametrize("protocol", ["aio-paper", pytest.param("harm", marks=pytest.mark.full)])
def test_a_part_of_the_table_is_reproduced_to_a_hundredth(protocol: str, tmp_path: Path) -> None:
    """The smallest images of CBSD68 have 481×321 pixels, so one image and one variant are measured again."""
    if not CBSD68.is_dir():
        pytest.skip(f"needs {CBSD68}")
    first = sorted(CBSD68.iterdir())[0]
    (tmp_path / "CBSD68").mkdir()
    (tmp_path / "CBSD68" / first.name).symlink_to(first)
    command = ["evaluate", "--weights", "laptop", "--variants", "S", "--protocol", protocol]
    command += ["--benchmark", f"CBSD68={tmp_path / 'CBSD68'}", "--out", str(tmp_path / "out"), "--device", "cpu"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output

    def rows(file: Path) -> dict[tuple[str, ...], float]:
        with file.open(encoding="utf-8", newline="") as lines:
            found = [row for row in csv.DictReader(lines) if Path(row["file"]).stem == first.stem]
        keys = ("benchmark", "sigma", "degradation", "variant")
        return {tuple(row.get(key, "") for key in keys): float(row["psnr"]) for row in found}

    again, kept = rows(tmp_path / "out" / "per_image.csv"), rows(KEPT / "results" / f"{protocol}.csv")
    assert again.keys() == {key for key in kept if key[-1] in {"input", "S"}}
    assert len(again) == (6 if protocol == "aio-paper" else 10)
    for key, value in again.items():
        assert value == pytest.approx(kept[key], abs=0.01)


def test_weights_need_no_name_and_leave_alone_what_is_clean() -> None:
    photo = pytest.importorskip("skimage.data").astronaut()[:128, 160:288]
    noisy = np.clip(photo + np.random.default_rng(0).normal(0, 25, photo.shape), 0, 255).astype(np.uint8)
    restored = dynet.restore(Image.fromarray(noisy))
    gain = psnr(np.asarray(restored) / 255, photo / 255) - psnr(noisy / 255, photo / 255)
    assert gain > 7
    assert psnr(dynet.restore(photo) / 255, photo / 255) > 45
