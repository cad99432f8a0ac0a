"""The data-set card: what it says, that the Hub's and `datasets`' own readers take it, and what its pictures show."""

import io
import re
import shutil
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from datasets import Features, load_dataset, load_dataset_builder
from datasets.exceptions import DatasetGenerationError
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt
from PIL import Image

from million_ird import ledger as ledgers
from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.dataset.columns import images_schema, patches_schema
from million_ird.dataset.layout import hub_configs, linked_files, read_front_matter, size_category
from million_ird.dataset.markdown import NAMELESS, escape_markdown, plain_line
from million_ird.dataset.shards import WriteSummary
from million_ird.ledger import ledger_schema
from million_ird.maintenance.verify import verify
from million_ird.reporting.card import write_card
from million_ird.reporting.card_figures import draw_figures, make_panel, render_png
from million_ird.reporting.counts import (
    count_leaks,
    duplicate_group_stats,
    hub_licence,
    largest_values,
    licence_identifier,
)
from million_ird.runtime.storage import Folder
from million_ird.schema import DROPPED, KEPT, LEAK, NEAR, PIXELS, REMOVED
from tests.million_ird import scenes
from tests.million_ird.reporting import synthetic_ledgers as made

CONFIGS = ("images", "patches", "ledger")
HOSTILE = (
    "a | b || c",
    "`rm -rf` ``x``",
    "two\nlines\r\n| and | a row |\n\n# and a heading\n---\n",
    "<script>alert(1)</script> <img src=x onerror=y> &lt; &copy;",
    "[click](https://evil.example) ![pixel](https://evil.example/p.png) <https://evil.example>",
    "https://evil.example www.evil.example",
    "\u202egnp.exe\u2066 hidden\u200b\u200d\ufeff\u00ad marks \U000e0041",
    "**bold** _it_ ~~no~~ \\| \\( x \\) $$\\frac{1}{2}$$ # * - +",
    "{{ name }} {% raw %} {# x #}",
    "key: [1, 2]\n- other: 'quoted\" # comment",
    "\x00\x07\x1b[31mred\x7f",
    " \t\u2028",
    "x" * 5000,
)


