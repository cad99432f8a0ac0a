import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelHubMixin
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dynet import DyNet, ReuseSchedule, Variant
from dynet.errors import WeightsError
from dynet.model.training_record import StartingWeights, TrainingRecord, ValidationResult, recipe_digest
from dynet.model.weights import METADATA_KEY, Architecture, locate_weights, read_header

ROOT = Path(__file__).parents[3]
RECORD = TrainingRecord(
    steps=7,
    recipe={"stage": "finetune", "steps": 9, "variants": [["S", {"schedule": [1, 1, 1, 1]}]]},
    data_sets=("user/far", "near"),
    validated=ValidationResult(step=7, mean=20.5, psnr={"rain": {"S": 20.0, "L": 21.0}}),
    best=ValidationResult(step=5, mean=21.5, psnr={"rain": {"S": 21.0, "L": 22.0}}),
)
STARTED = replace(RECORD, start=StartingWeights(sha256="cd" * 32, training=replace(RECORD, validated=None, best=None)))


def test_saved_weights_are_loaded_bitwise_with_their_configuration(tiny: DyNet, tmp_path: Path) -> None:
    tiny.variants = (Variant("M", ReuseSchedule(1, 2, 3, 4)),)
    tiny.to(memory_format=torch.channels_last)
    tiny.save(tmp_path / "w.safetensors", notes={"stage": "pretrain"})
    tiny.save_pretrained(tmp_path / "folder")
    for source in (tmp_path / "w.safetensors", tmp_path / "folder", str(tmp_path / "folder")):
        model = DyNet.from_pretrained(source)
        assert model.architecture == tiny.architecture
        assert model.variants == tiny.variants
        for name, tensor in tiny.state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor)
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(x), tiny(x), atol=1e-5, rtol=0)
    assert read_header(tmp_path / "w.safetensors").notes == {"stage": "pretrain"}
    assert not list(tmp_path.glob(".*"))


def test_the_same_weights_give_the_same_bytes(tiny: DyNet, tmp_path: Path) -> None:
    for name in ("one", "two"):
        tiny.save(tmp_path / name, notes={"b": "1", "a": "2", "c": "3"}, training=STARTED)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("record", [RECORD, STARTED], ids=["begun fresh", "begun from others"])
def test_the_training_record_is_read_back_from_the_file(tiny: DyNet, tmp_path: Path, record: TrainingRecord) -> None:
    tiny.save(tmp_path / "w.safetensors", training=record)
    header = read_header(tmp_path / "w.safetensors")
    assert header.training == record
    assert header.version == "0.1.0"


def test_older_files_without_a_training_record_still_load(tiny: DyNet, tmp_path: Path) -> None:
    path = _changed(tiny, tmp_path, lambda told, _: told.pop("dynet"))
    header = read_header(path)
    assert (header.training, header.version) == (None, None)
    assert torch.equal(DyNet.from_pretrained(path).state_dict()["output.weight"], tiny.output.weight)


def test_a_header_is_read_without_torch(tiny_weights: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dynet.model.weights import read_header\n"
        f"assert read_header(Path({str(tiny_weights)!r})).variants\n"
        "assert not {'torch', 'huggingface_hub', 'jinja2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_network_is_saved_and_loaded_as_the_mixin_does(tiny: DyNet, tmp_path: Path) -> None:
    assert isinstance(tiny, ModelHubMixin)
    assert tiny.save_pretrained(tmp_path) is None
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "config.json", "weights.safetensors"}
    told = json.loads((tmp_path / "config.json").read_text())
    assert told["architecture"] == tiny.architecture.header_fields() | {
        name: list(getattr(tiny.architecture, name)) for name in ("heads", "prompt_channels", "prompt_sizes")
    }
    for name in ("README.md", "config.json"):
        (tmp_path / name).unlink()  # neither is needed
    assert DyNet.from_pretrained(tmp_path).architecture == tiny.architecture
    with pytest.raises(TypeError, match="per_repeats"):
        DyNet.from_pretrained(tmp_path, per_repeats=2)  # type: ignore[call-arg]


