"""What the pages show is what the programs take: commands parse, options exist, Python compiles, YAML is a recipe.

That the commands do what they say is for test_docs_run.py, which runs them.
"""

import ast
import importlib
import re
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import dynet.cli.app
import million_ird.cli.app
from million_ird.config.loading import parse
from million_ird.config.recipe import Recipe
from tests.docs_pages import (
    ELSEWHERE,
    PLAIN,
    PROGRAMS,
    ROOT,
    Block,
    all_commands,
    blocks,
    commands,
    inline,
    name_of,
    pages,
    text_of,
)
from tests.docs_recipes import FOREIGN, whole_recipe
from tests.docs_scripts import NOT_RUN

NAMES = [name_of(page) for page in pages()]
PARSERS = {
    "million-ird": get_command(million_ird.cli.app.app),
    "dynet": get_command(dynet.cli.app.app),
}


def having(language: str) -> list[Any]:
    """Blocks of this language, as parameters of a test."""
    here = [name for name in NAMES if name not in ELSEWHERE]
    found = [block for name in here for block in blocks(name) if block.language == language]
    return [pytest.param(block, id=f"{block.page}:{block.line}") for block in found]


def parts_of(words: list[str]) -> list[list[str]]:
    """Return the commands of a line that && joins."""
    ends = [place for place, word in enumerate(words) if word == "&&"]
    return [words[start:end] for start, end in zip([0, *(end + 1 for end in ends)], [*ends, None], strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_parses(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in commands(name):
        for first, *rest in parts_of(command.words):
            assert first in PROGRAMS | PLAIN, f"{name}:{command.line}: no program: {command.text}; a layout is ```text"
            try:
                CHECKS.get(first, accept)(rest)
            except Exception as error:
                raise AssertionError(f"{name}:{command.line}: {command.plain}: {error}") from error


def check_typer(program: str, words: list[str]) -> None:
    """Refuse what the program's own parser refuses."""
    for word in words:
        if word.endswith(".txt"):  # is opened while it is parsed
            Path(word).touch()
    group = PARSERS[program]
    context = group.make_context(program, list(words))
    name, chosen, arguments = group.resolve_command(context, list(words))
    chosen.make_context(name, arguments, parent=context)


def check_launched(words: list[str]) -> None:
    """torchrun and accelerate start a module with arguments of its own."""
    module, *arguments = words[words.index("-m") + 1 :]
    check_typer(module, arguments)


def check_python(words: list[str]) -> None:
    """A script with the options that it has, a module that there is, or text that compiles."""
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
    elif words[0] == "-m":
        assert find_spec(words[1]), f"no module {words[1]}"
    else:
        script = ROOT / words[0]
        assert script.is_file(), f"no script {words[0]}"
        unknown = options_in(words[1:]) - script_options(script)
        assert not unknown, f"{words[0]} has no {sorted(unknown)}"


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(words) <= set(targets), f"the Makefile has no target {words}"


def check_pip(words: list[str]) -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for wanted in re.findall(r"\[([\w,]+)\]", " ".join(words)):
        assert set(wanted.split(",")) <= extras, f"there is no extra {wanted}"


def accept(words: list[str]) -> None:
    """A command of the shell, or of somebody else: told by its running."""


CHECKS = {
    "million-ird": lambda words: check_typer("million-ird", words),
    "dynet": lambda words: check_typer("dynet", words),
    "torchrun": check_launched,
    "accelerate": check_launched,
    "python": check_python,
    "make": check_make,
    "pip": check_pip,
}


def options_in(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}


@cache
def script_options(script: Path) -> frozenset[str]:
    """The options that a script adds to its parser, read off its source and that of the scripts that it imports."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            found |= {a.value for a in node.args if isinstance(a, ast.Constant) and str(a.value).startswith("--")}
    return frozenset(found)


@pytest.fixture(scope="module")
def known_options() -> set[str]:
    """All options of both programs and of the scripts."""
    ours = {
        option
        for group in PARSERS.values()
        for command in group.commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    scripts = [*(ROOT / "benchmarks").rglob("*.py"), ROOT / "pipelines" / "demo.py"]
    return ours.union(*map(script_options, scripts), {"--version", "--help"})


FOREIGN_OPTIONS = {
    "--upgrade": "pip's",
    "--index-url": "pip's",
    "--no-deps": "pip's",
    "--strict": "mypy's",
    "--loss_type": "MoCE-IR's",
    "--logdir": "tensorboard's",
    "--multi_gpu": "accelerate's",
    "--num_processes": "accelerate's",
    "--nproc-per-node": "torchrun's",
    "--nthreads": "dask's",
    "--nworkers": "dask's",
}


def test_options_that_pages_name_exist(known_options: set[str]) -> None:
    told = {option: name for name in NAMES for text in inline(name) for option in re.findall(r"--[a-z][\w-]*", text)}
    unknown = {option: name for option, name in told.items() if option not in known_options | FOREIGN_OPTIONS.keys()}
    assert not unknown


def test_commands_in_sentences_have_the_options_that_stand_with_them() -> None:
    for name in NAMES:
        for text in inline(name):
            program, _, rest = text.partition(" ")
            words = rest.split()
            if program == "python" and words and words[0].endswith(".py"):
                check_python(words)
            elif program in PARSERS and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
                chosen = PARSERS[program].commands.get(words[0])  # type: ignore[attr-defined]
                assert chosen is not None, f"{name}: {program} has no command {words[0]}"
                options = {option for parameter in chosen.params for option in parameter.opts}
                assert set(re.findall(r"--[a-z][\w-]*", rest)) <= options, f"{name}: {text}"


def test_every_command_is_run_or_accounted_for() -> None:
    """test_docs_run.py runs what is not in the table; here, that the table has nothing that no page says."""
    said = {command.plain for command in all_commands()}
    assert set(NOT_RUN) <= said, f"in the table, and on no page: {set(NOT_RUN) - said}"
    assert all(NOT_RUN.values())
    for page, test in ELSEWHERE.items():
        assert f'"{page.removeprefix("docs/")}"' in (ROOT / test).read_text(encoding="utf-8"), (
            f"{test} is not of {page}"
        )


@pytest.mark.parametrize("block", having("python"))
def test_python_compiles_and_what_it_imports_is_there(block: Block) -> None:
    tree = ast.parse(block.text, filename=f"{block.page}:{block.line}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            for alias in node.names:
                module = importlib.import_module(node.module)
                assert hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}"), ast.unparse(node)


@pytest.mark.parametrize("block", having("yaml"))
def test_yaml_is_a_recipe(block: Block, tmp_path: Path) -> None:
    if not yaml.safe_load(block.text).keys() & FOREIGN.keys():
        whole_recipe(block, tmp_path)


def test_all_keys_with_their_defaults_are_all_and_are_the_defaults() -> None:
    (told,) = [block for block in blocks("docs/curation.md") if "All keys, with their defaults" in before(block)]
    given = yaml.safe_load(told.text)
    assert given.keys() == Recipe.model_fields.keys()
    assert parse(given, origin="curation.md") == Recipe()
    for section in ("licences", "duplicates", "privacy", "patches", "shards", "limits"):
        assert given[section].keys() == getattr(Recipe(), section).model_dump().keys(), section


def before(block: Block) -> str:
    """The sentence before a block."""
    lines = text_of(block.page).splitlines()[: block.line - 1]
    return " ".join(lines[-4:])
