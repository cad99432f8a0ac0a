"""The page's functions, called with what a browser sends; tests with a real browser are in tests/integration."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.degradations.strengths import CHOICES
from dynet.demo.restorer import Restorer
from dynet.demo.uploads import PageFolder, UploadLimits, read_upload

pytest.importorskip("gradio")
from dynet.demo.html import weights_line
from dynet.demo.page import ALL, NONE, DemoPage, _added, _settings_of
from dynet.model.training_record import StartingWeights, TrainingRecord, ValidationResult

STRENGTH, SEED = 25, 0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Iterator[DemoPage]:
    folder = tmp_path_factory.mktemp("page").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield DemoPage(
            Restorer(DyNet.from_pretrained(tiny_weights), torch.device("cpu")), UploadLimits(0.05), PageFolder(folder)
        )


@pytest.fixture
def upload(page: DemoPage, photographs: list[np.ndarray]) -> dict[str, Any]:
    """Store a photograph, and describe it as gradio does after an upload."""
    path = page.folder.path / "0123abcd" / "holiday.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(photographs[1][:48, :64]).save(path)
    return {"path": str(path), "orig_name": "holiday.png"}


def _text(html: str) -> str:
    return re.sub(r"<[^>]+>", " ", html)


def _restore(page: DemoPage, *arguments: object) -> list[Any]:
    return page.restore(*arguments, progress=lambda *_, **__: None)  # type: ignore[arg-type]


def test_an_image_is_described_and_shown_unchanged(page: DemoPage, upload: dict[str, Any]) -> None:
    shown, message = page.receive(upload)
    assert shown == {"__type__": "update"}
    assert "holiday.png: 64 × 48 pixels, colour of 8 bits" in message


def test_an_image_that_cannot_be_read_is_removed_with_a_message(page: DemoPage) -> None:
    path = page.folder.path / "notes.png"
    path.write_text("hello")
    shown, message = page.receive({"path": str(path), "orig_name": "<b>notes.png"})
    assert shown is None
    assert "role='alert'" in message
    assert "&lt;b&gt;notes.png: not an image" in message


def test_an_example_is_shown_and_described(page: DemoPage) -> None:
    shown, message = page.choose_example(1)
    read_upload(Path(shown), "cat.png", page.limits)
    assert Path(shown).is_file()
    assert "portrait.png: 206 × 242 pixels" in message  # within the limit


def test_what_is_chosen_at_first_shows_something(page: DemoPage) -> None:
    assert page.kind.value == "gaussian_noise"
    assert (page.strength.minimum, page.strength.maximum, page.strength.value) == (0, 50, 25)
    assert "σ" in page.strength.label
    assert page.settings.visible is True


@pytest.mark.parametrize("kind", CHOICES)
def test_the_slider_has_the_unit_of_the_degradation(kind: str) -> None:
    settings, slider = _settings_of(kind)
    main = next(iter(CHOICES[kind].mild))
    assert settings["visible"] is True
    assert slider["label"] == f"Strength: {CHOICES[kind].unit}"
    for value in (slider["minimum"], slider["value"], slider["maximum"]):
        assert _added(kind, value, 0).parameters[main] == pytest.approx(value)
    assert (slider["maximum"] - slider["minimum"]) / slider["step"] >= 10
    assert _settings_of(NONE)[0]["visible"] is False


TASKS = {"clean": {"degradations": [{"kind": "none"}]}}


def test_the_page_says_which_weights_it_has() -> None:
    recipe = {
        "stage": "finetune",
        "steps": 1800,
        "tasks": {"denoise": {"degradations": [{"kind": "gaussian_noise", "sigma": [0, 55]}]}},
    }
    reached = ValidationResult(step=1800, mean=31.0, psnr={"denoise": {"S": 31.0, "L": 31.25, "XS": 30.0}})
    training = TrainingRecord(steps=1800, recipe=recipe, data_sets=("a",), validated=reached)
    said = " ".join(_text(weights_line("<laptop>", training, ("S", "L"))).split())
    assert said == (
        "Weights &lt;laptop&gt; , fine-tuned for 1,800 steps on Gaussian noise (σ 0 to 55). "
        "PSNR in validation: denoise S 31.0 dB, L 31.2 dB."
    )
    assert "does not say" in weights_line("a", None, ("S",))


def test_the_steps_are_those_of_all_runs_of_the_stage() -> None:
    run = TrainingRecord(steps=500, recipe={"stage": "pretrain", "steps": 500}, data_sets=())
    for steps in (900, 60):
        start = StartingWeights(sha256="0" * 64, training=run)
        run = TrainingRecord(steps=steps, recipe={"stage": "finetune", "tasks": TASKS}, data_sets=(), start=start)
    assert "fine-tuned for 960 steps in 2 runs on clean images." in _text(weights_line("a", run, ("S",)))
    assert run.start is not None
    assert run.start.training is not None
    before = run.start.training.start
    assert before is not None
    assert "pre-trained for 500 steps." in _text(weights_line("a", before.training, ("S",)))


def test_one_variant_updates_its_slider_and_download_and_hides_the_other(
    page: DemoPage, upload: dict[str, Any]
) -> None:
    message, table, *updates = _restore(page, upload, "gaussian_noise", STRENGTH, SEED, "L")
    s_slider, l_slider, s_download, l_download = updates
    assert re.search(r"Restored by L in \d+\.\d s", message)
    assert (s_slider["visible"], l_slider["visible"]) == (s_download["visible"], l_download["visible"]) == (False, True)
    before, after = (np.asarray(Image.open(path)) for path in l_slider["value"])
    assert before.shape == after.shape == (48, 64, 3)
    assert not np.array_equal(before, after)
    assert Path(l_download["value"]).name == "holiday.L.png"
    assert np.array_equal(np.asarray(Image.open(l_download["value"])), after)
    text = _text(table)
    assert re.search(r"Before\s+\d\d\.\d\d dB\s+0\.\d{4}", text)
    assert re.search(r" L \s+\d+\.\d\d dB\s+-?0\.\d{4}\s+\d+\.\d s\s+[\d,]+ MB\s+1 ", text)
    assert "Gaussian noise (sigma 25; seed 0)" in text


def test_both_variants_have_a_row_a_slider_and_a_download_each(page: DemoPage, upload: dict[str, Any]) -> None:
    message, table, *updates = _restore(page, upload, NONE, None, None, ALL)
    assert re.search(r"Restored by S in \d+\.\d s, by L in", message)
    assert all(update["visible"] for update in updates)
    assert table.count("<th scope='row'>") == 2
    assert "PSNR" not in table  # without a degradation the clean image is not known


@pytest.mark.parametrize("kind", CHOICES)
def test_every_degradation_of_the_page_can_be_added(page: DemoPage, upload: dict[str, Any], kind: str) -> None:
    message, table, *_ = _restore(page, upload, kind, CHOICES[kind].ends[1], 3, "S")
    assert "Restored by S" in message
    assert f"added: {CHOICES[kind].label} (" in table


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({0: None}, "Choose an image first"),
        ({0: {"orig_name": "a.png"}}, "Choose an image first"),
        ({1: "eval"}, "no such degradation"),
        ({1: ["rain"]}, "no such degradation"),
        ({2: 101}, "strength"),
        ({2: None}, "numbers"),
        ({2: "NaN"}, "finite"),
        ({3: -1}, "seed"),
        ({3: 1e400}, "finite"),
        ({3: {}}, "numbers"),
        ({4: "XL"}, "no such variant"),
        ({4: None}, "no such variant"),
    ],
    ids=str,
)
def test_an_unusable_request_is_answered_with_a_message(
    page: DemoPage, upload: dict[str, Any], changes: dict[int, object], reason: str
) -> None:
    arguments: list[object] = [upload, "gaussian_noise", STRENGTH, SEED, "S"]
    for index, value in changes.items():
        arguments[index] = value
    message, *rest = _restore(page, *arguments)
    assert "role='alert'" in message
    assert reason in message
    assert rest == [{"__type__": "update"}] * 5  # the results on the page stay


def test_an_image_with_a_long_name_can_be_downloaded(page: DemoPage, upload: dict[str, Any]) -> None:
    path = Path(upload["path"]).rename(page.folder.path / f"{'写' * 80}.png")
    *_, download = _restore(page, upload | {"path": str(path)}, NONE, None, None, "L")
    assert Path(download["value"]).name == f"{'写' * 60}.L.png"


def test_examples_are_kept_regardless_of_their_age(page: DemoPage, upload: dict[str, Any]) -> None:
    for path in page.example_files:
        os.utime(path, times=(1, 1))
    page.receive(upload)
    assert all(path.exists() for path in page.example_files)


def test_requests_are_processed_one_at_a_time_and_few_may_wait(page: DemoPage) -> None:
    queue = page.blocks._queue
    assert (queue.max_size, queue.default_concurrency_limit) == (8, 1)
    assert all(function.concurrency_limit in (1, "default") and function.queue for function in page.blocks.fns.values())
    assert all(function.api_visibility == "private" for function in page.blocks.fns.values())
