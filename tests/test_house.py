"""What holds for the whole house, read off its source."""

import ast
import importlib
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
PACKAGES = ("million_ird", "dynet")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ONLY_IN = {
    "dask": {"million_ird/runtime/executor.py"},
    "distributed": {"million_ird/runtime/executor.py"},
    "fsspec": {"million_ird/runtime/storage.py"},
    "aiohttp": {f"million_ird/sources/web/{name}.py" for name in ("client", "response", "robots_gate", "addresses")},
    "protego": {"million_ird/sources/web/robots.py"},
    "lxml": {"million_ird/sources/web/html.py"},
}
NOWHERE = {"utils", "helpers", "common", "misc", "base"}


def imported(path: Path) -> set[str]:
    """The packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_the_packages_do_not_know_each_other() -> None:
    for path in FILES:
        other = "dynet" if path.is_relative_to(ROOT / "million_ird") else "million_ird"
        assert other not in imported(path), path


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_met_behind_its_door_only(library: str) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in FILES if library in imported(path)}
    assert users
    assert users <= ONLY_IN[library]


def test_libraries_log_and_do_not_print() -> None:
    for path in FILES:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not printing or path.parent.name == "cli", path


def test_no_file_is_named_after_nothing() -> None:
    assert not [path for path in FILES if path.stem in NOWHERE or path.parent.name in NOWHERE]


def test_every_recipe_and_card_travels_in_the_wheel() -> None:
    listed = (ROOT / "pyproject.toml").read_text()
    shipped = [
        *(ROOT / "pipelines").glob("*.yaml"),
        *(ROOT / "pipelines").glob("*.txt"),
        *(ROOT / "cards").glob("*.md"),
    ]
    for path in shipped:
        assert f'"{path.relative_to(ROOT).as_posix()}" = ' in listed, path


@pytest.mark.parametrize("package", PACKAGES)
def test_both_programs_tell_their_version(package: str) -> None:
    app = importlib.import_module(f"{package}.cli.app").app
    said = CliRunner().invoke(app, ["--version"])
    assert said.exit_code == 0
    assert said.output.strip() == f"{package.replace('_', '-')} {metadata.version('million-ird')}"
