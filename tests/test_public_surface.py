"""The public names of both packages, their parameters and docstrings; one clear error for each wrong argument."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dynet
import million_ird
from dynet.config.recipe import load_recipe
from dynet.config.shipped_recipes import find_recipe
from dynet.errors import DyNetError, RecipeError, UsageError
from million_ird.errors import MillionIRDError

RECIPE = load_recipe(find_recipe("demo_finetune"), "finetune")
CLASSES = {
    million_ird: {"Options", "Recipe", "Result", "SourceSpec"},
    dynet: {"LARGE", "SMALL", "DyNet", "ReuseSchedule", "Variant"},
}
"""Public names that are no functions."""
PARAMETERS = {
    (million_ird, "build"): "sources out recipe options",
    (million_ird, "explain"): "out candidate",
    (million_ird, "load"): "path",
    (million_ird, "plan"): "sources out recipe options",
    (million_ird, "publish"): "out repo_id private revision dry_run",
    (million_ird, "score"): "files metrics models measures",
    (million_ird, "verify"): "out workers scheduler",
    (dynet, "evaluate"): "weights benchmark protocol variants sigma metrics tile self_ensemble out device",
    (dynet, "export"): "weights out variants format local_statistics overwrite",
    (dynet, "load_spandrel"): "path",
    (dynet, "restore"): "image weights variant tile self_ensemble precision local_statistics device",
    (dynet, "train"): "data out recipe stage init resume steps stream device",
}
VALID: dict[str, dict[str, Any]] = {
    "build": {"sources": "in", "out": "out"},
    "plan": {"sources": "in", "out": "out"},
    "verify": {"out": "out"},
    "explain": {"out": "out", "candidate": "a"},
    "publish": {"out": "out", "repo_id": "user/name"},
    "score": {"files": "a.png", "metrics": "niqe"},
    "restore": {"image": np.zeros((16, 16, 3), np.uint8), "weights": "weights"},
    "train": {"data": "in", "out": "out", "recipe": "demo_finetune"},
    "evaluate": {"weights": "weights", "benchmark": {"A": "in"}},
    "export": {"weights": "weights", "out": "a.onnx"},
}
OPTIONAL = {"options", "models", "measures", "revision", "scheduler", "workers", "init", "steps", "stage", "sigma"}
OPTIONAL |= {"metrics", "variants", "tile", "out", "local_statistics", "variant"}
"""Parameters for which None is a value; where they are required as well, it is not tried."""
WRONG: tuple[Any, ...] = (5.5, b"x", [3.5], object(), np.zeros(3), "")
FLAGS_AND_CHOICES = {"private", "dry_run", "resume", "stream", "overwrite", "device", "precision", "format", "protocol"}


@pytest.mark.parametrize("package", CLASSES, ids=lambda package: package.__name__)
def test_the_public_names_are_these(package: ModuleType) -> None:
    functions = {name for home, name in PARAMETERS if home is package}
    assert set(package.__all__) == CLASSES[package] | functions | {"__version__"}
    assert dir(package) == sorted(package.__all__)


@pytest.mark.parametrize(("home", "name"), PARAMETERS, ids=lambda part: getattr(part, "__name__", part))
def test_functions_have_these_parameters_and_describe_each(home: ModuleType, name: str) -> None:
    function = getattr(home, name)
    told = inspect.getdoc(function) or ""
    parameters = list(inspect.signature(function).parameters)
    assert parameters == PARAMETERS[home, name].split()
    assert "Raises:" in told
    assert all(f"\n    {parameter}: " in told for parameter in parameters) or name == "load"


def wrong_arguments() -> list[Any]:
    cases = []
    for home, name in PARAMETERS:
        for parameter in inspect.signature(getattr(home, name)).parameters if name in VALID else ():
            valid = (5.5, [3.5]) if parameter == "sigma" else ()
            for number, value in enumerate((*WRONG, *([1] if parameter in FLAGS_AND_CHOICES else []))):
                if not any(type(value) is type(one) and value == one for one in valid):
                    cases.append(pytest.param(home, name, parameter, value, id=f"{name}-{parameter}-{number}"))
    return cases


@pytest.mark.parametrize(("home", "name", "parameter", "value"), wrong_arguments())
def test_a_wrong_argument_is_one_error_that_names_it(
    home: ModuleType, name: str, parameter: str, value: Any, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights.parent)
    with pytest.raises((DyNetError, MillionIRDError)) as raised:
        getattr(home, name)(**{**VALID[name], parameter: value})
    said = str(raised.value)
    assert said.startswith((f"{parameter}:", f"{parameter} "))
    assert "\n" not in said
    assert "--" not in said


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny network, beside the folder `in` with an image."""
    folder = tmp_path_factory.mktemp("surface")
    torch.manual_seed(0)
    tiny_network().save(folder / "weights")
    (folder / "in").mkdir()
    Image.effect_noise((32, 32), 60).convert("RGB").save(folder / "in" / "a.png")
    return folder / "weights"


