"""Protocol `harm`: what a network does to images that need little or nothing done."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.evaluation.added_degradations import AddedJpeg, AddedNoise, NothingAdded
from dynet.evaluation.benchmark import BenchmarkSet, BenchmarkTask
from dynet.evaluation.harm import HIGHEST_PSNR, SHIFTS, HarmRow, harm_verdicts
from dynet.evaluation.plan import HARM_INPUTS, plan_harm_tasks
from dynet.evaluation.protocol import HARM
from dynet.model.variants import Variant

Command = Callable[..., tuple[int, str, str]]
LABELS = ("clean", "σ2", "σ5", "σ10", "JPEG 95")


@pytest.fixture
def clean(tmp_path: Path, photographs: list[np.ndarray]) -> Path:
    """A folder of two clean images, neither a multiple of 16."""
    folder = tmp_path / "sets" / "clean"
    folder.mkdir(parents=True)
    Image.fromarray(photographs[0][:33, :50]).save(folder / "a.png")
    Image.fromarray(photographs[1][100:141, 200:237]).save(folder / "b.png")
    return folder


def _replace_forward(monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    monkeypatch.setattr(DyNet, "forward", lambda _self, x, _variant=None, **_: change(x))


def _evaluate(command: Command, weights: Path, folder: Path, *more: object) -> tuple[dict, str]:
    arguments = ("evaluate", "--weights", weights, "--benchmark", f"C={folder}", "--protocol", "harm", *more)
    code, stdout, err = command(*arguments, "--device", "cpu", "--json")
    assert code == 0, err
    return json.loads(stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")), err


def test_a_network_that_changes_nothing_passes(
    clean: Path, tiny: DyNet, tmp_path: Path, dynet_command: Command
) -> None:
    torch.nn.init.zeros_(tiny.output.weight)
    tiny.save(tmp_path / "w.safetensors")
    results, _ = _evaluate(dynet_command, tmp_path / "w.safetensors", clean, "--out", tmp_path / "out")
    rows = {(row["degradation"], row["variant"]): row for row in results["results"]}
    assert list(rows) == [(label, variant) for label in LABELS for variant in ("input", "S", "L")]
    for (label, _), row in rows.items():
        assert row["gain"] == {"mean": 0, "worst": 0}
        assert row["psnr"] == rows[label, "input"]["psnr"]
        assert row["largest_shift"] == rows[label, "input"]["largest_shift"]
    assert rows["clean", "S"]["psnr"]["mean"] == pytest.approx(HIGHEST_PSNR)
    assert rows["clean", "S"]["largest_shift"] == dict.fromkeys(SHIFTS, 0)
    assert results["harm"]["variants"] == {name: {"passes": True, "reasons": []} for name in ("S", "L")}
    assert results["mean_over_tasks"] == []
    table = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert table.endswith("\nharm: S passes\nharm: L passes\n")
    assert max(map(len, table.splitlines())) <= 80
    assert json.loads((tmp_path / "out" / "results.json").read_text())["harm"] == results["harm"]


def test_a_network_that_darkens_and_reddens_fails_and_the_line_says_by_how_much(
    clean: Path, tiny_weights: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = torch.tensor([6.0, -3.0, -12.0]).view(1, 3, 1, 1) / 255
    _replace_forward(monkeypatch, lambda x: x + shift)  # far from black and white: nothing is clipped
    for file in clean.iterdir():
        Image.fromarray(np.full((40, 40, 3), 128, np.uint8)).save(file)
    arguments = ("evaluate", "--weights", tiny_weights, "--benchmark", f"C={clean}", "--protocol", "harm")
    code, stdout, err = dynet_command(*arguments, "--variants", "S", "--device", "cpu")
    assert code == 0, err  # a measurement, whatever it finds
    (line,) = [line for line in stdout.splitlines() if line.startswith("harm: ")]
    assert line.startswith("harm: S fails: clean ")
    decibels = 20 * math.log10(255 / math.sqrt((36 + 9 + 144) / 3))
    assert re.search(r"clean (\d+\.\d) dB < 45", line)[1] == f"{math.floor(decibels * 10) / 10}"  # type: ignore[index]
    assert re.search(r"brightness -3(\.\d)? levels \((clean|σ|JPEG)", line), line
    for channel, levels in (("red", "+6"), ("green", "-3"), ("blue", "-12")):
        assert re.search(rf"{channel} {re.escape(levels)}(\.\d)? levels \((clean|σ|JPEG)", line), line


def test_only_harm_keeps_the_input_where_hardly_anything_changes(
    clean: Path, tiny_weights: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(x: torch.Tensor) -> torch.Tensor:
        changed = x.clone()
        changed[..., ::4, ::4] += 0.8 / 255  # a level in every 16th pixel after rounding
        return changed

    _replace_forward(monkeypatch, change)
    gains = {}
    for protocol, label in (("harm", "clean"), ("strict", None)):
        command = ("evaluate", "--weights", tiny_weights, "--benchmark", f"C={clean}", "--protocol", protocol)
        code, stdout, err = dynet_command(*command, "--variants", "S", "--device", "cpu", "--json")
        assert code == 0, err
        rows = [row for row in json.loads(stdout)["results"] if row.get("degradation") == label]
        given, output = (next(row for row in rows if row["variant"] == name) for name in ("input", "S"))
        gains[protocol] = output["ssim"]["mean"] - given["ssim"]["mean"]
    assert gains["harm"] == 0
    assert gains["strict"] != 0


def test_every_figure_equals_that_of_scikit_image_and_numpy(
    clean: Path, tiny_weights: Path, tmp_path: Path, dynet_command: Command
) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    results, _ = _evaluate(dynet_command, tiny_weights, clean, "--variants", "L", "--out", tmp_path / "out")
    variant = {each.name: each for each in DyNet.from_pretrained(tiny_weights).variants}["L"]
    rows = {(row["degradation"], row["variant"]): row for row in results["results"]}
    for label, given in _inputs_of_the_protocol(clean).items():
        psnrs, shifts = [], []
        for target, degraded in given:
            restored = _restored(tiny_weights, variant, degraded)
            with np.errstate(divide="ignore"):
                pair = [skimage.peak_signal_noise_ratio(target, image) for image in (degraded, restored)]
            psnrs.append([min(value, 20 * math.log10(510)) for value in pair])
            difference = restored.astype(float) - target
            shifts.append([difference.mean(), *difference.mean(axis=(0, 1))])
        row = rows[label, "L"]
        before, after = np.transpose(psnrs)
        assert row["psnr"]["mean"] == pytest.approx(after.mean(), abs=1e-3)
        assert rows[label, "input"]["psnr"]["mean"] == pytest.approx(before.mean(), abs=1e-3)
        assert row["gain"]["mean"] == pytest.approx((after - before).mean(), abs=2e-3)
        assert row["gain"]["worst"] == pytest.approx((after - before).min(), abs=2e-3)
        for name, values in zip(SHIFTS, np.transpose(shifts), strict=True):
            assert row[name]["mean"] == pytest.approx(values.mean(), abs=1e-3)
            assert row["largest_shift"][name] == pytest.approx(values[np.abs(values).argmax()], abs=1e-3)
    with (tmp_path / "out" / "per_image.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 5 * 2 * 2
    for (label, name), row in rows.items():
        of_row = [line for line in lines if (line["degradation"], line["variant"]) == (label, name)]
        assert np.mean([float(line["blue"]) for line in of_row]) == pytest.approx(row["blue"]["mean"])


def _inputs_of_the_protocol(folder: Path) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Clean image and input of each file, by degradation; JPEG by Pillow itself, noise by the protocol."""

    def given(label: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for file in sorted(folder.iterdir()):
            image = np.array(Image.open(file))
            if label == "JPEG 95":
                buffer = io.BytesIO()
                Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=2)
                yield image, np.array(Image.open(buffer))
            else:
                yield image, image if label == "clean" else HARM.add_noise(image, file.stem, float(label[1:]))

    return {label: list(given(label)) for label in LABELS}