def test_weights_in_half_precision_load_as_float32_and_run_in_either(tiny: DyNet, tmp_path: Path) -> None:
    x = torch.rand(1, 3, 16, 16)
    tiny.to(torch.bfloat16).save(tmp_path / "w.safetensors")
    model = DyNet.from_pretrained(tmp_path / "w.safetensors")
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    with torch.no_grad():
        assert (model(x) - model.to(torch.bfloat16)(x.bfloat16()).float()).abs().max() < 0.05


def _changed(model: DyNet, folder: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> Path:
    """A weights file whose header and tensors were changed by hand."""
    path = folder / "changed.safetensors"
    model.save(path, training=RECORD if "training" in change.__name__ else None)
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()[METADATA_KEY])
    tensors = load_file(path)
    change(told, tensors)
    save_file(tensors, path, {METADATA_KEY: json.dumps(told)})
    return path


def _nan(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["output.weight"][0, 0, 0, 0] = float("nan")


def _infinite(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["embed.weight"] = tensors["embed.weight"].half()
    tensors["embed.weight"][0, 0, 0, 0] = float("inf")


def _integers(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["output.weight"] = tensors["output.weight"].to(torch.int32)


def _renamed(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["outputs.weight"] = tensors.pop("output.weight")


def _extra(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.weight"] = torch.zeros(1)


def _other_shape(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    tensors["output.weight"] = tensors["output.weight"][:, :, :1, :1].clone()


def _huge(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    told["architecture"] |= {"dim": 2**22}


def _newer(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    told["format"] = 2


def _no_variant(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    told["variants"] = {}


def _another_key(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    told["architecture"]["depth"] = 3


def _another_recipe_in_training(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    told["training"]["recipe"]["steps"] = 10


def _damaged_training(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    told["training"] = ["steps"]


def _infinite_training(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    told["training"]["steps"] = float("inf")


def _no_scores_in_training(told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    told["training"]["validated"] = {"step": 7, "mean": 20.5, "psnr": {"clean": {"L": "high"}}}


MISFITS: dict[str, tuple[Callable[[dict[str, Any], dict[str, torch.Tensor]], None], str]] = {
    "no number": (_nan, "tensor output.weight has values that are infinite or not a number"),
    "infinite": (_infinite, "tensor embed.weight has values that are infinite or not a number"),
    "integers": (_integers, "tensor output.weight is of torch.int32, not of floating-point numbers"),
    "missing": (_renamed, "does not fit: 1 missing, first output.weight"),
    "unknown": (_extra, "does not fit: 1 unknown, first head.weight"),
    "other shape": (_other_shape, "does not fit: output.weight is (3, 8, 1, 1) instead of (3, 8, 3, 3)"),
    "a network for no memory": (_huge, "does not fit: "),
    "another format": (_newer, "the configuration inside is unusable: format 2 instead of 1: another version of dynet"),
    "no variant": (_no_variant, "the configuration inside is unusable: it names no variant"),
    "another key": (_another_key, "the configuration inside is unusable: "),
    "another recipe": (_another_recipe_in_training, "the recipe does not match its digest"),
    "no scores": (_no_scores_in_training, "the configuration inside is unusable: "),
    "infinite steps": (_infinite_training, "the configuration inside is unusable: "),
    "damaged": (_damaged_training, "the configuration inside is unusable: "),
}


@pytest.mark.parametrize("case", MISFITS)
def test_weights_that_do_not_fit_are_a_one_line_error(tiny: DyNet, tmp_path: Path, case: str) -> None:
    change, message = MISFITS[case]
    path = _changed(tiny, tmp_path, change)
    with pytest.raises(WeightsError) as caught:
        DyNet.from_pretrained(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Architecture)])
def test_a_field_of_another_type_is_a_one_line_error(tiny: DyNet, tmp_path: Path, name: str) -> None:
    for wrong in (8.0, "8", None, True, -1, [8], [8.0, 8.0, 8.0, 8.0], [True] * 3, float("inf"), {}):

        def change(told: dict[str, Any], _: object, wrong: object = wrong) -> None:
            told["architecture"][name] = wrong

        with pytest.raises(WeightsError, match="the configuration inside is unusable") as caught:
            read_header(_changed(tiny, tmp_path, change))
        assert "\n" not in str(caught.value)


OTHERS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "noise": (lambda path, _: path.write_bytes(b"noise"), "is not a safetensors file, or is truncated"),
    "empty": (lambda path, _: path.write_bytes(b""), "is not a safetensors file, or is truncated"),
    "cut short": (
        lambda path, whole: path.write_bytes(whole.read_bytes()[:-100]),
        "is not a safetensors file, or is truncated",
    ),
    "a pickle": (lambda path, _: torch.save({"a": torch.zeros(1)}, path), "is a checkpoint of torch, not safetensors"),
    "an old pickle": (
        lambda path, _: torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=False),
        "is a checkpoint of torch, not safetensors",
    ),
    "a page": (lambda path, _: path.write_text("\n<!doctype html>\n<title>Log in</title>"), "is a web page"),
    "a pointer": (
        lambda path, _: path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"),
        "is a pointer of git-lfs",
    ),
    "nested": (
        lambda path, _: save_file({"a": torch.zeros(1)}, path, {METADATA_KEY: "[" * 200_000}),
        "the configuration inside is unusable",
    ),
    "other weights": (lambda path, _: save_file({"a": torch.zeros(1)}, path), "is not a weights file of dynet; `dynet"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_file_that_is_no_weights_file_is_a_one_line_error(tmp_path: Path, tiny_weights: Path, case: str) -> None:
    make, message = OTHERS[case]
    make(tmp_path / "w.safetensors", tiny_weights)
    with pytest.raises(WeightsError) as caught:
        DyNet.from_pretrained(tmp_path / "w.safetensors")
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "w.safetensors"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nopics", "weights.safetensors", "./run", "a/b/c", "tests/nothing", "", "/nowhere"])
def test_a_mistyped_path_is_an_error_at_once_without_asking_the_hub(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("dynet.model.weights.download", lambda *_: pytest.fail("the Hub was asked"))
    with pytest.raises(WeightsError) as caught:
        locate_weights(name)
    assert str(caught.value).startswith(f"{name!r}: no such file or folder")
    assert ("a model on the Hub is named user/name" in str(caught.value)) == (name in ("nopics", "weights.safetensors"))


def test_a_folder_without_weights_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no weights\.safetensors: is its training finished\?"):
        DyNet.from_pretrained(tmp_path)


def test_an_unreachable_hub_is_a_one_line_error(tmp_path: Path) -> None:
    """At a port of this machine where nobody listens; how often it is tried, test_round_trip.py counts."""
    code = (
        "from dynet.model import hub_download\nfrom dynet.model.weights import locate_weights\n"
        "from dynet.errors import WeightsError\nhub_download.PAUSES = (0, 0)\n"
        "try:\n    locate_weights('user/nopics')\nexcept WeightsError as error:\n    print(error)"
    )
    place = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=place, capture_output=True, text=True, check=True)
    message = "user/nopics: no such file or folder here, and the Hub could not be asked for a model of that name: "
    assert done.stdout.startswith(message), done
    assert done.stdout.count("\n") == 1


def test_the_digest_of_a_recipe_does_not_depend_on_the_order_of_its_keys() -> None:
    assert recipe_digest({"a": 1, "b": [2]}) == recipe_digest({"b": [2], "a": 1}) != recipe_digest({"a": 1, "b": [3]})
