"""The dataset card: its text, and that the readers of the Hub and of `datasets` accept it."""

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from datasets import Features, load_dataset, load_dataset_builder
from datasets.exceptions import DatasetGenerationError
from huggingface_hub import DatasetCard

from million_ird import ledger as ledgers
from million_ird.dataset.columns import images_schema, patches_schema
from million_ird.dataset.layout import hub_configs, linked_files, read_front_matter
from million_ird.dataset.markdown import plain_line
from million_ird.dataset.shards import WriteSummary
from million_ird.ledger import ledger_schema
from million_ird.ledger_stream import LedgerStream
from million_ird.maintenance.verify import verify
from million_ird.marks import make_mark
from million_ird.reporting.card import write_card
from million_ird.reporting.counts import GroupSizes, LeakCounts, ValueCounts
from million_ird.runtime.storage import Folder
from million_ird.schema import DROPPED, KEPT, LEAK, NEAR, PIXELS, REMOVED
from tests.million_ird import scenes
from tests.million_ird.reporting import synthetic_ledgers
from tests.million_ird.reporting.written_cards import (
    CONFIGS,
    HOSTILE_TEXTS,
    CardReader,
    folded,
    make_ledger,
    with_column,
    write_and_read_card,
    write_dataset,
)


def test_the_hub_client_reads_the_front_matter(finished: Path) -> None:
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
def test_datasets_reads_features_and_sizes_from_the_card(finished: Path, config: str) -> None:
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
def test_datasets_verifies_and_loads_the_splits(finished: Path, tmp_path: Path, config: str) -> None:
    loaded = load_dataset(str(finished), config, split="train", cache_dir=str(tmp_path))
    load_download_cache = load_dataset(str(finished), config, split="train", streaming=True)
    assert loaded.features == load_download_cache.features
    assert [row["key"] for row in load_download_cache] == loaded["key"]
    assert loaded.num_rows > 0


def test_datasets_refuses_a_wrong_number_of_rows_in_the_card(built: Path, tmp_path: Path) -> None:
    card = built / "README.md"
    card.write_text(card.read_text().replace(f"num_examples: {scenes.KEPT}\n", "num_examples: 77\n"))
    with pytest.raises(Exception, match="num_examples=77") as refused:
        load_dataset(str(built), split="train", cache_dir=str(tmp_path))
    assert "NonMatchingSplitsSizes" in type(refused.value).__name__


@pytest.mark.parametrize("config", ["images", "patches"])
def test_image_bytes_in_the_card_are_close_to_what_datasets_counts(finished: Path, tmp_path: Path, config: str) -> None:
    said = load_dataset_builder(str(finished), config).info.dataset_size
    counted = load_dataset(str(finished), config, split="train", cache_dir=str(tmp_path)).info.dataset_size
    assert said == pytest.approx(counted, rel=0.05)


