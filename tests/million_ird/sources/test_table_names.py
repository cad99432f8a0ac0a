"""`names`: a column that no table has is refused, whatever the form of table; where some lack it, a warning says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from million_ird.config.source_spec import SourceSpec
from million_ird.errors import SourceError
from million_ird.sources.registry import SourceContext, open_sources
from tests.million_ird import scenes
from tests.million_ird.conftest import CommandResult

KINDS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
KEYS = ("url", "width", "height", "licence", "attribution")
ROW = {"place": "a.png", "wide": 80, "high": 70, "terms": "CC0", "by": "me"}
RIGHT = dict(zip(KEYS, ROW, strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        scenes.photograph(number).save(tmp_path / f"{number}.png")
    return tmp_path


def rows(*without: str) -> list[dict[str, Any]]:
    """Three rows that name images, all without some columns."""
    return [{k: v for k, v in {**ROW, "place": f"{n}.png"}.items() if k not in without} for n in range(3)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix in {".jsonl", ".ndjson"}:
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        path.write_text("\n".join(mark.join(map(str, line)) for line in (rows[0], *(row.values() for row in rows))))
    return path


def opened(uri: Path, names: dict[str, str]) -> Any:
    spec = SourceSpec.model_validate({"uri": str(uri), "names": names})
    (source,) = open_sources([spec], SourceContext(recipe=scenes.recipe())).values()
    return source


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", KEYS)
def test_a_column_that_no_row_has_is_refused_by_name(folder: Path, kind: str, key: str) -> None:
    table = write(folder / f"list{kind}", rows())
    with pytest.raises(SourceError) as raised:
        opened(table, {**RIGHT, key: "misspelt"})
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"source {table}")
    assert f"names: {key}: has no column 'misspelt', only place, wide, high, terms, by" in line


def test_a_list_of_addresses_has_no_column_but_its_own(folder: Path) -> None:
    (folder / "list.txt").write_text("0.png\n")
    for key in KEYS:
        with pytest.raises(SourceError, match=f"names: {key}: has no column 'terms', only url"):
            opened(folder / "list.txt", {key: "terms"})


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_are_there_are_read(folder: Path, kind: str) -> None:
    source = opened(write(folder / f"list{kind}", rows()), RIGHT)
    (candidate, *_) = [one for chunk in source.chunks() for one in source.candidates(chunk)]
    told = candidate.uri, candidate.width, candidate.height, candidate.licence, candidate.attribution
    assert told == ("0.png", 80, 70, "CC0", "me")


def test_a_column_of_json_may_be_in_one_row_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    sparse = [*rows("terms")[:2], rows()[2]]
    source = opened(write(folder / "list.jsonl", sparse), RIGHT)
    found = [one.licence for chunk in source.chunks() for one in source.candidates(chunk)]
    assert sorted(map(str, found)) == ["CC0", "None", "None"]
    assert caplog.text == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lacking", ["1", pytest.param("2", marks=pytest.mark.full)])
def test_of_several_tables_one_without_the_column_is_named(
    folder: Path, kind: str, lacking: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("1", "2", "3"):
        write(folder / f"{name}{kind}", rows("terms") if name == lacking else rows())
    opened(folder / f"*{kind}", RIGHT)
    assert caplog.text == ""
    spec = {"uri": f"{folder}/*{kind}", "names": RIGHT}
    expected = f"1 table, {lacking}{kind}, has no column 'terms' (names: licence)"
    for _ in range(2):
        caplog.clear()
        scenes.make([], folder / "out", scenes.recipe(sources=[spec]))
        assert caplog.text.count("names: licence") == caplog.text.count(expected) == 1
    write(folder / f"1{kind}", rows("terms")), write(folder / f"2{kind}", rows("terms"))
    caplog.clear()
    for _ in opened(folder / f"*{kind}", RIGHT).chunks():
        pass
    assert f"2 tables, 1{kind} the first, have no column 'terms' (names: licence)" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_build_of_a_misspelt_column_ends_in_one_line(
    folder: Path, kind: str, program: Callable[..., CommandResult]
) -> None:
    table = write(folder / f"list{kind}", rows())
    recipe = {**scenes.RECIPE, "sources": [{"uri": str(table), "names": {**RIGHT, "licence": "misspelt"}}]}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    for command in ("plan", "build"):
        done = program(command, "--out", folder / "out", "--recipe", folder / "recipe.yaml")
        assert done.code == 2
        assert done.line.startswith(f"million-ird: source {table}: names: licence: has no column 'misspelt', only")
