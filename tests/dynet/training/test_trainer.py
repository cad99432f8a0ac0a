"""Training from the command line: what a run writes, what it logs, and how it fails."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from dynet import DyNet
from dynet.degradations.parameter_types import StrictModel
from dynet.model.weights import read_header
from tests.dynet.training.runs import load_weights, logged_steps, same_weights, tensorboard_curve

Command = Callable[..., tuple[int, str, str]]
Text = Callable[..., str]


def test_a_run_writes_weights_metrics_previews_and_the_newest_checkpoints(train: Command, tmp_path: Path) -> None:
    code, out, err = train("pretrain", tmp_path / "run")
    assert code == 0, err
    assert out == f"{tmp_path / 'run' / 'weights.safetensors'}\n"
    run = tmp_path / "run"
    assert sorted(file.name for file in (run / "checkpoints").iterdir()) == ["step-00000006.pt", "step-00000008.pt"]
    assert sorted(file.name for file in (run / "previews").iterdir()) == ["step-00000004.png", "step-00000008.png"]
    assert list((run / "tensorboard").glob("events*"))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert {line["variant"] for line in lines} == {"S", "L"}
    assert all(line["stage"] == "pretrain" and line["lr"] == 1e-3 and line["images_per_s"] > 0 for line in lines)
    assert all(line["cpu_mb"] > 100 and 0 <= line["data_wait"] <= 1 for line in lines)
    assert [variant.name for variant in DyNet.from_pretrained(run).variants] == ["S", "L"]
    assert Image.open(run / "previews" / "step-00000008.png").size[0] > 4 * 160  # input, S, L and target


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_its_batch(train: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, _, err = train("finetune", run, steps=6, batch=4, learning_rate=1e9, checkpoint_every=1, warmup_steps=0)
    assert code == 1
    assert "the loss of step 2" in err.splitlines()[-1]
    assert logged_steps(run) == [1]
    assert not (run / "weights.safetensors").exists()
    assert [file.name for file in (run / "checkpoints").iterdir()] == ["step-00000001.pt"]
    saved = torch.load(run / "diverged" / "step-00000002.pt", weights_only=True)
    assert str(run / "diverged" / "step-00000002.pt") in err
    assert (saved["step"], saved["tasks"]) == (2, ["denoise"] * 4)
    assert saved["degraded"].shape == saved["clean"].shape == (4, 3, 16, 16)
    assert 0.01 < (saved["degraded"] - saved["clean"]).abs().mean() < 0.3


def test_every_task_and_variant_is_validated_and_the_best_weights_are_kept(train: Command, tmp_path: Path) -> None:
    noise = {"kind": "gaussian_noise", "sigma": 15}
    tasks = {"light": {"degradations": [noise]}, "heavy": {"degradations": [noise | {"sigma": 75}]}}
    run = tmp_path / "run"
    validation = {"every": 2, "pictures": 1}
    code, _, err = train("finetune", run, tasks=tasks, validation=validation, learning_rate=0.02, steps=8)
    assert code == 0, err
    lines = [json.loads(line) for line in (run / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    for line in lines:
        assert {(task, variant) for task, of in line["psnr"].items() for variant in of} == {
            (task, variant) for task in ("heavy", "light", "clean") for variant in ("S", "L")
        }
        values = [db for task in tasks for db in line["psnr"][task].values()]
        assert line["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    best = read_header(run / "checkpoints" / "best.safetensors").notes
    top = max(lines, key=lambda line: line["mean"])
    assert best["steps"] == str(top["step"])
    assert best["validation"] == f"{top['mean']:.4f} dB"
    assert Image.open(run / "previews" / "step-00000008.png").size[1] < 3 * 200  # one row a task


@pytest.mark.full
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_clean_input_is_validated_in_every_stage_and_recorded(stage: str, train: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, _, err = train(stage, run, validation={"every": 2, "pictures": 2}, learning_rate=0.01)
    assert code == 0, err
    header = read_header(run / "weights.safetensors")
    assert header.training
    assert header.training.validated
    assert header.training.best
    last = json.loads((run / "validation.jsonl").read_text().splitlines()[-1])
    assert header.training.validated.psnr == last["psnr"]
    assert set(header.training.best.psnr["clean"]) == {"S", "L"}
    for variant in ("S", "L"):
        curve = tensorboard_curve(run, f"validation/clean/{variant}")
        assert list(curve) == [2, 4, 6, 8]
        assert curve[8] == pytest.approx(last["psnr"]["clean"][variant], abs=1e-3)


@pytest.mark.full
def test_the_psnr_of_clean_input_is_that_of_the_networks_output(
    train: Command, tmp_path: Path, photographs: list[np.ndarray]
) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    run = tmp_path / "run"
    code, _, err = train("finetune", run, validation={"every": 8, "pictures": 1}, crop=128)  # the size of the patches
    assert code == 0, err
    measured = json.loads((run / "validation.jsonl").read_text())["psnr"]["clean"]
    model = DyNet.from_pretrained(run)
    expected = []
    for photograph in photographs:
        for top in (0, 80, 160):  # the patches of the data set; one of them is held out
            patch = photograph[top : top + 128, 100:228].astype(np.float32) / 255
            with torch.no_grad():
                outputs = [model(torch.from_numpy(patch).permute(2, 0, 1)[None], each) for each in model.variants]
            restored = [output[0].permute(1, 2, 0).clamp(0, 1).numpy() for output in outputs]
            expected.append([skimage.peak_signal_noise_ratio(patch, image, data_range=1) for image in restored])
    assert sum(np.allclose(each, [measured["S"], measured["L"]], atol=1e-3) for each in expected) == 1


def test_a_task_of_clean_images_is_validated_once_and_does_not_choose_the_best(train: Command, tmp_path: Path) -> None:
    tasks = {
        "clean": {"weight": 3, "degradations": [{"kind": "none"}]},
        "denoise": {"degradations": [{"kind": "gaussian_noise", "sigma": 15}]},
    }
    run = tmp_path / "run"
    code, _, err = train("finetune", run, tasks=tasks, validation={"every": 4, "pictures": 1})
    assert code == 0, err
    for text in (run / "validation.jsonl").read_text().splitlines():
        line = json.loads(text)
        assert list(line["psnr"]) == ["clean", "denoise"]
        assert line["mean"] == pytest.approx(np.mean([*line["psnr"]["denoise"].values()]), abs=1e-3)
    assert Image.open(run / "previews" / "step-00000008.png").size[1] > 2 * 160  # both are tasks of the recipe


@pytest.mark.full
def test_a_mix_of_clean_images_alone_has_a_best_checkpoint(train: Command, tmp_path: Path) -> None:
    only_clean = {"clean": {"degradations": [{"kind": "none"}]}}
    code, _, err = train("finetune", tmp_path / "run", tasks=only_clean, validation={"every": 4, "pictures": 1})
    assert code == 0, err
    line = json.loads((tmp_path / "run" / "validation.jsonl").read_text().splitlines()[-1])
    assert line["mean"] == pytest.approx(np.mean([*line["psnr"]["clean"].values()]), abs=1e-3)


def test_validation_on_the_only_image_is_refused(
    train: Command, tmp_path: Path, write_patches: Callable[..., None], photographs: list[np.ndarray]
) -> None:
    write_patches(tmp_path / "few", [photographs[0][:64, :64]])
    few = ("--data", tmp_path / "few")
    code, _, err = train("pretrain", tmp_path / "run", *few, validation={"every": 2, "pictures": 1})
    assert (code, err.count("\n")) == (2, 1)
    assert "holds one image" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_a_run_with_ema_writes_the_average_and_checkpoints_the_weights_themselves(
    train: Command, tmp_path: Path
) -> None:
    assert train("pretrain", tmp_path / "run", ema=0.9)[0] == 0
    assert train("pretrain", tmp_path / "plain")[0] == 0
    assert not same_weights(tmp_path / "run", tmp_path / "plain")
    newest = torch.load(tmp_path / "run" / "checkpoints" / "step-00000008.pt", weights_only=True)
    assert all(torch.equal(newest["model"][name], tensor) for name, tensor in load_weights(tmp_path / "plain").items())
    assert all(torch.equal(newest["average"][name], tensor) for name, tensor in load_weights(tmp_path / "run").items())


def test_missing_wandb_is_reported_in_one_line(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, _, err = train("pretrain", tmp_path / "run", wandb="restoration")
    assert (code, err.splitlines()[-1]) == (2, "dynet: wandb is not installed: pip install 'million-ird[wandb]'")


def test_wandb_without_a_login_is_one_line(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is an extra")

    def refuse(_: object) -> None:  # what it does, but without the state of the process that wandb keeps
        raise wandb.errors.UsageError("No API key configured.\nUse `wandb login` to log in.")

    monkeypatch.setattr("accelerate.tracking.WandBTracker.start", refuse)
    code, _, err = train("pretrain", tmp_path / "run", wandb="restoration")
    said = "dynet: wandb: restoration: No API key configured. Use `wandb login` to log in."
    assert (code, err.splitlines()[-1]) == (2, said)


@pytest.mark.full
def test_wandb_logs_the_run(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is an extra")
    monkeypatch.setenv("WANDB_MODE", "offline")
    code, _, err = train("pretrain", tmp_path / "run", wandb="restoration", steps=3)
    assert code == 0, err
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))


def test_the_learning_rate_of_the_steps_is_that_of_the_recipe(train: Command, tmp_path: Path) -> None:
    assert train("finetune", tmp_path / "run", learning_rate=0.01)[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(line["lr"] for line in lines) == 0.01
    assert lines[0]["lr"] > 0
    assert lines[-1]["lr"] < 0.001


def test_bf16_and_worker_processes_train(train: Command, tmp_path: Path) -> None:
    code, _, err = train("pretrain", tmp_path / "run", steps=3, precision="bf16", workers=2)
    assert code == 0, err
    assert all(np.isfinite(tensor).all() for tensor in load_weights(tmp_path / "run").values())


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_every_key_of_a_recipe_is_read(
    stage: str, train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[type, set[str]] = {}

    def spying(self: StrictModel, name: str) -> object:
        seen.setdefault(type(self), set()).add(name)
        return object.__getattribute__(self, name)

    monkeypatch.setattr(StrictModel, "__getattribute__", spying)
    kinds = [{"kind": "gaussian_noise", "sigma": 25}, {"kind": "jpeg", "quality": 30}]
    if stage == "pretrain":
        keys: dict[str, object] = {"corruption": {"share": 0.5, "cell": 4, "degradations": kinds}}
    else:
        keys = {"tasks": {"one": {"degradations": kinds}, "two": {"weight": 2, "degradations": kinds}}}
    keys |= {"validation": {"every": 3, "pictures": 1}, "larger_crops": [{"from_step": 4, "crop": 24, "batch": 2}]}
    assert train(stage, tmp_path / "run", steps=6, batch=4, **keys)[0] == 0
    unread = {
        f"{section.__name__}.{name}"
        for section, names in seen.items()
        for name in set(section.model_fields) - names - {"kind"}
    }
    assert unread == set()


def test_a_crop_larger_than_the_images_is_reported_in_one_line_also_from_a_worker(
    train: Command, tmp_path: Path
) -> None:
    for workers in (0, 1):
        code, _, err = train("pretrain", tmp_path / f"run{workers}", crop=256, workers=workers)
        assert code == 2
        assert err.endswith("has 128x128 pixels, too few for crop: 256\n")
        assert err.count("\n") == 1


@pytest.mark.full
def test_fine_tuning_starts_from_init_and_refuses_another_width(
    train: Command, tmp_path: Path, tiny_weights: Path
) -> None:
    # Steps so small that they change nothing: what comes out is what went in.
    code, _, err = train("finetune", tmp_path / "run", "--init", tiny_weights, steps=3, learning_rate=1e-30)
    assert code == 0, err
    for name, tensor in load_weights(tiny_weights.parent).items():
        torch.testing.assert_close(load_weights(tmp_path / "run")[name], tensor, atol=1e-20, rtol=0)
    wide = {"dim": 8, "heads": [1, 1, 2, 2], "refinement_blocks": 1}
    code, _, err = train("finetune", tmp_path / "wide", "--init", tiny_weights, network=wide)
    assert (code, err.count("\n")) == (2, 1)
    assert "is of another network: the recipe's has dim 8 instead of 4" in err
    assert not (tmp_path / "wide").exists()


@pytest.mark.full
def test_parameters_per_repeat_are_added_to_weights_without_them_but_not_removed(
    train: Command, tmp_path: Path, tiny_weights: Path, recipe_text: Text
) -> None:
    network = yaml.safe_load(recipe_text("finetune"))["network"]
    code, _, err = train("finetune", tmp_path / "own", "--init", tiny_weights, network=network | {"per_repeat": 2})
    assert code == 0, err
    trained = load_weights(tmp_path / "own")
    own = [name for name in trained if ".repeat_" in name]
    assert own
    assert all(trained[name].abs().max() > 0 for name in own)
    code, _, err = train("finetune", tmp_path / "back", "--init", tmp_path / "own", network=network)
    assert code == 2
    assert "the recipe's has per_repeat 0 instead of 2" in err
