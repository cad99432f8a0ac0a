"""What a part of the packages is enough for, and what a command says that needs another part."""

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
import skimage.data
import typer

import dynet.extras
import million_ird.extras
from dynet.cli.app import app as dynet_app
from tests import environments
from tests.environments import ROOT

WEIGHTS = str(ROOT / "benchmarks" / "weights" / "dynet-noise-rain")
PICTURE = str(Path(skimage.data.__file__).parent / "coffee.png")
LAPTOP = ROOT / "weights" / "dynet-laptop"
DYNET = {
    "train": ["--data", "images", "--stage", "finetune", "--config", "dynet_laptop.yaml", "--out", "run"],
    "evaluate": ["--weights", WEIGHTS, "--benchmark", "b=images", "--protocol", "strict"],
    "restore": [PICTURE, "--out", "restored", "--weights", WEIGHTS],
    "convert": [str(LAPTOP / "weights.safetensors"), "w.safetensors"],
    "degrade": [PICTURE, "--out", "noisy"],
    "split": [WEIGHTS, "--out", "parts"],
    "join": [WEIGHTS, "w.safetensors"],
    "export": ["--weights", WEIGHTS, "--out", "f.onnx"],
    "publish": [str(LAPTOP), "--repo-id", "a/b", "--licence", "mit", "--dry-run"],
    "demo": ["--weights", WEIGHTS, "--port", "0"],
}
"""Every command of dynet that needs an extra, with arguments that are right."""
LISTINGS = {"recipes", "variants", "degradations"}
MILLION_IRD = {
    "score": ("scores", ["score", PICTURE, "--metrics", "musiq"]),
    "calibrate": ("scores", ["calibrate", "--good", "images", "--bad", "images", "--scores", "musiq"]),
    "build with a neural score": ("scores", ["build", "--sources", PICTURE, "--out", "set", "--recipe", "neural.yaml"]),
    "build from S3": ("s3", ["build", "--sources", "s3://bucket/folder", "--out", "set"]),
    "build to S3": ("s3", ["build", "--sources", PICTURE, "--out", "s3://bucket/set"]),
    "export": ("lmdb", ["export", "set", "--format", "lmdb"]),
}


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment without any extra."""
    return _checkout(tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the extra `train` alone."""
    return _checkout(tmp_path_factory.mktemp("train"), "train")


def _checkout(folder: Path, *extras: str) -> Path:
    environments.link_checkout(environments.create(folder, *extras))
    return environments.python_of(folder)


def _run(python: Path, program: str, arguments: list[str], where: Path) -> tuple[int, str, str]:
    (where / "images").mkdir(exist_ok=True)
    for path in (PICTURE, PICTURE.replace("coffee", "rocket").replace(".png", ".jpg")):
        shutil.copy(path, where / "images")
    code = f"from {program}.cli.app import main; main()"
    done = subprocess.run(
        [python, "-c", code, *arguments], cwd=where, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


def _advice(extra: str) -> str:
    return f"pip install 'million-ird[{extra}]'"


@pytest.mark.parametrize("command", sorted(DYNET))
def test_every_command_of_dynet_names_the_extra_that_it_needs(core: Path, command: str, tmp_path: Path) -> None:
    code, out, error = _run(core, "dynet", [command, *DYNET[command]], tmp_path)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    assert error.startswith("dynet: ")
    assert _advice("demo" if command == "demo" else "train") in error
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_the_commands_above_are_all_commands_of_dynet() -> None:
    assert {*DYNET, *LISTINGS} == set(typer.main.get_command(dynet_app).commands)


@pytest.mark.parametrize("command", sorted(LISTINGS))
def test_what_there_is_is_listed_without_any_extra(core: Path, command: str, tmp_path: Path) -> None:
    code, out, error = _run(core, "dynet", [command], tmp_path)
    assert (code, error) == (0, "")
    assert out.count("\n") > 1


@pytest.mark.parametrize(
    ("command", "more", "extra"),
    [
        ("evaluate", ["--metrics", "lpips"], "scores"),
        ("export", [], "export"),
        ("demo", [], "demo"),
    ],
)
@pytest.mark.full
def test_with_train_alone_other_extras_are_named(
    train: Path, command: str, more: list[str], extra: str, tmp_path: Path
) -> None:
    code, out, error = _run(train, "dynet", [command, *DYNET[command], *more], tmp_path)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    assert _advice(extra) in error


@pytest.mark.parametrize("name", sorted(MILLION_IRD))
@pytest.mark.full
def test_every_command_of_million_ird_names_the_extra_that_it_needs(core: Path, name: str, tmp_path: Path) -> None:
    extra, arguments = MILLION_IRD[name]
    (tmp_path / "neural.yaml").write_text("scores: [musiq]\ngates: [{field: musiq, min: 50}]\n")
    if name == "export":
        options = ["--sources", PICTURE, "--out", "set", "--recipe", "demo.yaml", "--workers", "0"]
        assert _run(core, "million_ird", ["build", *options], tmp_path)[0] == 0
    code, out, error = _run(core, "million_ird", arguments, tmp_path)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    assert _advice(extra) in error


def test_who_asks_for_a_score_is_told_that_it_is_not_for_commercial_use(core: Path, tmp_path: Path) -> None:
    assert "non-commercial" in _run(core, "million_ird", MILLION_IRD["score"][1], tmp_path)[2]


def test_topiq_says_how_to_install_what_no_extra_may_bring() -> None:
    """facexlib depends on the windowed opencv-python, so the extra `scores` holds an empty release of it."""
    for advice in (million_ird.extras.INSTALL["facexlib"], dynet.extras.INSTALL["facexlib"]):
        assert advice == "--upgrade --no-deps facexlib filterpy"


@pytest.mark.parametrize("package", [million_ird.extras, dynet.extras])
def test_a_missing_module_of_no_extra_is_a_bug_and_shows_as_one(package: object) -> None:
    missing = package.missing_extra  # type: ignore[attr-defined]
    assert missing(ModuleNotFoundError("No module named 'numpy.x'", name="numpy.x")) is None
    assert missing(ModuleNotFoundError("No module named 'dynet.x'", name="dynet.x")) is None
    assert missing(ImportError("cannot import name 'x' from 'torch'", name="torch")) is None
    assert missing(ModuleNotFoundError("No module named 'torch'", name="torch")) is not None


@pytest.mark.parametrize("package", [million_ird.extras, dynet.extras])
@pytest.mark.full
def test_every_advice_installs_the_module_and_the_core_does_not(package: object) -> None:
    brought_by = metadata.packages_distributions()
    core = environments.distributions()
    for module, advice in package.INSTALL.items():  # type: ignore[attr-defined]
        if module == "facexlib":
            continue
        extra = advice.split("'")[1].removeprefix("million-ird[").removesuffix("]")
        names = {environments.normal(name) for name in brought_by[module]}
        assert names & environments.distributions(extra), module
        assert not names & core, module


def test_there_is_one_opencv_whatever_is_installed() -> None:
    """opencv-python shares the module cv2 with the headless wheel, and needs libGL, which servers do not have."""
    names = environments.distributions(*environments.EXTRAS)
    assert "opencv-python-headless" in names
    assert not names & {"opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"}