def lay(folder: Path, ledger: pa.Table, by: Recipe, held_out: int = 0) -> WriteSummary:
    """Ledger and shards of these rows, each kept picture being the same small PNG, with one patch."""
    out = Folder(str(folder))
    ledgers.save(out, [ledger], ledger.num_rows, ledger_schema(by.ledger_entries))
    kept = ledger.filter(pc.equal(ledger["verdict"], KEPT))
    for kind, schema in (("data", images_schema(by.ledger_entries)), ("patches", patches_schema())):
        columns = {name: kept[name] for name in schema.names if name in kept.column_names}
        columns["parent"] = columns["sha256"] = kept["id"]
        image = {"bytes": small_png(), "path": "picture.png"}
        columns["image"] = pa.array([image] * kept.num_rows, schema.field("image").type)
        arrays = [columns.get(one.name, pa.nulls(kept.num_rows, one.type)) for one in schema]
        table = pa.table([_cast(a, f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema)
        splits = {"train": table.slice(held_out), "validation": table.slice(0, held_out)}
        for split, rows in splits.items():
            if split == "train" or held_out:
                with (
                    out.writing(f"{kind}/{split}-00000-of-00001.parquet") as file,
                    pq.ParquetWriter(file, schema) as writer,
                ):
                    if rows.num_rows:  # no group of rows where there are none, as shards are written
                        writer.write_table(rows)
    return WriteSummary(kept.num_rows, kept.num_rows, 0)


def _cast(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return column if column.type == kind else column.cast(kind)


def small_png() -> bytes:
    sink = io.BytesIO()
    scenes.photograph(0, 16, 12).save(sink, "PNG")
    return sink.getvalue()


def card_of(folder: Path, ledger: pa.Table, by: Recipe, **how: object) -> str:
    written = lay(folder, ledger, by, int(str(how.pop("held_out", 0))))
    write_card(Folder(str(folder)), ledger, by, written, **how)  # type: ignore[arg-type]
    return (folder / "README.md").read_text(encoding="utf-8")


def made_ledger(by: Recipe, rows: int = 60) -> pa.Table:
    return made.decided(made.scanned(rows, by), by)


def with_column(table: pa.Table, name: str, values: list[object] | pa.Array) -> pa.Table:
    field = ledger_schema(()).field(name)
    column = pa.array(values, field.type) if isinstance(values, list) else values
    place = table.column_names.index(name)
    return table.set_column(place, field, column)


class _Read:
    """A card as a Markdown reader understands it."""

    def __init__(self, card: str) -> None:
        body = card.split("\n---\n", 1)[1]
        self.tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(body)
        self.inline = [token for token in self.tokens if token.type == "inline"]
        children = [child for token in self.inline for child in token.children or ()]
        self.links = [str(child.attrs.get("href", child.attrs.get("src"))) for child in children
                      if child.type in {"link_open", "image"}]  # fmt: skip
        self.html = [t.content for t in [*self.tokens, *children] if t.type in {"html_inline", "html_block"}]

    def headings(self) -> list[str]:
        return [self.text(self.tokens[i + 1]) for i, t in enumerate(self.tokens) if t.type == "heading_open"]

    def rows(self) -> list[list[str]]:
        found: list[list[str]] = []
        for place, token in enumerate(self.tokens):
            if token.type == "tr_open":
                found.append([])
            elif token.type in {"td_open", "th_open"}:
                found[-1].append(self.text(self.tokens[place + 1]))
        return found

    @staticmethod
    def text(token: object) -> str:
        return "".join(child.content for child in getattr(token, "children", None) or ())


# The YAML


def test_the_hub_s_reader_takes_the_front_matter(finished: Path) -> None:
    data = DatasetCard.load(finished / "README.md").data.to_dict()
    assert data["pretty_name"] == "small: a test"
    assert (data["license"], data["license_name"], data["license_link"]) == (
        "other", "as-each-picture-says", "LICENSE.md",
    )  # fmt: skip
    assert re.fullmatch("[a-z0-9.-]+", data["license_name"])
    assert (finished / "LICENSE.md").is_file()
    assert data["task_categories"] == ["image-to-image"]
    assert data["size_categories"] == ["n<1K"]
    assert [(one["config_name"], one.get("default")) for one in data["configs"]] == [
        ("images", True), ("patches", None), ("ledger", None),
    ]  # fmt: skip
    assert {one["config_name"] for one in data["dataset_info"]} == set(CONFIGS)
    assert data == read_front_matter((finished / "README.md").read_text())


@pytest.mark.parametrize("config", CONFIGS)
def test_datasets_finds_features_and_sizes_in_the_card(finished: Path, config: str) -> None:
    measures = scenes.recipe().ledger_entries
    schema = {
        "images": images_schema(measures), "patches": patches_schema(), "ledger": ledger_schema(measures),
    }[config]  # fmt: skip
    folder = finished / {"images": "data"}.get(config, config)
    info = load_dataset_builder(str(finished), config).info
    assert info.features == Features.from_arrow_schema(schema)
    assert {name: split.num_examples for name, split in info.splits.items()} == {
        "train": pq.read_table(folder, columns=["id"]).num_rows
    }
    assert info.download_size == sum(path.stat().st_size for path in folder.iterdir())
    assert info.dataset_size == sum(split.num_bytes for split in info.splits.values())


@pytest.mark.parametrize("config", CONFIGS)
def test_datasets_verifies_the_splits_and_loads_them(finished: Path, tmp_path: Path, config: str) -> None:
    loaded = load_dataset(str(finished), config, split="train", cache_dir=str(tmp_path))
    load_download_cache = load_dataset(str(finished), config, split="train", streaming=True)
    assert loaded.features == load_download_cache.features
    assert [row["key"] for row in load_download_cache] == loaded["key"]
    assert loaded.num_rows > 0


def test_datasets_refuses_rows_that_the_card_does_not_count(built: Path, tmp_path: Path) -> None:
    card = built / "README.md"
    card.write_text(card.read_text().replace(f"num_examples: {scenes.KEPT}\n", "num_examples: 77\n"))
    with pytest.raises(Exception, match="num_examples=77") as refused:
        load_dataset(str(built), split="train", cache_dir=str(tmp_path))
    assert "NonMatchingSplitsSizes" in type(refused.value).__name__


@pytest.mark.parametrize("config", ["images", "patches"])
def test_the_bytes_of_pictures_are_what_datasets_counts(finished: Path, tmp_path: Path, config: str) -> None:
    said = load_dataset_builder(str(finished), config).info.dataset_size
    counted = load_dataset(str(finished), config, split="train", cache_dir=str(tmp_path)).info.dataset_size
    assert said == pytest.approx(counted, rel=0.05)


def test_a_set_of_nothing_loads_as_far_as_datasets_can(tmp_path: Path) -> None:
    by = made.recipe(gates=[{"field": "short_side", "min": 1_000_000, "reason": "small"}])
    ledger = made_ledger(by)
    card = card_of(tmp_path / "out", ledger, by)
    assert "| `images` | 0 | train |" in card
    assert load_dataset_builder(str(tmp_path / "out")).info.splits["train"].num_examples == 0
    for config in ("images", "patches"):
        load_download_cache = load_dataset(str(tmp_path / "out"), config, split="train", streaming=True)
        assert list(load_download_cache) == []
        # `datasets` makes no Dataset of no rows, whatever a card says.
        with pytest.raises((ValueError, DatasetGenerationError), match="no data"):
            load_dataset(str(tmp_path / "out"), config, split="train", cache_dir=str(tmp_path / "cache"))
    rows = load_dataset(str(tmp_path / "out"), "ledger", split="train", cache_dir=str(tmp_path / "cache"))
    assert rows.num_rows == ledger.num_rows


def test_a_held_out_split_is_named_and_loads(tmp_path: Path) -> None:
    by = made.recipe()
    ledger = made_ledger(by)
    kept = pc.sum(pc.equal(ledger["verdict"], KEPT)).as_py()
    card = card_of(tmp_path / "out", ledger, by, held_out=4)
    assert f"| `images` | {kept - 4} | train | 1 |" in card
    assert "| `images` | 4 | validation | 1 |" in card
    assert "in the same split" in card
    for config in ("images", "patches"):
        loaded = load_dataset(str(tmp_path / "out"), config, cache_dir=str(tmp_path / "cache"))
        assert {name: split.num_rows for name, split in loaded.items()} == {"train": kept - 4, "validation": 4}
    assert list(load_dataset_builder(str(tmp_path / "out"), "ledger").info.splits) == ["train"]


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (100_000, "100K<n<1M"),
        (999_999, "100K<n<1M"),
        (1_000_000, "1M<n<10M"),
        (2_000_000, "1M<n<10M"),
        (25_000_000, "10M<n<100M"),
        (999_999_999, "100M<n<1B"),
        (10**9, "1B<n<10B"),
        (5 * 10**11, "100B<n<1T"),
        (10**12, "n>1T"),
    ],
)
def test_size_category(rows: int, name: str) -> None:
    assert size_category(rows) == name


@pytest.mark.parametrize(
    ("licence", "name"),
    [
        ("CC0-1.0", "cc0-1.0"),
        ("CC0 1.0", "cc0-1.0"),
        ("cc-by-4.0", "cc-by-4.0"),
        (" CC BY-SA 4.0 ", "cc-by-sa-4.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/", "cc-by-nc-nd-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/deed.de", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "other"),
        ("CC-BY-9.9", "other"),
        ("all rights reserved", "other"),
        ("https://evil.example/creativecommons.org/licenses/by/4.0/", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_identifier_of_a_licence(licence: str | None, name: str) -> None:
    assert licence_identifier(licence) == name


def test_the_licence_is_named_only_when_all_kept_pictures_have_it(tmp_path: Path) -> None:
    by = made.recipe()
    ledger = made_ledger(by)
    assert hub_licence(ledger) == "other"  # half of them say nothing
    kept = pc.equal(ledger["verdict"], KEPT).to_pylist()
    mixed = ["CC0 1.0" if i % 2 and good else "cc0-1.0" if good else "other terms" for i, good in enumerate(kept)]
    ledger = with_column(ledger, "licence", list(mixed))
    card = card_of(tmp_path, ledger, by)
    data = read_front_matter(card)
    assert data["license"] == "cc0-1.0"
    assert "license_name" not in data
    assert hub_licence(ledger.filter(pc.not_equal(ledger["verdict"], KEPT))) == "other"


# What it says


def test_the_card_tells_the_funnel_the_limits_and_the_sources(tmp_path: Path) -> None:
    by = made.recipe()
    ledger = made_ledger(by, 2000)
    counted = ledgers.funnel(ledger)
    rows = _Read(card_of(tmp_path, ledger, by)).rows()
    left = counted.candidates
    for name in ("failed", "small", "exposure", "few_colours", "blurred", "duplicate_exact"):
        lost = counted.failed if name == "failed" else counted.dropped[name]
        left -= lost
        assert [name, f"{lost:,}", f"{left:,}"] in [[row[0], *row[2:]] for row in rows if len(row) == 4]
    assert ["kept", "", "", f"{counted.kept:,}"] in rows
    limits = [row[:4] for row in rows if len(row) == 5]
    assert ["exposure", "mean_luma", "40", "220"] in limits
    assert ["blurred", "sharpest_blocks", "3", ""] in limits
    for one in largest_values(ledger, "source"):
        assert [one.name, f"{one.candidates:,}", f"{one.kept:,}"] in [row[:3] for row in rows]
    assert sum(one.kept for one in largest_values(ledger, "source")) == counted.kept
    assert "none stated" in {row[0] for row in rows}


def test_shares_name_the_largest_and_add_up_the_others() -> None:
    kept, dropped = KEPT, DROPPED
    table = pa.table(
        {
            "licence": ["b", "a", "a", "b", None, "c", "d", "e"],
            "verdict": [kept, kept, dropped, kept, kept, kept, dropped, kept],
        }
    )
    named = [(one.name, one.candidates, one.kept, one.others) for one in largest_values(table, "licence", max_named=2)]
    assert named == [("b", 2, 2, 0), ("a", 2, 1, 0), (None, 4, 3, 4)]
    assert [one.name for one in largest_values(table, "licence", kept_only=True)] == ["b", "a", "c", "e", None]
    assert largest_values(table.slice(0, 0), "licence") == []


def test_copies_leaks_and_removals_are_counted(tmp_path: Path) -> None:
    by = made.recipe()
    ledger = made_ledger(by, 200)
    open_rows = [i for i, verdict in enumerate(ledger["verdict"].to_pylist()) if verdict == KEPT]
    fate = {open_rows[i]: (LEAK, f"CBSD68/{i // 2}.png") for i in range(4)}
    fate |= {open_rows[4]: (LEAK, "Rain100L/a/b.png"), open_rows[5]: (REMOVED, None)}
    fate |= {open_rows[i]: (PIXELS if i == 6 else NEAR, None) for i in range(6, 9)}
    clusters: list[object] = [None] * ledger.num_rows
    for i in range(6, 10):
        clusters[open_rows[i]] = "the ninth"
    texts = {name: ledger[name].to_pylist() for name in ("verdict", "reason", "leak_of")}
    for place, (reason, leak_of) in fate.items():
        texts["verdict"][place], texts["reason"][place], texts["leak_of"][place] = DROPPED, reason, leak_of
    for name, values in {**texts, "cluster": clusters}.items():
        ledger = with_column(ledger, name, values)
    card = card_of(tmp_path, ledger, by, benchmarks=("CBSD68", "Urban100"))
    rows = _Read(card).rows()
    for row in (["CBSD68", "4", "2"], ["Rain100L", "1", "1"], ["Urban100", "0", "0"]):
        assert row in rows
    assert [one.benchmark for one in count_leaks(ledger, ("CBSD68", "Urban100"))] == ["CBSD68", "Rain100L", "Urban100"]
    assert ["near-duplicates", "2"] in rows
    assert ["the same pixels in another file", "1"] in rows
    assert "1 kept image had duplicates; the largest group has 4 images" in card
    assert duplicate_group_stats(ledger).sizes == {"3 to 5": 1}
    assert "1 candidate was removed on request" in card


def test_what_was_not_looked_for_is_said(tmp_path: Path) -> None:
    by = made.recipe(duplicates={"exact": False, "radius": None}, gates=[])
    card = card_of(tmp_path / "out", made_ledger(by), by)
    assert "Duplicates were not searched for." in card
    assert "The candidates were not compared with any evaluation set" in card
    assert "no limits on any measure" in card
    assert linked_files(card) == ["card/sizes.png"]


def test_metadata_that_was_stripped_is_counted(tmp_path: Path) -> None:
    by = made.recipe()
    ledger = made_ledger(by)
    written = lay(tmp_path, ledger, by)
    path = tmp_path / "data/train-00000-of-00001.parquet"
    table = pq.read_table(path)
    hashes = [f"other {i}" if i < 3 else name for i, name in enumerate(table["id"].to_pylist())]
    table = table.drop_columns([name for name in ("sha256",) if name in table.column_names])
    pq.write_table(table.append_column("sha256", pa.array(hashes)), path)
    write_card(Folder(str(tmp_path)), ledger, by, written)
    assert f"Metadata was removed from 3 of the {written.images} images" in (tmp_path / "README.md").read_text()


def test_the_latest_release_is_named_where_there_is_one(tmp_path: Path) -> None:
    by = made.recipe()
    ledger = made_ledger(by)
    assert "CHANGES" not in card_of(tmp_path, ledger, by)
    releases = [{"version": n, "date": f"2026-11-0{n}"} for n in (1, 10, 2) if n < 10] + [{"version": 10, "date": "x"}]
    Folder(str(tmp_path)).write_json("releases/releases.json", releases)
    (tmp_path / "CHANGES.md").write_text("# Changes\n")
    card = card_of(tmp_path, ledger, by)
    assert "This is version 10 of x." in card
    assert "[CHANGES.md](CHANGES.md)" in card


def test_no_local_path_shows(finished: Path, pictures: Path) -> None:
    for name in ("README.md", "LICENSE.md"):
        text = (finished / name).read_text()
        assert str(pictures.parent) not in text
        assert str(finished) not in text
        assert "/tmp" not in text


def test_the_citation_is_of_the_paper_and_of_the_software(finished: Path) -> None:
    card = (finished / "README.md").read_text()
    bibtex = re.findall(r"```bibtex\n(.*?)```", card, re.DOTALL)[0]
    assert bibtex.count("{") == bibtex.count("}")
    assert "arXiv:2404.02154" in bibtex
    assert "@software{million_ird," in bibtex
    assert re.search(r"version = \{[\w.+]+\},", bibtex)


# Strangers' words


@pytest.mark.parametrize("text", HOSTILE)
def test_an_escaped_text_reads_as_itself(text: str) -> None:
    shown = plain_line(text)
    assert "\n" not in shown
    assert not re.search("[\x00-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\xad]", shown)
    assert 0 < len(shown) <= 120
    read = _Read(f"---\n---\n# {escape_markdown(text)}\n\n| a | b |\n|---|---|\n| {escape_markdown(text)} | 2 |\n")
    assert read.headings() == [shown]
    assert read.rows() == [["a", "b"], [shown, "2"]]
    assert read.links == []
    assert read.html == []
    assert "www.evil" not in escape_markdown(text)
    assert not re.search(r"(?<!\\)://", escape_markdown(text))


def test_plain_text_of_nothing() -> None:
    assert plain_line("\u202e\u200b") == NAMELESS


def test_names_of_strangers_change_nothing_but_their_own_cells(tmp_path: Path) -> None:
    gates = [{"field": "short_side", "min": 1024, "reason": HOSTILE[2]}]
    tame = made.recipe(gates=[{**gates[0], "reason": "small"}])
    by = made.recipe(name=HOSTILE[9], gates=gates)
    ledger = made_ledger(by, 100)
    plainly = _Read(card_of(tmp_path / "tame", made_ledger(tame, 100), tame))
    names = [HOSTILE[i % len(HOSTILE)] for i in range(ledger.num_rows)]
    texts = {"source": dict(enumerate(names)), "licence": dict(enumerate(names))}
    card = card_of(tmp_path / "hostile", made.with_texts(ledger, texts), by)
    read = _Read(card)
    assert read_front_matter(card)["pretty_name"] == plain_line(HOSTILE[9])
    assert DatasetCard.load(tmp_path / "hostile" / "README.md").data.license == "other"
    assert read.headings() == [plain_line(HOSTILE[9]), *plainly.headings()[1:]]
    assert read.links == plainly.links
    assert read.html == []
    assert not re.search("[\x00-\x09\x0b-\x1f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", card)
    cells = {row[0] for row in read.rows()}
    assert {plain_line(name, 300) for name in HOSTILE if name.strip("\t \u2028")} <= cells
    assert plain_line(HOSTILE[2], 300) in cells  # the reason
    widths = {len(row) for row in read.rows()}
    assert widths == {len(row) for row in plainly.rows()}
    licences = (tmp_path / "hostile" / "LICENSE.md").read_text()
    assert _Read(f"---\n---\n{licences}").html == []


# Its pictures


def test_a_panel_counts_every_number_once_and_cuts_at_the_limits() -> None:
    draw = np.random.default_rng(0)
    for low, high in ((None, None), (3.0, None), (None, 9.5), (3.0, 9.5)):
        for values in (draw.lognormal(2, 1.5, 500), np.rint(draw.uniform(0, 12, 500)), np.array([3.0, 9.5, 9.5, 3.0])):
            column = np.concatenate([values, [np.nan, 3.0, 9.5] * 20])
            kept = draw.random(len(column)) < 0.5
            gates = [] if low is None and high is None else [Gate(field="x", min=low, max=high)]
            one = make_panel("x", column, kept, gates)
            assert one is not None
            finite = np.isfinite(column)
            beyond = finite & ((column < (low or -1e9)) | (column > (high or 1e9)))
            assert one.n_measured == finite.sum()
            assert one.n_beyond == beyond.sum()
            assert one.kept.sum() == (kept & finite & ~beyond).sum()
            assert np.all(np.diff(one.edges) > 0)
            assert (one.edges[0], one.edges[-1]) == (0, 1)
            for limit, outside in ((low, one.edges[1:]), (high, one.edges[:-1])):
                if limit is not None:
                    place = one.axis.place(np.array([limit]))[0]
                    assert place in one.edges
                    out = outside <= place if limit == low else outside >= place
                    assert (one.kept + one.other)[out].sum() == 0
            inside = np.ones(len(one.kept), bool)
            if low is not None:
                inside &= one.edges[:-1] >= one.axis.place(np.array([low]))[0]
            if high is not None:
                inside &= one.edges[1:] <= one.axis.place(np.array([high]))[0]
            assert one.cut[inside].sum() == 0


def test_a_measure_that_nobody_has_is_not_drawn() -> None:
    assert make_panel("x", np.array([np.nan, np.nan]), np.array([True, False]), []) is None
    assert make_panel("x", np.array([]), np.array([], bool), [Gate(field="x", min=1)]) is None


def test_pictures_are_small_opaque_and_the_same_whatever_the_settings(tmp_path: Path) -> None:
    by = made.recipe()
    ledger = made_ledger(by, 500)
    first = draw_figures(ledger, by.gates)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": True, "savefig.dpi": 20}):
        again = draw_figures(ledger, by.gates)
    assert first == again
    assert [one.path for one in first] == ["card/sizes.png", "card/gates.png"]
    for one in first:
        assert len(one.png) < 150_000
        picture = Image.open(io.BytesIO(one.png))
        assert picture.width == 1280
        assert picture.info.keys() <= {"dpi"}  # no date, no version
        assert np.asarray(picture.convert("RGBA"))[..., 3].min() == 255  # shows on dark pages, too


def test_no_more_than_eight_gates_are_drawn_and_they_are_those_that_cut_most() -> None:
    names = [f"gate_{i}" for i in range(12)]
    by = made.recipe(columns=names, gates=[{"field": name, "max": 100 - i} for i, name in enumerate(names)])
    ledger = made_ledger(by, 200)
    values = pa.array(np.linspace(0, 101, 200))
    for name in names:
        ledger = ledger.set_column(ledger.column_names.index(name), name, values)
    (shown,) = [one for one in draw_figures(ledger, by.gates) if one.path == "card/gates.png"]
    assert re.findall(r"gate_\d+", shown.text) == names[4:]
    idle = [gate.model_copy(update={"max": 200.0}) if i else gate for i, gate in enumerate(by.gates)]
    (shown,) = [one for one in draw_figures(ledger, idle) if one.path == "card/gates.png"]
    assert re.findall(r"gate_\d+", shown.text) == names[:4]


def test_hostile_names_of_columns_are_drawn_as_they_are() -> None:
    for name in HOSTILE:
        one = make_panel(name, np.arange(50.0), np.ones(50, bool), [Gate(field=name, min=3)])
        assert one is not None
        assert render_png([one]).startswith(b"\x89PNG")


def test_the_card_and_its_pictures_are_the_same_bytes_when_written_again(built: Path, tmp_path: Path) -> None:
    names = ["README.md", "LICENSE.md", *(f"card/{path.name}" for path in (built / "card").iterdir())]
    before = {name: (built / name).read_bytes() for name in names}
    shutil.rmtree(built / "card")
    ledger = ledgers.load(Folder(str(built)))
    counts = {config.name: config.rows for config in hub_configs(Folder(str(built)))}
    write_card(Folder(str(built)), ledger, scenes.recipe(), WriteSummary(counts["images"], counts["patches"], 0))
    assert {name: (built / name).read_bytes() for name in names} == before


def test_a_picture_of_an_earlier_recipe_goes(built: Path) -> None:
    assert (built / "card/gates.png").exists()
    ledger = ledgers.load(Folder(str(built)))
    write_card(Folder(str(built)), ledger, scenes.recipe(gates=[]), WriteSummary(scenes.KEPT, 22, 0))
    assert sorted(path.name for path in (built / "card").iterdir()) == ["sizes.png"]
    assert linked_files((built / "README.md").read_text()) == ["card/sizes.png"]


# Checked afterwards


@pytest.mark.parametrize(
    ("find", "put", "said"),
    [
        (f"num_examples: {scenes.KEPT}\n", "num_examples: 77\n", f"does not state that there are {scenes.KEPT} images"),
        (f"| `images` | {scenes.KEPT} |", "| `images` | 600 |", f"does not state that there are {scenes.KEPT} images"),
        ("path: patches/train-*.parquet", "path: patch/train-*.parquet", "does not list the files of patches"),
        ("license: other", "license: [other", "cannot be read"),
        ("(card/gates.png)", "(card/other.png)", "links to card/other.png, which does not exist"),
    ],
)
def test_verify_finds_a_card_that_does_not_fit(built: Path, find: str, put: str, said: str) -> None:
    assert verify(str(built)).faults == []
    card = built / "README.md"
    text = card.read_text()
    assert find in text
    card.write_text(text.replace(find, put))
    (fault,) = verify(str(built)).faults
    assert fault.startswith("README.md: ")
    assert said in fault


@pytest.mark.full
def test_a_million_rows_take_seconds(tmp_path: Path) -> None:
    by = made.recipe()
    part = made_ledger(by, 10_000)
    ledger = pa.concat_tables([part] * 100).combine_chunks()
    draw = np.random.default_rng(0)
    for name, many in (("cluster", 400_000), ("licence", 900_000)):
        ledger = with_column(ledger, name, pa.array(draw.integers(0, many, ledger.num_rows)).cast(pa.string()))
    started = time.monotonic()
    write_card(Folder(str(tmp_path)), ledger, by, WriteSummary(ledgers.funnel(ledger).kept, 0, 0))
    assert time.monotonic() - started < 10
    assert "1,000,000 candidates" in (tmp_path / "README.md").read_text()
