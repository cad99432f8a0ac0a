"""An ordinary install of the built wheel has everything that the checkout has."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_recipe_and_card_and_nothing_else_at_top_level(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for recipe in (ROOT / "pipelines").glob("*.yaml"):
        assert {f"million_ird/pipelines/{recipe.name}", f"dynet/pipelines/{recipe.name}"} & names, recipe.name
    for card in (ROOT / "cards").glob("*.md"):
        assert {f"million_ird/cards/{card.name}", f"dynet/cards/{card.name}"} & names, card.name
    for package in ("million_ird", "dynet"):
        for source in (ROOT / package).rglob("*"):
            if source.is_file() and "__pycache__" not in source.parts:
                assert str(source.relative_to(ROOT)) in names
    top = {name.split("/")[0] for name in names}
    assert {part for part in top if not part.endswith(".dist-info")} == {"million_ird", "dynet"}


def test_both_programs_work_from_an_installed_wheel_with_a_shipped_recipe(wheel: Path, tmp_path: Path) -> None:
    import skimage.data

    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=120)
    python = environment / "bin" / "python"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "coffee.png").write_bytes((Path(skimage.data.__file__).parent / "coffee.png").read_bytes())

    code = "import sys; from million_ird.cli.app import main; sys.argv[0] = 'million-ird'; main()"
    options = ["--sources", "pictures", "--out", "out", "--recipe", "demo.yaml", "--workers", "0", "--json"]
    built = subprocess.run([python, "-c", code, "build", *options], cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert '"kept": 1' in built.stdout.splitlines()[-1]
    where = subprocess.run(
        [python, "-c", "import million_ird, dynet; print(million_ird.__file__, dynet.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.count(str(environment)) == 2
