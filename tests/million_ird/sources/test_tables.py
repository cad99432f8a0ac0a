import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from million_ird import ledger
from million_ird.config.loading import parse
from million_ird.config.rules import WebSettings
from million_ird.errors import RecipeError, SourceError
from million_ird.runtime.storage import Folder
from million_ird.sources.cells import failure_in
from million_ird.sources.table_parquet import TablePiece
from million_ird.sources.tables import TableSource
from million_ird.sources.web.links import LinkFetcher
from million_ird.workflow import Options, build

FETCHER = LinkFetcher(web=WebSettings(), max_bytes=10**6)
ROWS = [
    {"path": "a, b.png", "license": "CC0", "pwatermark": 0.1},
    {"path": "c.png", "license": "CC-BY-NC", "pwatermark": 0.2},
    {"path": "d.png", "license": "", "pwatermark": 0.9},
    {"path": "e.png", "license": "cc0", "pwatermark": None},
    {"path": "gone.png", "license": "CC0", "pwatermark": 0.0},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for row in ROWS[:-1]:
        pixels = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / str(row["path"]))
    return tmp_path


def write(folder: Path, kind: str) -> Path:
    path = folder / f"list{kind}"
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind.startswith(".jsonl"):
        text = "\n".join(json.dumps(row) for row in ROWS)
        path.write_bytes(gzip.compress(text.encode()) if kind.endswith(".gz") else text.encode())
    else:
        mark = "\t" if kind == ".tsv" else ","
        lines = [mark.join(ROWS[0])]
        lines += [mark.join(f'"{"" if v is None else v}"' for v in row.values()) for row in ROWS]
        path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("kind", [".parquet", ".csv", ".tsv", ".jsonl", ".jsonl.gz"])
def test_every_format_of_table_yields_the_same_candidates(folder: Path, kind: str) -> None:
    source = TableSource("list", str(write(folder, kind)), FETCHER, ("pwatermark",))
    candidates = [candidate for chunk in source.chunks() for candidate in source.candidates(chunk)]
    assert [(c.uri, c.licence, c.extra["pwatermark"]) for c in candidates] == [
        (row["path"], row["license"] or None, row["pwatermark"]) for row in ROWS
    ]


@pytest.mark.full
def test_gates_on_passed_columns_and_licences_drop_before_anything_is_read(folder: Path) -> None:
    recipe = parse(
        {
            "columns": ["pwatermark"],
            "licences": {"allow": ["cc0"]},
            "gates": [{"field": "pwatermark", "max": 0.5, "reason": "watermark"}],
        },
        origin="test",
    )
    table = write(folder, ".csv")
    result = build([str(table)], str(folder / "out"), recipe, Options(workers=0))
    rows = {row["uri"]: row for row in ledger.load(Folder(str(folder / "out"))).to_pylist()}
    assert {uri: row["verdict"] for uri, row in rows.items()} == {
        "a, b.png": "kept", "c.png": "dropped", "d.png": "dropped", "e.png": "kept", "gone.png": "failed",
    }  # fmt: skip
    assert (rows["c.png"]["reason"], rows["c.png"]["tier"], rows["c.png"]["id"]) == ("licence", 0, None)
    assert rows["d.png"]["reason"] == "licence"
    assert rows["a, b.png"]["pwatermark"] == 0.1
    assert result.written.images == 2

    loose = parse({"columns": ["pwatermark"], "gates": [{"field": "pwatermark", "max": 0.5}]}, origin="test")
    again = build([str(table)], str(folder / "out"), loose, Options(workers=0))
    assert (again.scan.measured, again.funnel.kept) == (1, 3)


def test_a_faulty_table_is_an_error_of_one_line_that_names_it(folder: Path) -> None:
    def error_of(text: str, columns: tuple[str, ...] = ()) -> str:
        (folder / "bad.csv").write_text(text)
        with pytest.raises(SourceError) as raised:
            TableSource("bad", str(folder / "bad.csv"), FETCHER, columns).check()
        assert "\n" not in str(raised.value)
        assert "bad.csv" in str(raised.value)
        return str(raised.value)

    assert "no column names images" in error_of("a,b\n1,2\n")
    assert "no column 'pwatermark', only path" in error_of("path\nc.png\n", ("pwatermark",))
    told = error_of("path,pwatermark\nc.png,high\n", ("pwatermark",))
    assert "line 2, column 'pwatermark': 'high' is not a number" in told
    assert "holds no rows" in error_of("path\n")
    with pytest.raises(RecipeError, match="'entropy' is already the name of a ledger column"):
        parse({"columns": ["entropy"]}, origin="test")


def test_a_file_that_is_named_twice_is_one_candidate(folder: Path) -> None:
    (folder / "twice.csv").write_text("path\nc.png\nd.png\nc.png\n")
    source = TableSource("twice", str(folder / "twice.csv"), FETCHER)
    assert [entry.uri for chunk in source.chunks() for entry in chunk.entries] == ["c.png", "d.png"]


def test_a_name_with_parameters_that_is_no_file_is_not_the_file_without_them(folder: Path) -> None:
    (folder / "what?x=1.png").write_bytes((folder / "c.png").read_bytes())
    (folder / "odd.csv").write_text("path\nc.png?token=s3cret\nc.png\nd.png;v=1\nwhat?x=1.png\n")
    recipe = parse({"limits": {"failed_share": 1}, "duplicates": {"exact": False, "radius": None}}, origin="test")
    build([str(folder / "odd.csv")], str(folder / "out"), recipe, Options(workers=0))
    rows = {row["uri"]: row["failure_class"] for row in ledger.load(Folder(str(folder / "out"))).to_pylist()}
    assert rows == {"c.png?": "missing", "c.png": None, "d.png?": "missing", "what?x=1.png": None}


@pytest.mark.parametrize("address", ["//[", "//a]b/c.png", "//℀/c.png"])
def test_an_address_that_cannot_be_joined_to_that_of_its_table_fails_its_row(tmp_path: Path, address: str) -> None:
    (tmp_path / "list.csv").write_text(f"url\n{address}\nfine.png\n")
    source = TableSource("list", str(tmp_path / "list.csv"), FETCHER, inside="http://x.org/images")
    bad, fine = source.read(Folder(str(tmp_path)), TablePiece("list.csv"))
    assert bad is not None
    assert fine is not None
    failed = failure_in(bad.version)
    assert failed is not None
    assert failed.detail.startswith("list.csv, line 2: is no address: ")
    assert fine.address == "http://x.org/images/fine.png"
