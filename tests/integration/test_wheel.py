"""The built wheel: what is in it, and what it can do with core dependencies alone."""

import json
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import skimage.data

from dynet.model.shipped_weights import SHIPPED
from tests import environments
from tests.environments import ROOT

BUILD = "from million_ird.cli.app import main; main()"
LOAD = """
import importlib.util
from datasets import load_dataset

assert importlib.util.find_spec("torch") is None
patches = load_dataset("dataset", "patches", split="train")
print(len(load_dataset("dataset", "images", split="train")), patches[0]["image"].size)
"""
USER = """
from pathlib import Path

from dynet import LARGE, SMALL, ReuseSchedule, Variant
from million_ird import Options, Recipe, SourceSpec, build, load

recipe: Recipe = load("demo.yaml")
source = SourceSpec(uri="images", kind="auto")
own = Recipe(name="mine", validation=0.1, measure_all=True)
result = build([source.uri], Path("dataset").name, recipe, Options(workers=0))
kept: int = result.written.images
tiny = Variant("XS", ReuseSchedule(1, 1, 1, 1))
names: list[str] = [variant.name for variant in (SMALL, LARGE, tiny)]
"""
MISTAKES = """
from million_ird import Options, build, load

build("images", "dataset", load(3), Options(worker=0))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel beside links to the core dependencies that are installed here, and to nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    site = environments.create(folder)
    _install(wheel, site)
    return folder


def _install(wheel: Path, site: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, timeout=120)


def _run(python: Path | str, code: str, where: Path, *arguments: str) -> str:
    done = subprocess.run(
        [python, "-c", code, *arguments], cwd=where, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _build_verify_and_load(python: Path, where: Path) -> None:
    (where / "images").mkdir()
    for name in ("coffee.png", "chelsea.png", "logo.png"):
        (where / "images" / name).write_bytes((Path(skimage.data.__file__).parent / name).read_bytes())
    options = ["--sources", "images", "--out", "dataset", "--recipe", "demo.yaml", "--json"]
    built = json.loads(_run(python, BUILD, where, "build", *options).splitlines()[-1])
    assert built["kept"] == 2
    verified = json.loads(_run(python, BUILD, where, "verify", "dataset", "--json"))
    assert (verified["faults"], verified["images"]) == ([], 2)
    _run(python, BUILD, where, "publish", "dataset", "--repo-id", "user/name", "--dry-run")
    assert _run(python, LOAD, where) == "2 (128, 128)\n"


def test_the_wheel_holds_every_file_that_travels_and_nothing_else_at_top_level(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = [*(ROOT / "pipelines").glob("*.yaml"), *(ROOT / "pipelines" / "schemas").glob("*.json")]
    for path in (*shipped, *(ROOT / "cards").glob("*.md")):
        name = path.relative_to(ROOT).as_posix()
        assert {f"million_ird/{name}", f"dynet/{name}"} & names, name
    for folder in SHIPPED.values():
        files = [
            path for path in (ROOT / "weights" / folder).glob("*") if path.name in ("weights.safetensors", "README.md")
        ]
        assert {f"dynet/weights/{folder}/{path.name}" for path in files} <= names
    for package in ("million_ird", "dynet"):
        assert f"{package}/py.typed" in names
        for source in (ROOT / package).rglob("*"):
            if source.is_file() and "__pycache__" not in source.parts:
                assert str(source.relative_to(ROOT)) in names
    top = {name.split("/")[0] for name in names}
    assert {part for part in top if not part.endswith(".dist-info")} == {"million_ird", "dynet", "million_ird_dynet.py"}


def test_a_recipe_in_the_wheel_finds_its_schema_beside_it(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    for name in files.namelist():
        if name.endswith(".yaml"):
            schema = files.read(name).decode().splitlines()[0].split("$schema=")[1]
            assert f"{Path(name).parent}/{schema}" in files.namelist()


@pytest.mark.full
def test_core_dependencies_build_verify_publish_and_load_a_dataset(environment: Path, tmp_path: Path) -> None:
    """torch, pyiqa and all else that only extras bring are not importable here."""
    python = environments.python_of(environment)
    _build_verify_and_load(python, tmp_path)
    where = _run(python, "import million_ird, dynet; print(million_ird.__file__, dynet.__file__)", tmp_path)
    assert where.count(str(environment)) == 2


@pytest.mark.full
def test_a_program_of_a_user_is_type_checked_against_the_wheel(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    site = environments.create(folder, "train")
    _install(wheel, site)
    (tmp_path / "program.py").write_text(USER)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(environments.python_of(folder))]
    right = subprocess.run([*command, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert right.returncode == 0, right.stdout
    wrong = subprocess.run([*command, "mistakes.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    errors = [line for line in wrong.stdout.splitlines() if ": error: " in line]
    assert [line.rpartition("[")[2] for line in errors] == ["arg-type]", "call-arg]"]


@pytest.mark.full
def test_an_ordinary_install_of_the_wheel_works_without_any_extra(wheel: Path, tmp_path: Path) -> None:
    """Needs a package index. One OpenCV is installed, the one that needs no libGL."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = environments.python_of(folder)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run(install, check=True, timeout=1800)
    installed = json.loads(
        subprocess.check_output([python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"])
    )
    names = {environments.normal(package["name"]) for package in installed}
    assert {name for name in names if "opencv" in name} == {"opencv-python-headless"}
    assert not names & {"torch", "pyiqa", "gradio", "wandb", "transformers", "accelerate"}
    assert metadata.version("million-ird") in {p["version"] for p in installed if p["name"] == "million-ird"}
    _build_verify_and_load(python, tmp_path)
