"""Tables dealt out by pieces: the chunks that reading them row by row gives; unchanged tables are not read again."""

import gzip
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from million_ird.config.recipe import Recipe
from million_ird.config.rules import WebSettings
from million_ird.errors import SourceError
from million_ird.runtime import file_marks
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.scan.deal import chunks as stored
from million_ird.scan.deal import deal, parts, repeats
from million_ird.scan.deal.deal import TableDeal
from million_ird.scan.planned_chunk import PlannedChunk, chunk_name
from million_ird.sources import table_parquet
from million_ird.sources.source import Source, SourceChunk
from million_ird.sources.tables import TableSource
from million_ird.sources.web import links
from million_ird.sources.web.links import LinkFetcher

KINDS = (".parquet", ".csv", ".tsv", ".jsonl", ".txt", ".csv.gz", ".jsonl.gz")
RECIPE = Recipe.model_validate({"columns": ["score"], "texts": ["caption"]})
PLAIN = Recipe.model_validate({})
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks, parts and pieces of some rows, and tables that count as old at once."""
    monkeypatch.setattr(file_marks, "SETTLED_SECONDS", 0.0)
    for module, name, value in (
        *((links, "LINKS_PER_CHUNK", 8), (links, "MAX_CHUNK_SIZE", 12), (links, "FILES_PER_CHUNK", 4)),
        *((links, "MAX_FILES_PER_CHUNK", 6), (parts, "PART_ROWS", 40), (deal, "PIECE_ROWS", 70)),
        *((stored, "UNIT_CHUNKS", 5), (stored, "_GAP", 500), (repeats, "UNIT_KEYS", 100)),
    ):
        monkeypatch.setattr(module, name, value)


def rows_of(seed: int, count: int, names: list[str]) -> list[Row]:
    """Rows of web addresses on few and many hosts, files, repetitions, blanks, and what cannot be read."""
    draw = random.Random(seed)
    rows: list[Row] = []
    for number in range(count):
        kind = draw.choices(["web", "rare", "file", "again", "blank", "odd"], [60, 3, 12, 15, 4, 6])[0]
        address = {
            "web": f"http://host{draw.randrange(5)}.org/{number}.jpg?token=t{number}&w={draw.randrange(3)}",
            "rare": f"https://rare{number}.org/a b.png#x",
            "file": draw.choice(names),
            "again": str(draw.choice(rows)["url"]) if rows else "http://a.org/x.png",
            "blank": "",
            "odd": draw.choice(["../out.png", "http://[broken", "ä ö.png", "s3://b/x.png", "http://user:x@h.org/y"]),
        }[kind]
        row: Row = {"url": address, "width": draw.choice([None, 5, 700]), "height": 5, "licence": "CC0"}
        row |= {"attribution": draw.choice([None, 'An "author", ü']), "score": draw.random()}
        rows.append(row | {"caption": draw.choice(["", "two words", "snowman ☃"])})
    return rows


def write(path: Path, rows: list[Row]) -> None:
    """Write a table of the kind that the suffix names; of parquet, with row groups of 30 to 200 rows."""
    kind = path.name[path.name.index(".") :]
    if kind == ".parquet":
        with pq.ParquetWriter(path, pa.Table.from_pylist(rows).schema) as writer:
            for start, stop in ((0, 30), (30, 30), (30, 60), (60, 260), (260, len(rows))):
                writer.write_table(pa.Table.from_pylist(rows[start:stop], writer.schema))
        return
    if kind.startswith(".jsonl"):
        text = "\n".join(json.dumps(row) for row in rows)
    elif kind == ".txt":
        text = "\n".join(str(row["url"]) for row in rows)
    else:
        mark = "\t" if kind == ".tsv" else ","
        quoted = [['"' + str("" if v is None else v).replace('"', '""') + '"' for v in row.values()] for row in rows]
        text = "\n".join([mark.join(rows[0]), *map(mark.join, quoted)])
    path.write_bytes(gzip.compress(text.encode()) if kind.endswith(".gz") else text.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    for number in range(3):
        (tmp_path / "tables" / f"{number}.png").write_bytes(bytes(number))
    return tmp_path / "tables"


def source_of(root: Path | str, recipe: Recipe = RECIPE, lanes: int = 16, **fields: Any) -> TableSource:
    fetcher = LinkFetcher(web=WebSettings(lanes=lanes), max_bytes=10**6)
    return TableSource("list", str(root), fetcher, recipe.columns, recipe.texts, **fields)


def full(chunk: SourceChunk, name: str) -> tuple[object, ...]:
    entries = tuple(entry.identity for entry in chunk.entries)
    return chunk.slot, name, chunk.host_group, chunk.remote, chunk.source, chunk.root, entries


def one_by_one(source: Source, recipe: Recipe) -> list[tuple[object, ...]]:
    return [full(chunk, chunk_name(chunk, recipe)) for chunk in source.chunks()]


def loaded(out: Folder, planned: PlannedChunk) -> tuple[object, ...]:
    assert planned.stored is not None
    entries = planned.stored.load(out)
    assert len(entries) == planned.size
    chunk = planned.chunk
    identities = tuple(entry.identity for entry in entries)
    return chunk.slot, planned.name, chunk.host_group, chunk.remote, chunk.source, chunk.root, identities


def dealt(out: Path, source: TableSource, recipe: Recipe, workers: int = 0) -> list[tuple[object, ...]]:
    folder = Folder(str(out))
    with Executor(workers) as executor:
        return [loaded(folder, planned) for planned in TableDeal(folder, source, recipe).chunks(executor)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_chunks_are_those_of_reading_row_by_row(
    folder: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = PLAIN if kind == ".txt" else RECIPE
    for seed, count, lanes in ((1, 400, 16), (2, 300, 1), (3, 1, 3), (4, 90, 4096)):
        table = folder / f"list{kind}"
        write(table, rows_of(seed, count, ["0.png", "1.png", "gone.png"]))
        source = source_of(table, recipe, lanes)
        caplog.clear()
        expected = one_by_one(source, recipe)
        said = [record.message for record in caplog.records]
        caplog.clear()
        assert dealt(tmp_path / "out", source, recipe) == expected
        assert [record.message for record in caplog.records] == said
    assert len({slot for slot, *_ in expected}) == len(expected)


def test_bad_rows_have_their_numbers_in_every_piece(folder: Path, tmp_path: Path) -> None:
    rows = rows_of(7, 400, ["0.png"])
    for number in (0, 29, 31, 75, 133, 260, 399):
        rows[number]["score"] = "high"
    for row in rows:
        row["score"] = str(row["score"])
    for kind in (".parquet", ".csv", ".jsonl"):
        write(folder / f"bad{kind}", rows)
        source = source_of(folder / f"bad{kind}")
        expected = one_by_one(source, RECIPE)
        assert sum("is not a number" in str(chunk) for chunk in expected) > 2
        assert dealt(tmp_path / f"out{kind}", source, RECIPE) == expected


@pytest.mark.parametrize("kind", [".parquet", ".csv.gz"])
def test_a_damaged_table_among_several_loses_the_same_rows(
    folder: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_parquet, "BATCH_ROWS", 16)
    for number in range(3):
        write(folder / f"t{number}{kind}", rows_of(number, 500, ["0.png"]))
    middle = folder / f"t1{kind}"
    content = bytearray(middle.read_bytes())
    if kind == ".parquet":
        column = pq.ParquetFile(middle).metadata.row_group(3).column(0)
        start = column.dictionary_page_offset
        content[start : start + 60] = bytes(60)
        (folder / "t3.parquet").write_bytes(b"nothing that can be read")
    else:
        content = content[: len(content) // 2]
    middle.write_bytes(content)
    source = source_of(f"{folder}/t*{kind}")
    expected = one_by_one(source, RECIPE)
    said = [record.message for record in caplog.records]
    assert any("t1" in line and "cannot be read" in line for line in said)
    caplog.clear()
    assert dealt(tmp_path / "out", source, RECIPE) == expected
    assert sorted(record.message for record in caplog.records) == sorted(said)
    for single in (source_of(middle), source_of(folder / "gone.parquet")):
        with pytest.raises(SourceError) as row_by_row:
            list(single.chunks())
        with pytest.raises(SourceError) as by_pieces:
            dealt(tmp_path / "single", single, RECIPE)
        assert str(by_pieces.value) == str(row_by_row.value)


Change = Callable[[Path], object]


def _same_size_and_footer(table: Path) -> None:
    """Change a value in the middle of a column without statistics, and set the time of the file back."""
    status = table.stat()
    content = bytearray(table.read_bytes())
    place = content.index(b"http://host", len(content) // 3)
    content[place + 7 : place + 11] = b"HOST"
    with table.open("r+b") as file:
        file.write(content)
    assert table.stat().st_size == status.st_size
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replaced_by_a_copy(table: Path) -> None:
    other = table.with_name("other")
    other.write_bytes(table.read_bytes().replace(b"host1", b"host9"))
    status = table.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, table)


def _longer(table: Path) -> None:
    write(table, rows_of(1, 320, ["0.png"]))


@pytest.mark.parametrize("kind", [".parquet", ".csv", ".jsonl", ".txt"])
@pytest.mark.parametrize("change", [_same_size_and_footer, _replaced_by_a_copy, _longer])
def test_an_unchanged_table_is_not_read_again_and_a_changed_one_always_is(
    folder: Path, tmp_path: Path, kind: str, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = PLAIN if kind == ".txt" else RECIPE
    table, out = folder / f"list{kind}", tmp_path / "out"
    rows = [row for row in rows_of(1, 300, ["0.png"]) if str(row["url"]).startswith("http")]
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), table, compression="none", use_dictionary=False, row_group_size=200)
    else:
        write(table, rows)
    source = source_of(table, recipe)
    first = dealt(out, source, recipe)
    reads: list[str] = []
    real = TableSource.read
    monkeypatch.setattr(TableSource, "read", lambda self, *given: reads.append(given[1].table) or real(self, *given))
    assert dealt(out, source, recipe) == first
    assert not reads
    other = Recipe.model_validate({**recipe.model_dump(), "limits": {"max_bytes": 10**5}})
    assert dealt(out, source, other) == one_by_one(source, other) != first
    reads.clear()
    time.sleep(0.02)  # the resolution of a file's times
    change(table)
    again = dealt(out, source, other)
    assert reads
    assert again == one_by_one(source, other)
    assert {slot for slot, *_ in again} & {slot for slot, *_ in first}
    assert again != first


def test_a_table_that_was_just_written_or_names_files_is_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = folder / "list.csv"
    write(table, rows_of(1, 100, ["1.png"]))
    before = dealt(tmp_path / "out", source_of(table), RECIPE)
    (folder / "1.png").write_bytes(b"another picture")
    after = dealt(tmp_path / "out", source_of(table), RECIPE)
    assert after == one_by_one(source_of(table), RECIPE) != before
    monkeypatch.setattr(file_marks, "SETTLED_SECONDS", 3600.0)
    assert file_marks.mark_of(Folder(str(folder)), "list.csv") == ""


@pytest.mark.parametrize("step", ["read_piece", "find_repeats", "store_chunks"])
def test_a_killed_deal_goes_on_with_what_is_stored(
    folder: Path, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = folder / "list.parquet", tmp_path / "out"
    write(table, [row for row in rows_of(5, 300, ["0.png"]) if str(row["url"]).startswith("http")])
    source = source_of(table)
    expected = one_by_one(source, RECIPE)
    real = getattr(deal, step)
    for fails_at in (1, 2, 3):
        count = 0

        def failing(task: Any, fails_at: int = fails_at) -> Any:
            nonlocal count
            count += 1
            if count == fails_at:
                raise KeyboardInterrupt
            return real(task)

        monkeypatch.setattr(deal, step, failing)
        with pytest.raises(KeyboardInterrupt):
            dealt(out, source, RECIPE)
    monkeypatch.setattr(deal, step, real)
    assert dealt(out, source, RECIPE) == expected
    assert not (Path(out) / next((Path(out) / ".work" / "plan").iterdir()).name / "rows").exists()


@pytest.mark.full
def test_workers_deal_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # workers have the real sizes
    rows = rows_of(9, 20_000, ["0.png", "1.png"])
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=3000)
    pq.write_table(pa.Table.from_pylist(rows_of(10, 9000, ["2.png"])), folder / "b.parquet")
    source = source_of(f"{folder}/*.parquet")
    expected = one_by_one(source, RECIPE)
    for workers in (0, 1, 2):
        assert dealt(tmp_path / f"out{workers}", source, RECIPE, workers) == expected