def tiny_network() -> dynet.DyNet:
    shape = {"heads": (1, 1, 2, 2), "prompts": 3, "prompt_channels": (4, 4, 8), "prompt_sizes": (8, 4, 2)}
    return dynet.DyNet(dim=4, refinement_blocks=1, **shape).eval()  # type: ignore[arg-type]


SHAPES = ((20, 24), (20, 24, 1), (20, 24, 2), (20, 24, 3), (20, 24, 4))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float16", "float32", "float64"])
def test_an_array_comes_back_in_its_shape_and_type(shape: tuple[int, ...], dtype: str, weights: Path) -> None:
    white = 1.0 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    array = (np.random.default_rng(0).random(shape) * white).astype(dtype)
    before = array.copy()
    restored = dynet.restore(array, weights, "S")
    assert (restored.shape, restored.dtype) == (array.shape, array.dtype)
    assert (array == before).all()
    if shape[2:] in ((2,), (4,)):
        assert (restored[..., -1] == array[..., -1]).all()
    assert (restored != array).any()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        *(("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("CMYK", "RGB")),
        *(("I;16", "I;16"), ("F", "F"), ("YCbCr", "RGB")),
    ],
)
def test_a_pil_image_comes_back_as_one(mode: str, expected: str, weights: Path) -> None:
    source = Image.effect_noise((24, 20), 60)
    image = source.convert(mode) if mode in ("1", "LA", "F", "I;16") else source.convert("RGB").convert(mode)
    image.info["dpi"] = (72, 72)
    restored = dynet.restore(image, weights, "L")
    assert (restored.mode, restored.size, restored.info["dpi"]) == (expected, image.size, (72, 72))


def test_a_path_gives_what_the_array_gives(weights: Path) -> None:
    path = weights.parent / "in" / "a.png"
    from_path = dynet.restore(path, weights)
    assert (np.asarray(from_path) == dynet.restore(np.asarray(Image.open(path)), str(weights), dynet.LARGE)).all()


@pytest.mark.parametrize(
    "image",
    [
        *(
            np.zeros((3, 20, 24), np.uint8),
            np.zeros((0, 4, 3), np.uint8),
            np.zeros((4, 4), int),
            np.zeros((4, 4), bool),
        ),
        *(
            np.full((4, 4), np.nan),
            np.zeros((1, 4, 4, 3), np.uint8),
            torch.zeros(3, 8, 8),
            Image.new("I", (4, 4)),
            np.ma.masked_array(np.zeros((4, 4)), np.ones((4, 4), bool)),
            None,
        ),
    ],
    ids=lambda image: f"{type(image).__name__}{getattr(image, 'shape', '')}",
)
def test_what_is_no_image_is_named(image: Any, weights: Path) -> None:
    with pytest.raises(DyNetError, match=r"^image: "):
        dynet.restore(image, weights)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "F", "CMYK"])
