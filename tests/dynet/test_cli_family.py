"""What the command line of dynet shares with that of million-ird."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dynet.cli.app import app
from dynet.config.shipped_recipes import SHIPPED_RECIPES, find_recipe
from dynet.degradations.registry import DEGRADATIONS
from dynet.errors import RecipeError

ROOT = Path(__file__).parents[2]
OTHERS = {"demo", "million_ird", "4klsdb", "bhi", "strict", "pd12m", "laion_hr"}


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_listings_have_one_line_for_each_name_that_there_is() -> None:
    assert {path.stem for path in (ROOT / "pipelines").glob("*.yaml")} == {*SHIPPED_RECIPES} | OTHERS
    assert [line.split()[0] for line in run("recipes").splitlines()] == [*SHIPPED_RECIPES]
    assert [line.split()[0] for line in run("variants").splitlines()] == ["S", "L"]
    lines = run("degradations").splitlines()
    assert [line.split()[0] for line in lines] == [*DEGRADATIONS]
    assert all(len(line.split()) > 2 for line in lines)
    assert json.loads(run("degradations", "--json")).keys() == DEGRADATIONS.keys()


@pytest.mark.parametrize("name", SHIPPED_RECIPES)
def test_recipes_are_found_with_and_without_their_ending(name: str) -> None:
    assert find_recipe(name) == find_recipe(f"{name}.yaml")


def test_the_nearest_recipe_is_suggested() -> None:
    with pytest.raises(RecipeError, match="did you mean 'dynet_laptop'"):
        find_recipe("dynet_labtop.yaml")


def test_recipe_is_the_option_and_config_its_alias() -> None:
    shown = run("train", "--help")
    assert re.search(r"--recipe, --config\s+RECIPE|--recipe.*--config", shown)
    done = CliRunner().invoke(app, ["train", "--data", "x", "--stage", "pretrain", "--out", "y", "--config", "nosuch"])
    assert "Missing option" not in done.output
    assert isinstance(done.exception, RecipeError)


@pytest.mark.parametrize("command", ["train", "evaluate", "restore", "demo", "export", "publish", "split"])
def test_options_name_their_values(command: str) -> None:
    unnamed = [line for line in run(command, "--help").splitlines() if re.match(r"\s+--[\w-]+ <(?!\w[\w-]*\|)", line)]
    assert not unnamed


def test_the_shell_completes_commands() -> None:
    assert "--install-completion" in run("--help")
    words = {"_DYNET_COMPLETE": "complete_bash", "COMP_WORDS": "dynet degr", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dynet"], env=os.environ | words, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["degrade", "degradations"]


def test_a_wrong_metric_is_named_before_anything_slow_is_loaded() -> None:
    if find_spec("pyiqa") is None:
        pytest.skip("pyiqa is not installed")
    code = (
        "import sys\nfrom dynet.cli.app import main\ntry:\n    main()\nexcept SystemExit as end: print(end.code)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    words = ["evaluate", "--weights", "x", "--benchmark", "a=b", "--protocol", "strict", "--metrics", "lpipss"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    status, loaded = done.stdout.splitlines()
    assert status == "2"
    assert "did you mean lpips?" in done.stderr
    assert not {"pyiqa", "torch"} & {*loaded.split()}
