"""Every entry point that restores says in one line whether the weights leave clean images alone."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dynet import DyNet
from dynet.model.training_record import TrainingRecord, ValidationResult

Command = Callable[..., tuple[int, str, str]]
UNKNOWN = "dynet: nothing says that these weights were validated on clean images: they may harm"
LOW = "dynet: these weights alter clean images (in validation S 31.2 dB; at 40 it hardly shows): they may harm"


@pytest.fixture
def weights(tiny: DyNet, tmp_path: Path) -> Callable[..., Path]:
    """Writes weights whose training record has these PSNR of clean images by variant."""

    def write(**clean: float) -> Path:
        scores = {"rain": {"S": 30.0, "L": 31.0}} | ({"clean": clean} if clean else {})
        result = ValidationResult(step=4, mean=30.5, psnr=scores)
        record = TrainingRecord(
            steps=4, recipe={"stage": "finetune", "steps": 4}, data_sets=("set",), validated=result, best=result
        )
        tiny.save(tmp_path / "weights.safetensors", training=record)
        return tmp_path / "weights.safetensors"

    return write


@pytest.mark.parametrize(
    ("clean", "variants", "said"),
    [
        ({}, "L", UNKNOWN),
        ({"S": 31.24, "L": 52.0}, "S,L", LOW),
        ({"S": 31.24, "L": 52.0}, "L", None),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_restore_warns_on_stderr_alone(
    clean: dict[str, float],
    variants: str,
    said: str | None,
    as_json: bool,
    weights: Callable[..., Path],
    tmp_path: Path,
    dynet_command: Command,
) -> None:
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(tmp_path / "a.png")
    arguments = ["restore", tmp_path / "a.png", "--out", tmp_path / "out", "--weights", weights(**clean)]
    code, stdout, err = dynet_command(
        *arguments, "--variants", variants, "--device", "cpu", *(["--json"] if as_json else [])
    )
    assert code == 0, err
    lines = [line for line in err.splitlines() if line.startswith("dynet: ")]
    assert len(lines) == (said is not None)
    assert all(line.startswith(str(said)) for line in lines)
    assert "clean images" not in stdout
    if as_json:
        assert [json.loads(line)["input"] for line in stdout.splitlines()] == [str(tmp_path / "a.png")]


def test_arguments_that_cannot_be_used_are_one_line_without_the_warning(
    weights: Callable[..., Path], tmp_path: Path, dynet_command: Command
) -> None:
    arguments = ("restore", tmp_path / "missing.png", "--out", tmp_path / "out", "--weights", weights())
    code, _, err = dynet_command(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert "validated" not in err


@pytest.mark.parametrize(
    ("clean", "said"),
    [
        ({}, "Nothing says that these weights were validated on clean images: they may harm"),
        ({"S": 31.24, "L": 52.0}, "These weights alter clean images (in validation S 31.2 dB; "),
        ({"S": 45.0, "L": 52.0}, None),
    ],
)
def test_the_demo_page_shows_the_warning(
    clean: dict[str, float],
    said: str | None,
    weights: Callable[..., Path],
    tmp_path: Path,
    dynet_command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("gradio")
    from dynet.demo.page import DemoPage
    from dynet.demo.uploads import PageFolder, UploadLimits

    served = SimpleNamespace()
    monkeypatch.setattr("dynet.demo.serve.serve", lambda _listener, restorer, *_: setattr(served, "restorer", restorer))
    code, _, err = dynet_command("demo", "--weights", weights(**clean), "--port", "0", "--device", "cpu")
    assert code == 0, err
    folder = tmp_path.resolve() / "page"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    page = DemoPage(served.restorer, UploadLimits(0.05), PageFolder(folder))
    assert page.warning.visible == (said is not None)
    assert (said or "") in page.warning.value
    assert ("role='note'" in page.warning.value) == (said is not None)