def test_an_empty_dataset_loads_as_far_as_datasets_supports_it(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe(gates=[{"field": "short_side", "min": 1_000_000, "reason": "small"}])
    ledger = make_ledger(recipe)
    card = write_and_read_card(tmp_path / "out", ledger, recipe)
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


def test_a_validation_split_is_listed_and_loads(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe()
    ledger = make_ledger(recipe)
    kept = pc.sum(pc.equal(ledger["verdict"], KEPT)).as_py()
    card = write_and_read_card(tmp_path / "out", ledger, recipe, held_out=4)
    assert f"| `images` | {kept - 4} | train | 1 |" in card
    assert "| `images` | 4 | validation | 1 |" in card
    assert "in the same split" in card
    for config in ("images", "patches"):
        loaded = load_dataset(str(tmp_path / "out"), config, cache_dir=str(tmp_path / "cache"))
        assert {name: split.num_rows for name, split in loaded.items()} == {"train": kept - 4, "validation": 4}
    assert list(load_dataset_builder(str(tmp_path / "out"), "ledger").info.splits) == ["train"]


def test_the_card_names_a_licence_only_when_all_kept_images_have_it(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe()
    ledger = make_ledger(recipe)
    assert folded(ledger, ValueCounts("licence")).hub_licence() == "other"  # half of them say nothing
    kept = pc.equal(ledger["verdict"], KEPT).to_pylist()
    mixed = ["CC0 1.0" if i % 2 and good else "cc0-1.0" if good else "other terms" for i, good in enumerate(kept)]
    ledger = with_column(ledger, "licence", list(mixed))
    card = write_and_read_card(tmp_path, ledger, recipe)
    data = read_front_matter(card)
    assert data["license"] == "cc0-1.0"
    assert "license_name" not in data
    assert folded(ledger.filter(pc.not_equal(ledger["verdict"], KEPT)), ValueCounts("licence")).hub_licence() == "other"


def test_the_card_shows_the_funnel_the_limits_and_the_sources(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe()
    ledger = make_ledger(recipe, 2000)
    counted = ledgers.funnel(ledger)
    rows = CardReader(write_and_read_card(tmp_path, ledger, recipe)).rows()
    left = counted.candidates
    for name in ("failed", "small", "exposure", "few_colours", "blurred", "duplicate_exact"):
        lost = counted.failed if name == "failed" else counted.dropped[name]
        left -= lost
        assert [name, f"{lost:,}", f"{left:,}"] in [[row[0], *row[2:]] for row in rows if len(row) == 4]
    assert ["kept", "", "", f"{counted.kept:,}"] in rows
    limits = [row[:4] for row in rows if len(row) == 5]
    assert ["exposure", "mean_luma", "40", "220"] in limits
    assert ["blurred", "sharpest_blocks", "3", ""] in limits
    for one in folded(ledger, ValueCounts("source")).most_kept():
        assert [one.name, f"{one.candidates:,}", f"{one.kept:,}"] in [row[:3] for row in rows]
    assert sum(one.kept for one in folded(ledger, ValueCounts("source")).most_kept()) == counted.kept
    assert "none stated" in {row[0] for row in rows}


def test_the_card_counts_duplicates_leaks_and_removals(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe()
    ledger = make_ledger(recipe, 200)
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
    card = write_and_read_card(tmp_path, ledger, recipe, benchmarks=("CBSD68", "Urban100"))
    rows = CardReader(card).rows()
    for row in (["CBSD68", "4", "2"], ["Rain100L", "1", "1"], ["Urban100", "0", "0"]):
        assert row in rows
    leaks = folded(ledger, LeakCounts()).counts(("CBSD68", "Urban100"))
    assert [one.benchmark for one in leaks] == ["CBSD68", "Rain100L", "Urban100"]
    assert ["near-duplicates", "2"] in rows
    assert ["the same pixels in another file", "1"] in rows
    assert "1 kept image had duplicates; the largest group has 4 images" in card
    assert folded(ledger, GroupSizes()).stats().sizes == {"3 to 5": 1}
    assert "1 candidate was removed on request" in card


def test_the_card_says_which_searches_were_not_made(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe(duplicates={"exact": False, "radius": None}, gates=[])
    card = write_and_read_card(tmp_path / "out", make_ledger(recipe), recipe)
    assert "Duplicates were not searched for." in card
    assert "The candidates were not compared with any evaluation set" in card
    assert "no limits on any measure" in card
    assert linked_files(card) == ["card/sizes.png"]


def test_the_card_counts_images_with_stripped_metadata(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe()
    ledger = make_ledger(recipe)
    written = write_dataset(tmp_path, ledger, recipe)
    path = tmp_path / "data/train-00000-of-00001.parquet"
    table = pq.read_table(path)
    hashes = [f"other {i}" if i < 3 else name for i, name in enumerate(table["id"].to_pylist())]
    table = table.drop_columns([name for name in ("sha256",) if name in table.column_names])
    pq.write_table(table.append_column("sha256", pa.array(hashes)), path)
    write_card(Folder(str(tmp_path)), LedgerStream.of_table(ledger), recipe, written)
    assert f"Metadata was removed from 3 of the {written.images} images" in (tmp_path / "README.md").read_text()


def test_the_card_names_the_latest_release(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe()
    ledger = make_ledger(recipe)
    assert "CHANGES" not in write_and_read_card(tmp_path, ledger, recipe)
    releases = [{"version": n, "date": f"2026-11-0{n}"} for n in (1, 10, 2) if n < 10] + [{"version": 10, "date": "x"}]
    Folder(str(tmp_path)).write_json("releases/releases.json", releases)
    (tmp_path / "CHANGES.md").write_text("# Changes\n")
    card = write_and_read_card(tmp_path, ledger, recipe)
    assert "This is version 10 of x." in card
    assert "[CHANGES.md](CHANGES.md)" in card


def test_the_card_contains_no_local_path(finished: Path, pictures: Path) -> None:
    for name in ("README.md", "LICENSE.md"):
        text = (finished / name).read_text()
        assert str(pictures.parent) not in text
        assert str(finished) not in text
        assert "/tmp" not in text


def test_the_card_cites_the_paper_and_the_software(finished: Path) -> None:
    card = (finished / "README.md").read_text()
    bibtex = re.findall(r"```bibtex\n(.*?)```", card, re.DOTALL)[0]
    assert bibtex.count("{") == bibtex.count("}")
    assert "arXiv:2404.02154" in bibtex
    assert "@software{million_ird," in bibtex
    assert re.search(r"version = \{[\w.+]+\},", bibtex)


def test_hostile_names_change_only_their_own_table_cells(tmp_path: Path) -> None:
    gates = [{"field": "short_side", "min": 1024, "reason": HOSTILE_TEXTS[2]}]
    tame = synthetic_ledgers.make_recipe(gates=[{**gates[0], "reason": "small"}])
    recipe = synthetic_ledgers.make_recipe(name=HOSTILE_TEXTS[9], gates=gates)
    ledger = make_ledger(recipe, 100)
    plainly = CardReader(write_and_read_card(tmp_path / "tame", make_ledger(tame, 100), tame))
    names = [HOSTILE_TEXTS[i % len(HOSTILE_TEXTS)] for i in range(ledger.num_rows)]
    texts = {"source": dict(enumerate(names)), "licence": dict(enumerate(names))}
    card = write_and_read_card(tmp_path / "hostile", synthetic_ledgers.with_texts(ledger, texts), recipe)
    read = CardReader(card)
    assert read_front_matter(card)["pretty_name"] == plain_line(HOSTILE_TEXTS[9])
    assert DatasetCard.load(tmp_path / "hostile" / "README.md").data.license == "other"
    assert read.headings() == [plain_line(HOSTILE_TEXTS[9]), *plainly.headings()[1:]]
    assert read.links == plainly.links
    assert read.html == []
    assert not re.search("[\x00-\x09\x0b-\x1f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", card)
    cells = {row[0] for row in read.rows()}
    assert {plain_line(name, 300) for name in HOSTILE_TEXTS if name.strip("\t \u2028")} <= cells
    assert plain_line(HOSTILE_TEXTS[2], 300) in cells  # the reason
    widths = {len(row) for row in read.rows()}
    assert widths == {len(row) for row in plainly.rows()}
    licences = (tmp_path / "hostile" / "LICENSE.md").read_text()
    assert CardReader(f"---\n---\n{licences}").html == []


def test_writing_the_card_again_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    names = ["README.md", "LICENSE.md", *(f"card/{path.name}" for path in (built / "card").iterdir())]
    before = {name: (built / name).read_bytes() for name in names}
    shutil.rmtree(built / "card")
    ledger = LedgerStream.of_build(Folder(str(built)))
    counts = {config.name: config.rows for config in hub_configs(Folder(str(built)))}
    written, mark = WriteSummary(counts["images"], counts["patches"], 0), make_mark(Folder(str(built)), scenes.recipe())
    write_card(Folder(str(built)), ledger, scenes.recipe(), written, mark=mark.text)
    assert {name: (built / name).read_bytes() for name in names} == before


def test_a_figure_of_an_earlier_recipe_is_removed(built: Path) -> None:
    assert (built / "card/gates.png").exists()
    ledger = LedgerStream.of_build(Folder(str(built)))
    write_card(Folder(str(built)), ledger, scenes.recipe(gates=[]), WriteSummary(scenes.KEPT, 22, 0))
    assert sorted(path.name for path in (built / "card").iterdir()) == ["sizes.png"]
    assert linked_files((built / "README.md").read_text()) == ["card/sizes.png"]


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
def test_verify_finds_a_card_that_contradicts_the_files(built: Path, find: str, put: str, said: str) -> None:
    assert verify(str(built)).faults == []
    card = built / "README.md"
    text = card.read_text()
    assert find in text
    card.write_text(text.replace(find, put))
    (fault,) = verify(str(built)).faults
    assert fault.startswith("README.md: ")
    assert said in fault


@pytest.mark.full
def test_the_card_of_a_million_rows_takes_seconds(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe()
    part = make_ledger(recipe, 10_000)
    ledger = pa.concat_tables([part] * 100).combine_chunks()
    draw = np.random.default_rng(0)
    for name, many in (("cluster", 400_000), ("licence", 900_000)):
        ledger = with_column(ledger, name, pa.array(draw.integers(0, many, ledger.num_rows)).cast(pa.string()))
    started = time.monotonic()
    write_card(
        Folder(str(tmp_path)), LedgerStream.of_table(ledger), recipe, WriteSummary(ledgers.funnel(ledger).kept, 0, 0)
    )
    assert time.monotonic() - started < 10
    assert "1,000,000 candidates" in (tmp_path / "README.md").read_text()
