"""Rules that hold for the whole repository, read off its source."""

import ast
import functools
import importlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
PACKAGES = ("million_ird", "dynet")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LAYERS = {
    "million_ird": (
        ("public_addresses", "strict_json"),
        ("errors", "printable"),
        ("arguments",),
        ("measure_types", "candidate", "extras"),
        ("measure_specs",),
        ("schema",),
        ("config",),
        ("runtime",),
        ("ledger", "images", "metadata", "public_columns"),
        ("measures", "sources", "ledger_stream"),
        ("build_folder", "dedup"),
        ("scan",),
        ("decide", "scoring"),
        ("known_benchmarks",),
        ("reference_sets",),
        ("fingerprints", "calibrate", "checks"),
        ("dataset",),
        ("marks", "made_from"),
        ("stages",),
        ("reporting", "export"),
        ("build_result",),
        ("workflow",),
        ("maintenance",),
        ("hub",),
        ("api",),
        ("cli",),
    ),
    "dynet": (
        ("errors", "version"),
        ("arguments", "extras"),
        ("runtime",),
        ("degradations", "model"),
        ("config",),
        ("data",),
        ("training", "inference"),
        ("spandrel",),
        ("evaluation", "exporting"),
        ("hub",),
        ("demo",),
        ("api",),
        ("cli",),
    ),
}
"""Lowest first. A module imports from layers below its own, from its own folder, and from nothing else."""
ONLY_IN = {
    "dask": {"million_ird/runtime/executor.py"},
    "distributed": {"million_ird/runtime/executor.py", "million_ird/runtime/cluster.py"},
    "fsspec": {"million_ird/runtime/storage.py"},
    "aiohttp": {f"million_ird/sources/web/{name}.py" for name in ("client", "response", "robots_gate", "addresses")},
    "protego": {"million_ird/sources/web/robots.py"},
    "lxml": {"million_ird/sources/web/html.py"},
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base"}
NAMED_ALIKE = {"RecipeError", "UsageError", "MissingExtra"}
"""Classes that users import from either package, where they mean the same."""


def module_of(path: Path) -> str:
    """The dotted name of a source file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a source file."""
    return ast.parse(path.read_text())


@functools.cache
def imported_packages(path: Path) -> set[str]:
    """The packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def imported_modules(path: Path) -> Iterator[str]:
    """The modules of the repository that a file imports, anywhere in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


ARROWS: Mapping[str, set[str]] = {name: {*imported_modules(path)} for name, path in MODULES.items()}


def layer_of(module: str) -> int:
    """The layer of a module: higher ones import lower ones. The package itself and `__main__` are above all."""
    package, _, rest = module.partition(".")
    part = rest.split(".")[0]
    for number, names in enumerate(LAYERS[package]):
        if part in names:
            return number
    assert part in {"", "__main__"}, f"{module} is in no layer"
    return len(LAYERS[package])


def test_every_layer_exists() -> None:
    for package, layers in LAYERS.items():
        parts = {module.split(".")[1] for module in MODULES if module.startswith(f"{package}.")} - {"__main__"}
        assert {name for names in layers for name in names} == parts


@pytest.mark.parametrize("module", [name for name in MODULES if name not in PACKAGES])
def test_no_import_points_upwards(module: str) -> None:
    for target in ARROWS[module]:
        same_folder = module.split(".")[:2] == target.split(".")[:2]
        assert same_folder or layer_of(target) < layer_of(module), f"{module} imports {target}"


def test_no_imports_go_round_in_circles() -> None:
    # A module without imports of its own, among those left, is taken away; what remains is a circle.
    left = {module: set(targets) - {module} for module, targets in ARROWS.items()}
    while done := {module for module, targets in left.items() if not targets & left.keys()}:
        left = {module: targets for module, targets in left.items() if module not in done}
    assert not left


def test_the_packages_do_not_import_each_other() -> None:
    for path in FILES:
        other = "dynet" if path.is_relative_to(ROOT / "million_ird") else "million_ird"
        assert other not in imported_packages(path), path


def functions_of(name: str, package: str) -> dict[str, str]:
    """Return the code of a module's functions by name, without docstrings and with one name for errors."""
    (file,) = (path for path in FILES if path.name == name and path.is_relative_to(ROOT / package))
    found = {}
    for node in ast.parse(file.read_text().replace("DyNetError", "UsageError")).body:
        if isinstance(node, ast.FunctionDef):
            node.body = node.body[ast.get_docstring(node) is not None :]
            found[node.name] = ast.unparse(node)
    return found


@pytest.mark.parametrize(
    ("name", "shared"), [("arguments.py", 6), ("lost_interrupts.py", 2), ("metavars.py", 2), ("printable.py", 2)]
)
def test_what_both_packages_have_because_they_do_not_import_each_other_is_equal(name: str, shared: int) -> None:
    ours, theirs = (functions_of(name, package) for package in PACKAGES)
    both = ours.keys() & theirs.keys()
    assert len(both) >= shared
    assert {function: ours[function] for function in both} == {function: theirs[function] for function in both}


OWN_JSON = {
    "config/recipe.py": "a digest",
    "dataset/shards.py": "a digest",
    "made_from.py": "a digest",
    "maintenance/verify_journal.py": "a digest",
    "scan/deal/parts.py": "a working file, from which every number must come back",
    "scan/download_cache.py": "a working file, from which every number must come back",
}
"""Files of million_ird with JSON that no other program reads, and what it is."""


def test_json_that_others_read_is_written_in_one_place() -> None:
    writers = {"json.dumps", "json.dump", "json.JSONEncoder"}
    found = set()
    for path in (path for path in FILES if path.is_relative_to(ROOT / "million_ird")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute) and (node.attr == "model_dump_json" or ast.unparse(node) in writers):
                found.add(path.relative_to(ROOT / "million_ird").as_posix())
    assert found == {"strict_json.py", *OWN_JSON}


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_imported_in_one_place(library: str) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in FILES if library in imported_packages(path)}
    assert users
    assert users <= ONLY_IN[library]


def test_libraries_log_and_do_not_print() -> None:
    for path in FILES:
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        printing = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not printing or path.parent.name == "cli", path


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [path for path in FILES if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES]


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module_of(path))
    shared = {name: modules for name, modules in places.items() if len(modules) > 1 and name not in NAMED_ALIKE}
    assert not shared


def test_files_can_be_read_in_one_sitting() -> None:
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 350]


def test_every_recipe_and_card_is_part_of_the_wheel() -> None:
    listed = (ROOT / "pyproject.toml").read_text()
    shipped = [
        *(ROOT / "pipelines").glob("*.yaml"),
        *(ROOT / "pipelines").glob("*.txt"),
        *(ROOT / "cards").glob("*.md"),
    ]
    for path in shipped:
        assert f'"{path.relative_to(ROOT).as_posix()}" = ' in listed, path


@pytest.mark.parametrize("package", PACKAGES)
def test_both_programs_print_their_version(package: str) -> None:
    app = importlib.import_module(f"{package}.cli.app").app
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == f"{package.replace('_', '-')} {metadata.version('million-ird')}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_tables_cannot_be_changed_from_outside(module: str) -> None:
    # An entry that a script adds would be missing in worker processes, which import tables of their own.
    if module.endswith("__main__"):
        return
    constants = {name: value for name, value in vars(importlib.import_module(module)).items() if name.isupper()}
    public = {name: value for name, value in constants.items() if not name.startswith("_")}
    assert not [name for name, value in public.items() if isinstance(value, (dict, list, set))]
