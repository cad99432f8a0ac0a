"""A row that cannot be read is one failed row, and every other row is read: all kinds of tables and of faults."""

import bz2
import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from million_ird import ledger
from million_ird.candidate import Candidate, Failed
from million_ird.config.loading import parse
from million_ird.config.rules import WebSettings
from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder
from million_ird.scan.cascade import row_from_declared
from million_ird.sources.cells import MAX_CELL, failure_in
from million_ird.sources.source import StreamContext
from million_ird.sources.table_text import TextLines, read_cells
from million_ird.sources.tables import TableSource
from million_ird.sources.web.links import LinkFetcher
from million_ird.workflow import Options, build
from tests.million_ird.scenes import photograph

FAULTS = Path(os.environ.get("MILLION_IRD_FAULTS", "/work/shared/data/faults"))
FETCHER = LinkFetcher(web=WebSettings(), max_bytes=10**6)
COLUMNS = ("url", "score", "caption")
SOUND = [(f"p{number}.jpg", number / 4, f"caption {number}") for number in range(6)]
BAD = 3
"""Which of seven rows is bad, from 0."""


def candidates(path: Path, **options: Any) -> list[Candidate]:
    """All candidates of a table, in the order of their rows."""
    source = TableSource("list", str(path), FETCHER, ("score",), ("caption",), **options)
    source.check()
    return [candidate for chunk in source.chunks() for candidate in source.candidates(chunk)]


def split(found: list[Candidate]) -> tuple[list[str], list[Failed]]:
    """The names that were read, and the failures of the other rows."""
    failures = [failure_in(candidate.version) for candidate in found]
    return [one.uri for one, bad in zip(found, failures, strict=True) if bad is None], list(filter(None, failures))


def cell_text(value: object, delimiter: str) -> bytes:
    """A cell as a csv writer writes it; bytes are taken as they are."""
    if isinstance(value, bytes):
        return value
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="").writerow(["" if value is None else value])
    return file.getvalue().encode()


def delimited(delimiter: str) -> Callable[[list[tuple[object, ...]]], bytes]:
    def write(rows: list[tuple[object, ...]]) -> bytes:
        mark = delimiter.encode()
        return b"".join(mark.join(cell_text(cell, delimiter) for cell in row) + b"\r\n" for row in [COLUMNS, *rows])

    return write


def objects(rows: list[tuple[object, ...]]) -> bytes:
    lines = [row[0] if len(row) == 1 else json.dumps(dict(zip(COLUMNS, row, strict=False))) for row in rows]
    return b"".join((line if isinstance(line, bytes) else str(line).encode()) + b"\n" for line in lines)