@pytest.mark.parametrize("value", [3, (1, 2, 3), b"\0\1", None, "x"], ids=str)
def test_a_transparent_colour_of_another_mode_is_named(mode: str, value: Any, weights: Path) -> None:
    image = Image.new(mode, (8, 8))
    image.info["transparency"] = value  # as `split` leaves it
    fits = {"1": (int,), "L": (int,), "P": (int, bytes), "RGB": (int, tuple)}
    if isinstance(value, fits.get(mode, object)):
        assert dynet.restore(image, weights).mode in (mode, "RGBA", "LA", "RGB")
    else:
        with pytest.raises(DyNetError, match=r"^image: its transparency, .* mode"):
            dynet.restore(image, weights)


def test_numbers_of_numpy_are_numbers(weights: Path) -> None:
    image = np.zeros((40, 40), np.uint8)
    assert (dynet.restore(image, weights, tile=np.int64(32)) == dynet.restore(image, weights, tile=32)).all()
    report = dynet.evaluate(weights, {"A": weights.parent / "in"}, sigma=[np.float32(15), np.int64(25)], variants="S")
    assert {row["sigma"] for row in report.as_object()["results"]} == {15, 25}


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: dynet.restore(np.zeros((8, 8)), "w" * 300), UsageError),
        (lambda: dynet.train("in", "o" * 300, "demo_pretrain"), UsageError),
        (lambda: dynet.evaluate("w", {"A": "i" * 300}), UsageError),
        (lambda: dynet.evaluate("w", {"A=B": "in"}), UsageError),
    ],
)
def test_what_the_system_refuses_is_an_error_of_dynet(
    call: Callable[[], Any], kind: type[DyNetError], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights.parent)
    with pytest.raises(kind) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 0}, "steps: "),
        ({"stepz": 5}, "unknown key 'stepz'; the nearest valid one is 'steps'"),
        ({"learning_rate": float("nan")}, "learning_rate: "),
        ({"variants": {}}, "variants: "),
        ({"network": RECIPE.network.model_copy(update={"dim": 7})}, "network: dim"),
        ({"network": RECIPE.network.model_copy(update={"dimm": 8})}, "unknown key 'network.dimm'"),
    ],
)
def test_a_recipe_that_was_changed_unchecked_is_checked(
    changes: dict[str, Any], said: str, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as raised:
        dynet.train(weights.parent / "in", tmp_path / "out", RECIPE.model_copy(update=changes))
    assert str(raised.value).startswith(f"recipe: {said}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model: model(torch.rand(3, 8, 8)), r"x: has the shape .3, 8, 8., .* makes a batch"),
        (lambda model: model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), "x: is of torch.uint8"),
        (lambda model: model(torch.zeros(1, 3, 8, 8, dtype=torch.float64)), "x: is of torch.float64"),
        (lambda model: model(torch.rand(1, 1, 8, 8)), "x: has the shape"),
        (lambda model: model(np.zeros((1, 3, 8, 8))), "x: a ndarray is not a tensor"),
        (lambda model: model(torch.rand(1, 3, 8, 8), "s"), "variant: these weights have no variant 's', but S, L"),
        (lambda model: model(torch.rand(1, 3, 8, 8), 4), "variant: these weights have no variant 4"),
    ],
)
def test_a_network_names_what_is_wrong_with_its_argument(call: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(DyNetError, match=said):
        call(tiny_network())


def test_a_network_takes_the_name_of_a_variant() -> None:
    model, x = tiny_network(), torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(model(x, "S"), model(x, dynet.SMALL))


@pytest.mark.parametrize("module", ["x = 1\n", "raise ImportError('no _dynet')\n"], ids=["imports", "does not"])
def test_another_dynet_in_the_way_is_one_line(module: str, tmp_path: Path) -> None:
    (tmp_path / "dynet.py").write_text(module)
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from million_ird_dynet import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert str(tmp_path / "dynet.py") in done.stderr
    assert "CMU" in done.stderr