def _restored(weights: Path, variant: Variant, degraded: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        x = torch.from_numpy(degraded.astype(np.float32) / 255).permute(2, 0, 1)[None]
        restored = DyNet.from_pretrained(weights)(x, variant)[0].permute(1, 2, 0).clamp(0, 1).numpy()
    return np.rint(restored * 255).astype(np.uint8)


def test_of_pairs_the_clean_images_are_used_each_once(tmp_path: Path, photographs: list[np.ndarray]) -> None:
    for side, name in (("hazy", "1_0.8"), ("hazy", "1_0.9"), ("hazy", "2_0.8"), ("gt", "1"), ("gt", "2")):
        (tmp_path / side).mkdir(exist_ok=True)
        Image.fromarray(photographs[0][:20, :30]).save(tmp_path / side / f"{name}.png")
    tasks = plan_harm_tasks([BenchmarkSet.parse(f"H={tmp_path}")], None)
    assert [task.degradation for task in tasks] == [*HARM_INPUTS]
    for task in tasks:
        assert [image.name for image in task.benchmark.images] == ["gt/1.png", "gt/2.png"]
    degraded, target = tasks[0].read(tasks[0].benchmark.images[0], HARM)
    assert np.array_equal(degraded, target)
    assert np.array_equal(target, photographs[0][:20, :30])


def test_sigmas_are_refused_and_a_compression_that_is_impossible_names_the_file(
    clean: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    arguments = ("evaluate", "--weights", tiny_weights, "--benchmark", f"C={clean}", "--protocol", "harm")
    code, stdout, err = dynet_command(*arguments, "--sigma", "15")
    assert (code, stdout, err.count("\n")) == (2, "", 1)
    assert "--sigma: protocol harm has its own degradations" in err
    Image.new("RGB", (65501, 8)).save(clean / "wide.png")
    tasks = plan_harm_tasks([BenchmarkSet.parse(f"C={clean}")], None)
    with pytest.raises(Exception, match=r"wide\.png: JPEG allows 65500 pixels a side"):
        tasks[-1].read(tasks[-1].benchmark.images[-1], HARM)


NAMED = BenchmarkSet("C", Path(), ())
NO_SHIFT = dict.fromkeys(SHIFTS, 0.0)


def _row(added: AddedNoise | AddedJpeg | NothingAdded, variant: str, **changes: object) -> HarmRow:
    figures = {"psnr": 50.0, "gain": 0.0, "worst_gain": -9.0, "shifts": NO_SHIFT, "largest_shifts": NO_SHIFT}
    return HarmRow(task=BenchmarkTask(NAMED, added), variant=variant, **(figures | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("added", "changes", "reasons"),
    [
        (NothingAdded(), {"psnr": 45.0, "gain": -9.2}, ()),
        (NothingAdded(), {"psnr": 44.99}, ("clean 44.9 dB < 45",)),
        (AddedNoise(5.0), {"gain": -0.004}, ()),
        (AddedNoise(5.0), {"gain": -0.006}, ("σ5 0.006 dB below the input",)),
        (AddedJpeg(95), {"psnr": 38.0, "gain": 0.1}, ()),
        (AddedJpeg(95), {"shifts": NO_SHIFT | {"red": 0.3}}, ()),
        (AddedJpeg(95), {"shifts": NO_SHIFT | {"red": 1.31}}, ("red +1.3 levels (JPEG 95)",)),
        (AddedNoise(2.0), {"shifts": NO_SHIFT | {"brightness": -0.31}}, ("brightness -0.31 levels (σ2)",)),
    ],
)
def test_limits(
    added: AddedNoise | AddedJpeg | NothingAdded, changes: dict[str, object], reasons: tuple[str, ...]
) -> None:
    (verdict,) = harm_verdicts([_row(added, "input"), _row(added, "S", **changes)])
    assert (verdict.variant, verdict.reasons, verdict.passes) == ("S", reasons, not reasons)


def test_a_shift_that_the_input_has_is_not_the_networks() -> None:
    """Noise at black can only add light."""
    noise, shifts = AddedNoise(10.0), NO_SHIFT | {"blue": 2.0}
    inputs = [_row(noise, "input", shifts=shifts)]
    same, more = (
        harm_verdicts([*inputs, _row(noise, "S", shifts=NO_SHIFT | {"blue": blue})])[0].passes for blue in (2.0, 2.1)
    )
    assert (same, more) == (True, False)


def test_a_channel_is_named_once_with_the_task_where_it_is_worst() -> None:
    rows = [_row(added, variant) for added in HARM_INPUTS for variant in ("input",)]
    rows += [
        _row(added, "L", shifts=NO_SHIFT | {"green": shift})
        for added, shift in zip(HARM_INPUTS, (0.4, -0.9, 0.1, 0.5, 0.2), strict=True)
    ]
    assert [verdict.reasons for verdict in harm_verdicts(rows)] == [("green -0.9 levels (σ2)",)]


def test_of_several_benchmarks_each_is_named() -> None:
    other = BenchmarkTask(BenchmarkSet("D", Path(), ()), NothingAdded())
    rows = [_row(NothingAdded(), variant, psnr=40.0) for variant in ("input", "S")]
    (verdict,) = harm_verdicts([*rows, *(replace(row, task=other) for row in rows)])
    assert verdict.reasons == ("C clean 40.0 dB < 45", "D clean 40.0 dB < 45")