LONG = b'"%b"' % ((b"x" * 999 + b"\n") * 1100)
DELIMITED_FAULTS: dict[str, tuple[tuple[object, ...], str]] = {
    "a byte that is not UTF-8": (("bad.jpg", 1, b"caf\xe9"), "column 'caption': byte 0xe9 is not UTF-8"),
    "such a byte in the address": ((b"b\xffd.jpg", 1, "x"), "column 'url': byte 0xff is not UTF-8"),
    "half a sequence": (("bad.jpg", 1, b"\xf0\x9f"), "column 'caption': byte 0xf0 is not UTF-8"),
    "a surrogate in UTF-8": (("bad.jpg", 1, b"\xed\xa0\x80"), "column 'caption': byte 0xed is not UTF-8"),
    "a stray quote": (("bad.jpg", 1, b'"a 5" nail"'), "column 'caption': has a quote"),
    "a stray quote in the first cell": ((b'"b"ad.jpg', 1, "x"), "column 'url': has a quote"),
    "a quote that is never closed": (("bad.jpg", 1, b'"a 5 nail'), "column 'caption': has a quote"),
    "a cell over 1 MiB": (("bad.jpg", 1, "x" * (MAX_CELL + 1)), "column 'caption': holds more than"),
    "a quoted cell over 1 MiB": (("bad.jpg", 1, LONG), "column 'caption': holds more than"),
    "no number": (("bad.jpg", "N/A", "x"), "column 'score': 'N/A' is not a number"),
    "a number with a comma": (("bad.jpg", "1,5", "x"), "column 'score': '1,5' is not a number"),
    "too few cells": (("bad.jpg",), "column 'score': the row has 1 cells, the table 3 columns"),
    "too many cells": (("bad.jpg", 1, "x", "y"), "column '4': the row has 4 cells, the table 3 columns"),
}  # fmt: skip
OBJECT_FAULTS: dict[str, tuple[tuple[object, ...], str]] = {
    "a byte that is not UTF-8": ((b'{"url": "bad.jpg", "score": 1, "caption": "\xe9"}',), "'caption': byte 0xe9"),
    "a stray quote": ((b'{"url": "bad.jpg", "score": 1, "caption": "a 5" nail"}',), "is not JSON"),
    "a stray comma": ((b'{"url": "bad.jpg",}',), "is not JSON"),
    "a quote that is never closed": ((b'{"url": "bad.jpg", "caption": "a 5 nail}',), "is not JSON"),
    "no object": ((b'["bad.jpg"]',), "is not a JSON object"),
    "a bare word": ((b"bad.jpg",), "is not JSON"),
    "half an object": ((b'{"url": "bad.jpg"',), "is not JSON"),
    "nested too deeply": ((b'{"url":' + b"[" * 100_000,), "is not JSON"),
    "a number of too many digits": ((b'{"url": ' + b"9" * 5000 + b"}",), "is not JSON"),
    "a cell over 1 MiB": (("bad.jpg", 1, "x" * (MAX_CELL + 1)), "column 'caption': holds more than"),
    "no number": (("bad.jpg", "N/A", "x"), "column 'score': 'N/A' is not a number"),
    "a list of numbers": (("bad.jpg", [1], "x"), "column 'score': holds a list, not one value"),
    "a list of addresses": ((["bad.jpg"], 1, "x"), "column 'url': holds a list, not one value"),
    "an object as address": (({"src": "bad.jpg"}, 1, "x"), "column 'url': holds a structure, not one value"),
    "half a surrogate pair": (("bad.jpg", 1, "\ud83d"), "column 'caption': holds half a surrogate pair"),
    "half a pair inside a list": (("bad.jpg", 1, ["\ud83d"]), "column 'caption': holds half a surrogate pair"),
    "too few columns": ((b'{"url": "bad.jpg", "score": 1}',), "has no column 'caption', only url, score"),
    "no address": ((b'{"score": 1, "caption": "x"}',), "no column names images"),
    "half a surrogate pair in a name": ((b'{"\\ud83d": 1}',), r"no column names images (url, path, …); it has \ud83d"),
}  # fmt: skip
KINDS = {".csv": delimited(","), ".tsv": delimited("\t"), ".jsonl": objects, ".ndjson": objects}
MATRIX = [(kind, name) for kind in KINDS for name in (OBJECT_FAULTS if KINDS[kind] is objects else DELIMITED_FAULTS)]


def faulty(kind: str, name: str, position: int = BAD) -> tuple[bytes, str]:
    """A table with one bad row, and what is to be said of it."""
    row, told = (OBJECT_FAULTS if KINDS[kind] is objects else DELIMITED_FAULTS)[name]
    return KINDS[kind]([*SOUND[:position], row, *SOUND[position:]]), told


