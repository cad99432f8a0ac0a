"""A build that is run again where nothing moved writes nothing; where one input of a file moved, it is made anew."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from million_ird.config.recipe import Recipe
from million_ird.reference_sets import ReferenceSet
from tests.million_ird import scenes

RECIPE = scenes.recipe()
CARD, REPORT = "README.md", "report/index.html"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources and a finished build of them, side by side; no test changes them."""
    folder = tmp_path_factory.mktemp("repeated")
    (folder / "pictures").mkdir()
    for number in range(3):
        scenes.photograph(number).save(folder / "pictures" / f"p{number}.png")
    scenes.photograph(9, 40, 40).save(folder / "pictures" / "small.png")
    return folder


@pytest.fixture
def home(base: Path, tmp_path: Path) -> Path:
    """A folder with the sources in `pictures`, and a build of them in `out`."""
    shutil.copytree(base / "pictures", tmp_path / "pictures")
    scenes.make(tmp_path / "pictures", tmp_path / "out", RECIPE)
    return tmp_path


def written(out: Path) -> dict[str, tuple[int, bytes]]:
    """Return time of change and content of all files but those of a run's own state."""
    own = {".work/progress.json", ".work/lock"}
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and str(path.relative_to(out)) not in own)
    return {str(path.relative_to(out)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def again(home: Path, recipe: Recipe = RECIPE, **options: object) -> set[str]:
    """Build again and return the names of the files that were written, removed or replaced."""
    before = written(home / "out")
    result = scenes.make(home / "pictures", home / "out", recipe, **options)
    after = written(home / "out")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert result.is_current == (not {CARD, REPORT} & changed)
    return changed


def test_nothing_is_written_where_nothing_moved(home: Path) -> None:
    assert {CARD, REPORT, "LICENSE.md", "recipe.yaml"} <= written(home / "out").keys()
    for _ in range(2):
        assert again(home) == set()


MOVES: Mapping[str, tuple[Callable[[Path], object], dict[str, object], set[str]]] = MappingProxyType(
    {
        "a new picture": (lambda home: scenes.photograph(50).save(home / "pictures" / "new.png"), {}, {CARD, REPORT}),
        "another picture": (lambda home: scenes.photograph(51).save(home / "pictures" / "p1.png"), {}, {CARD, REPORT}),
        "a picture less": (lambda home: (home / "pictures" / "p2.png").unlink(), {}, {REPORT}),
        "other gates": (lambda home: None, {"recipe": scenes.gated(min=75)}, {CARD, REPORT, "recipe.yaml"}),
        "another name": (lambda home: None, {"recipe": scenes.recipe(name="other")}, {CARD, REPORT, "recipe.yaml"}),
        "other patches": (
            lambda home: None,
            {"recipe": scenes.recipe(patches={"size": 24, "format": "png"})},
            {CARD, REPORT, "recipe.yaml"},
        ),
        "an evaluation set": (
            lambda home: shutil.copytree(home / "pictures", home / "tests"),
            {"evaluation": True},
            {CARD, REPORT},
        ),
        "an edited card": (lambda home: (home / "out" / CARD).write_text("mine"), {}, {CARD}),
        "a removed figure": (lambda home: next((home / "out" / "card").iterdir()).unlink(), {}, {CARD}),
        "a removed licence": (lambda home: (home / "out" / "LICENSE.md").unlink(), {}, {CARD, "LICENSE.md"}),
        "a removed report": (lambda home: (home / "out" / REPORT).unlink(), {}, {REPORT}),
        "a removed shard": (lambda home: next((home / "out" / "data").iterdir()).unlink(), {}, {CARD}),
    }
)
"""What moves, how the build is run then, and the files that must be written."""


@pytest.mark.parametrize("move", MOVES)
def test_what_an_input_moved_for_is_made_anew_and_then_current(move: str, home: Path) -> None:
    change, how, expected = MOVES[move]
    change(home)
    recipe, options = how.get("recipe", RECIPE), {}
    assert isinstance(recipe, Recipe)
    if "evaluation" in how:
        options["benchmarks"] = (ReferenceSet("tests", str(home / "tests")),)
    assert expected <= again(home, recipe, **options)
    assert again(home, recipe, **options) == set()


def test_another_version_of_the_program_makes_both_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.0")
    assert {CARD, REPORT} <= again(home)
    assert again(home) == set()


def test_the_command_line_says_it(home: Path, program: Callable[..., object]) -> None:
    recipe = home / "recipe.yaml"
    recipe.write_text(RECIPE.dump())
    said = [
        program("build", home / "pictures", "--out", home / "out", "--recipe", recipe, "--workers", 0).out  # type: ignore[attr-defined]
        for _ in range(2)
    ]
    assert all("Nothing to do" in text and "card and report are current" in text for text in said)
    (home / "out" / REPORT).unlink()
    result = program("build", home / "pictures", "--out", home / "out", "--recipe", recipe, "--workers", 0)
    assert "card or report were written again" in result.out  # type: ignore[attr-defined]
