"""The Python surface: what `build` takes, what it returns, and one clear error for each wrong argument."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from million_ird import Options, Result, build
from million_ird.errors import MillionIRDError, UsageError
from tests.million_ird import scenes


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("python")
    source = scenes.lay_out(folder / "photos")
    return build(source, folder / "set", scenes.recipe(), Options(workers=0))


def test_results_are_loaded_from_the_result(built: Result) -> None:
    assert Path(built.report).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(built.ledger()) == scenes.CANDIDATES == built.funnel.candidates
    images = built.dataset()
    assert len(images) == scenes.KEPT
    assert images[0]["image"].size == (images[0]["width"], images[0]["height"])
    assert built.dataset("patches")[0]["image"].size == (32, 32)
    with pytest.raises(UsageError, match=r"has no 'patch' of the split 'train', only images \(train\), patches"):
        built.dataset("patch")


def test_a_configuration_without_rows_is_an_empty_dataset(tmp_path: Path) -> None:
    scenes.photograph(1).save(tmp_path / "one.png")
    built = build(str(tmp_path / "one.png"), tmp_path / "set", "demo", Options(workers=0))
    empty = built.dataset("patches")
    assert (built.funnel.kept, len(empty)) == (0, 0)
    assert {"image", "parent", "x", "y"} < set(empty.column_names)


def test_a_notebook_shows_the_funnel(built: Result) -> None:
    shown = built._repr_html_()
    assert f"<td>candidates</td><td>{scenes.CANDIDATES}</td>" in shown
    assert "dropped: small" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((5, "out"), "sources: 5 is neither a path"),
        ((["in", 3], "out"), "sources: 3 is not a path"),
        (("in", 7), "out: 7 is not a path"),
        (("in", "out", 8), "recipe: 8 is not a Recipe, a file or a name"),
        (("in", "out", "demoo"), "recipe demoo: no such file .did you mean 'demo"),
        (("in", "out", "demo", 4), "options: 4 are no Options"),
        (("no such folder", "out", "demo"), "no such folder"),
    ],
)
def test_a_wrong_argument_is_one_error_that_names_it(
    arguments: tuple[Any, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MillionIRDError, match=said) as raised:
        build(*arguments)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path: Path) -> None:
    photographs = tmp_path / "in"
    photographs.mkdir()
    for number in range(2):
        scenes.photograph(number).save(photographs / f"{number}.png")
    call = f"million_ird.build({str(photographs)!r}, {str(tmp_path / 'out')!r}, options=Options(workers=1))"
    script = tmp_path / "script.py"
    script.write_text(f"import million_ird\nfrom million_ird.workflow import Options\n{call}\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'the call must be under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