@pytest.mark.parametrize(("kind", "name"), MATRIX)
def test_one_bad_row_fails_with_its_place_and_the_others_are_read(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / f"list{kind}"
    path.write_bytes(KINDS[kind](list(SOUND)))
    sound = candidates(path)
    content, told = faulty(kind, name)
    path.write_bytes(content)
    found = candidates(path)
    names, (failure,) = split(found)
    assert names == [row[0] for row in SOUND]
    line = BAD + (1 if KINDS[kind] is objects else 2)
    assert failure.failure_class == "bad_row"
    assert failure.detail.startswith(f"list{kind}, line {line}"), failure.detail
    assert told in failure.detail
    assert "\n" not in failure.detail
    assert [one for one in found if failure_in(one.version) is None] == sound, "a sound row has the key it had before"
    assert len({one.key for one in found}) == len(SOUND) + 1


@pytest.mark.parametrize("position", [0, len(SOUND)])
@pytest.mark.parametrize(("kind", "name"), [pair for pair in MATRIX if pair[0] in {".csv", ".jsonl"}])
def test_the_first_and_the_last_row_may_be_bad(tmp_path: Path, kind: str, name: str, position: int) -> None:
    path = tmp_path / f"list{kind}"
    path.write_bytes(faulty(kind, name, position)[0])
    names, failures = split(candidates(path))
    assert names == [row[0] for row in SOUND]
    assert len(failures) == 1


@pytest.mark.parametrize("line", [b"b\xe9d.jpg", b"x" * (MAX_CELL + 1)])
def test_a_bad_line_of_a_list_fails_alone(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"p0.jpg\n\n" + line + b"\np1.jpg")
    source = TableSource("list", str(path), FETCHER)
    names, failures = split([one for chunk in source.chunks() for one in source.candidates(chunk)])
    assert names == ["p0.jpg", "p1.jpg"]
    assert [failure.detail[:16] for failure in failures] == ["list.txt, line 3"]


def test_a_line_that_never_ends_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("million_ird.sources.table_text.MAX_LINE", 1000)
    content = b"url,caption\na.jpg,x\nb.jpg," + b"y" * 5000 + b"\nc.jpg,z\n" + b"d" * 3000
    rows = list(read_cells(TextLines(io.BytesIO(content)), ","))
    assert [number for number, _ in rows] == [2, 3, 4, 5]
    assert [row["url"] if isinstance(row, dict) else row.detail for _, row in rows] == [
        "a.jpg", "has a line of more than 1,000 characters", "c.jpg", "has a line of more than 1,000 characters",
    ]  # fmt: skip


@pytest.mark.parametrize("line", [b'p.jpg,"x\n', b'p.jpg,"""\n', b'p.jpg,"\n', b'"p.jpg,""x""\n', b"p.jpg,x\n"])
def test_unclosed_quotes_take_linear_time(monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    content = b"url,caption\n" + b'p.jpg,"open\n' + line * 5000
    lines, read = TextLines(io.BytesIO(content)), 0
    fresh = TextLines.__next__

    def counting(self: TextLines) -> str:
        nonlocal read
        line = fresh(self)
        read += len(line)
        return line

    monkeypatch.setattr(TextLines, "__next__", counting)
    numbers = [number for number, _ in read_cells(lines, ",")]
    assert numbers == sorted(set(numbers))
    assert read < 3 * len(content)


ENCODINGS = {
    "utf-8-sig": "utf-8-sig",
    "utf-16": "utf-16",
    "utf-16 big": "utf-16-be",
    "utf-32": "utf-32",
    "utf-32 big": "utf-32-be",
}


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("kind", [".txt", ".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("packed", ["", ".gz", ".bz2"])
def test_text_with_a_byte_order_mark_is_read(tmp_path: Path, encoding: str, kind: str, packed: str) -> None:
    rows = [("é𝄞.jpg", 0.25, "ü"), *SOUND]
    text = "".join(f"{row[0]}\n" for row in rows) if kind == ".txt" else KINDS[kind](rows).decode()
    mark = "\ufeff" if encoding.endswith("be") else ""
    content = (mark + text).encode(encoding)
    path = tmp_path / f"list{kind}{packed}"
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[packed](content))
    source = TableSource("list", str(path), FETCHER)
    assert [one.uri for chunk in source.chunks() for one in source.candidates(chunk)] == [row[0] for row in rows]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_wide_text_without_a_mark_is_refused_in_one_line(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "list.txt").write_bytes("a.jpg\nb.jpg\n".encode(encoding))
    with pytest.raises(SourceError, match=r"list\.txt: looks like UTF-16 or UTF-32 without a byte-order mark"):
        TableSource("list", str(tmp_path / "list.txt"), FETCHER).check()


def test_half_a_pair_in_utf_16_fails_its_row(tmp_path: Path) -> None:
    content = "\ufeffp0.jpg\n".encode("utf-16-le") + b"b\x00\x00\xd8.\x00\n\x00" + "p1.jpg\n".encode("utf-16-le") + b"x"
    (tmp_path / "list.txt").write_bytes(content)
    source = TableSource("list", str(tmp_path / "list.txt"), FETCHER)
    names, failures = split([one for chunk in source.chunks() for one in source.candidates(chunk)])
    assert names == ["p0.jpg", "p1.jpg"]
    assert [failure.detail.split(":")[0] for failure in failures] == ["list.txt, line 2", "list.txt, line 4"]


TEXT_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "fixed_size_binary": pa.binary(16),
    "dictionary": pa.dictionary(pa.int8(), pa.string()),
    "dictionary of binary": pa.dictionary(pa.int32(), pa.binary()),
}


def as_type(values: list[str | None], kind: pa.DataType) -> pa.Array:
    if kind == pa.binary(16):
        return pa.array([None if value is None else value.encode().ljust(16, b"\0") for value in values], kind)
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_bytes = "binary" in str(inner)
    plain = pa.array([None if v is None else v.encode() if is_bytes else v for v in values], inner)
    return plain.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else plain


@pytest.mark.parametrize("kind", TEXT_TYPES.values(), ids=TEXT_TYPES)
def test_every_way_to_store_text_in_parquet_is_read_alike(tmp_path: Path, kind: pa.DataType) -> None:
    names: list[str | None] = ["p0.jpg", "é.jpg", None, "p2.jpg"]
    numbers: list[str | None] = ["0.5", "", "1", None]
    table = pa.table(
        {
            "url": as_type(names, kind),
            "license": as_type(["CC0", None, None, "MIT"], kind),
            "score": as_type(numbers, kind),
            "caption": as_type(["a", "ü", None, None], kind),
        }
    )
    pq.write_table(table, tmp_path / "list.parquet")
    assert [(one.uri, one.licence, one.extra) for one in candidates(tmp_path / "list.parquet")] == [
        ("p0.jpg", "CC0", {"score": 0.5, "caption": "a"}),
        ("é.jpg", None, {"score": None, "caption": "ü"}),
        ("p2.jpg", "MIT", {"score": None, "caption": None}),
    ]


BAD_TEXT = pa.array([b"p0.jpg", b"b\xe9d.jpg", b"p2.jpg"])
NOT_UTF_8 = {
    "binary": BAD_TEXT,
    "string": pa.Array.from_buffers(pa.string(), 3, BAD_TEXT.buffers()),
    "dictionary": pa.Array.from_buffers(pa.string(), 3, BAD_TEXT.buffers()).dictionary_encode(),
}


@pytest.mark.parametrize("column", ["url", "caption", "license"])
@pytest.mark.parametrize("kind", NOT_UTF_8)
def test_a_parquet_cell_that_is_not_utf_8_fails_its_row(tmp_path: Path, kind: str, column: str) -> None:
    plain = {"url": ["p0.jpg", "p1.jpg", "p2.jpg"], "score": [1, 2, 3], "caption": ["a"] * 3, "license": ["b"] * 3}
    pq.write_table(pa.table({**plain, column: NOT_UTF_8[kind]}), tmp_path / "list.parquet")
    names, (failure,) = split(candidates(tmp_path / "list.parquet"))
    assert names == ["p0.jpg", "p2.jpg"]
    assert failure == Failed("bad_row", f"list.parquet, row 2, column {column!r}: byte 0xe9 is not UTF-8")


NO_VALUE = {
    "a year beyond 9999": pa.array([0, 10**15, 0], pa.timestamp("s")),
    "a date beyond 9999": pa.array([0, 2**30, 0], pa.date32()),
    "a time of ages": pa.array([0, 2**62, 0], pa.duration("s")),
    "an unknown time zone": pa.array([None, 0, None], pa.timestamp("us", tz="Mars/Phobos")),
}


@pytest.mark.parametrize("kind", NO_VALUE)
@pytest.mark.parametrize("column", ["caption", "license"])
def test_a_parquet_cell_that_python_has_no_value_for_fails_its_row(tmp_path: Path, kind: str, column: str) -> None:
    plain = {"url": ["a.jpg", "b.jpg", "c.jpg"], "score": [1.0, 2.0, 3.0], "caption": ["x", "y", "z"]}
    pq.write_table(pa.table({**plain, column: NO_VALUE[kind]}), tmp_path / "list.parquet")
    names, (failure,) = split(candidates(tmp_path / "list.parquet"))
    assert names == ["a.jpg", "c.jpg"]
    assert failure.failure_class == "bad_row"
    assert failure.detail.startswith(f"list.parquet, row 2, column {column!r}: holds a value that cannot be read")


def test_what_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    other = pa.array([{"deep": [1]}, None, {"deep": []}])
    table = pa.table(
        {"url": ["a", "b", "c"], "score": [1.0, 2, 3], "caption": ["x"] * 3, "other": other, "bad": BAD_TEXT}
    )
    pq.write_table(table, tmp_path / "list.parquet")
    assert [one.uri for one in candidates(tmp_path / "list.parquet")] == ["a", "b", "c"]


NESTED = {
    "list": pa.array([["a.jpg", "b.jpg"]]),
    "large_list": pa.array([["a.jpg"]], pa.large_list(pa.string())),
    "list_view": pa.array([["a.jpg"]], pa.list_view(pa.string())),
    "fixed_size_list": pa.array([["a.jpg"]], pa.list_(pa.string(), 1)),
    "struct": pa.array([{"src": "a.jpg"}]),
    "map": pa.array([[("src", "a.jpg")]], pa.map_(pa.string(), pa.string())),
    "list of dictionary": pa.array([["a.jpg"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
}


@pytest.mark.parametrize("column", ["url", "score"])
@pytest.mark.parametrize("kind", NESTED)
def test_a_nested_column_that_should_be_one_value_is_refused_by_name(tmp_path: Path, kind: str, column: str) -> None:
    plain = {"url": ["a.jpg"], "score": [1], "caption": ["a"]}
    pq.write_table(pa.table({**plain, column: NESTED[kind]}), tmp_path / "list.parquet")
    what = "structures" if kind in {"struct", "map"} else "lists"
    with pytest.raises(SourceError, match=f"list.parquet: its column '{column}' holds {what}") as raised:
        candidates(tmp_path / "list.parquet")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", NESTED)
def test_a_nested_text_column_is_read_as_json(tmp_path: Path, kind: str) -> None:
    table = pa.table({"url": ["a.jpg"], "score": [1], "caption": NESTED[kind]})
    pq.write_table(table, tmp_path / "list.parquet")
    (one,) = candidates(tmp_path / "list.parquet")
    told = json.loads(str(one.extra["caption"]))
    assert "a.jpg" in json.dumps(told)


def test_several_authors_are_read_with_commas(tmp_path: Path) -> None:
    table = pa.table({"url": ["a.jpg"], "score": [1], "caption": ["x"], "author": [["A. One", "B. Two"]]})
    pq.write_table(table, tmp_path / "list.parquet")
    assert candidates(tmp_path / "list.parquet")[0].attribution == "A. One, B. Two"
    pq.write_table(table.set_column(3, "author", pa.array([{"name": "A"}])), tmp_path / "list.parquet")
    with pytest.raises(SourceError, match="its column 'author' holds structures"):
        candidates(tmp_path / "list.parquet")


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.date32(), pa.time32("s")])
def test_a_numeric_column_of_times_is_refused_by_name(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"url": ["a.jpg"], "score": pa.array([None], kind), "caption": ["x"]})
    pq.write_table(table, tmp_path / "list.parquet")
    with pytest.raises(SourceError, match="its column 'score' holds no numbers"):
        candidates(tmp_path / "list.parquet")


def test_a_table_that_cannot_be_read_is_a_failed_row_among_several(tmp_path: Path) -> None:
    for number, content in enumerate([b"url\np0.jpg\n", b"no parquet", b"url\np1.jpg\n"]):
        (tmp_path / f"{number}.{'parquet' if number == 1 else 'csv'}").write_bytes(content)
    (tmp_path / "3.csv.gz").write_bytes(gzip.compress(b"url\np2.jpg\n" * 1000)[:-9])
    (tmp_path / "4.csv").write_bytes("url\np3.jpg\n".encode("utf-16-le"))
    for root in (tmp_path, tmp_path / "*"):
        source = TableSource("lists", str(root), FETCHER)
        source.check()
        found = [one for chunk in source.chunks() for one in source.candidates(chunk)]
        names, failures = split(found)
        assert {"p0.jpg", "p1.jpg"} <= set(names)
        assert [failure.detail.split(":")[0] for failure in failures] == ["1.parquet", "3.csv.gz", "4.csv"]
        assert {failure.failure_class for failure in failures} == {"unreadable"}
    for name in ("1.parquet", "3.csv.gz", "4.csv"):
        with pytest.raises(SourceError, match=name):
            list(TableSource("lists", str(tmp_path / name), FETCHER).chunks())


def test_a_bad_row_fails_before_any_rule_may_drop_it() -> None:
    settings = {"licences": {"allow": ["cc0"]}, "columns": ["score"], "gates": [{"field": "score", "min": 1}]}
    recipe = parse(settings, origin="test")
    failed = Candidate(key="0" * 32, source="s", uri="list.csv, line 3", version="bad_row: list.csv, line 3: is no row")
    assert row_from_declared(failed, recipe)[1] is False
    assert row_from_declared(replace(failed, version=""), recipe)[1] is True


@pytest.mark.full
def test_a_build_counts_bad_rows_as_failed_and_resumes(tmp_path: Path) -> None:
    for number in range(4):
        photograph(number).save(tmp_path / f"p{number}.png")
    rows = [b"p0.png,0.5,CC0", b"p1.png,N/A,CC0", b"p2.png,0.1,CC0", b"p3.png,0.2,caf\xe9"]
    (tmp_path / "list.csv").write_bytes(b"url,score,license\n" + b"\n".join(rows))
    settings = {
        "columns": ["score"],
        "licences": {"allow": ["cc0"]},
        "gates": [{"field": "score", "max": 0.9}],
        "limits": {"failed_share": 0.5},
    }
    recipe = parse(settings, origin="test")
    out = str(tmp_path / "out")
    result = build([str(tmp_path / "list.csv")], out, recipe, Options(workers=0))
    assert (result.funnel.kept, result.funnel.failures) == (2, {"bad_row": 2})
    failed = [row for row in ledger.load(Folder(out)).to_pylist() if row["verdict"] == "failed"]
    assert [row["failure_detail"] for row in failed] == [
        "list.csv, line 3, column 'score': 'N/A' is not a number",
        "list.csv, line 5, column 'license': byte 0xe9 is not UTF-8",
    ]
    assert build([str(tmp_path / "list.csv")], out, recipe, Options(workers=0)).did_nothing
    (tmp_path / "list.csv").write_bytes(b"url,score,license\n" + b"\n".join(rows).replace(b"N/A", b"0.3"))
    again = build([str(tmp_path / "list.csv")], out, recipe, Options(workers=0))
    assert (again.funnel.kept, again.funnel.failures) == (3, {"bad_row": 1})
    assert again.scan.measured == 1, "only the mended row is measured"


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the folder of faults is not here")
@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("nonutf8_row.csv", 1),
        ("stray_quote.csv", 1),
        ("bad_number.csv", 1),
        ("one_bad_line.jsonl", 1),
        ("binary_url.parquet", 3),
    ],
)
def test_the_tables_that_were_read_wrongly(name: str, bad: int) -> None:
    columns = ("score",) if name == "bad_number.csv" else ()
    source = TableSource("list", str(FAULTS / name), FETCHER, columns)
    source.check()
    names, failures = split([one for chunk in source.chunks() for one in source.candidates(chunk)])
    assert names == [f"pics/p{number}.jpg" for number in range(3) if number != bad]
    assert len(failures) == (bad < 3)


def test_a_bad_row_in_a_bucket_fails_without_a_request() -> None:
    folder = Folder("memory://bad-rows")
    folder.write("p0.jpg", b"picture")
    folder.write("list.csv", b"url,score\np0.jpg,1\nhttps://x.org/a.jpg,N/A\n")
    source = TableSource("list", "memory://bad-rows/list.csv", FETCHER, ("score",))
    source.check()
    found: dict[str, bytes | Failed] = {}
    for chunk in source.chunks():
        assert not chunk.host_group

        def deliver(candidate: Candidate, content: bytes | Failed) -> None:
            found[candidate.uri] = content

        source.stream(chunk, lambda _: True, deliver, StreamContext(out=Folder("memory://out"), concurrency=1))
    detail = "list.csv, line 3, column 'score': 'N/A' is not a number"
    assert found == {"p0.jpg": b"picture", "list.csv, line 3": Failed("bad_row", detail)}
