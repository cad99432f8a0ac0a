"""Test sets that are excluded by name: their fingerprints come with the package."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.alterations import cropped
from million_ird.config.recipe import Recipe
from million_ird.decide.leaks import find_leaks
from million_ird.errors import UsageError
from million_ird.fingerprints import get_fingerprints, named_benchmarks
from million_ird.known_benchmarks import KNOWN, KnownBenchmark
from million_ird.reference_sets import ReferenceSet, parse_references
from million_ird.runtime.executor import Executor
from tests.million_ird.test_fingerprints import COLUMNS, jpeg, row


def named(text: str) -> dict[str, pa.Table]:
    with Executor(0) as executor:
        return {known.name: get_fingerprints(known, executor) for known in ReferenceSet.parse(text)}


def leaks_of(folder: Path, benchmarks: dict[str, pa.Table]) -> dict[str, str]:
    files = sorted(folder.glob("*.jpg"))
    table = pa.Table.from_pylist([row(file.read_bytes()) for file in files])
    leaks = find_leaks(lambda names: iter([table.select(list(names))]), np.ones(len(files), bool), benchmarks)
    return {files[leak.row].stem: leak.name for leak in leaks}


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_each_set_is_complete_and_has_at_most_4_kb_for_each_image(known: KnownBenchmark) -> None:
    table = pq.read_table(known.path)
    assert table.num_rows == known.images
    assert Path(known.path).stat().st_size <= 4096 * table.num_rows
    assert set(COLUMNS) < set(table.column_names)


def test_the_docs_have_the_same_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "leaks.md").read_text(encoding="utf-8")
    rows = [f"| `{known.name}` | {known.images} | {known.made_from} |" for known in KNOWN]
    assert "\n".join(rows) in page


def test_names_are_read_with_commas_in_any_case_and_with_paths() -> None:
    names = [one.name for one in parse_references(["cbsd68, Set5", "mine=/data", "SET5"])]
    assert names == ["CBSD68", "Set5", "mine", "Set5"]
    assert {one.name for one in named_benchmarks(Recipe(benchmarks=("all",)))} == {known.name for known in KNOWN}


@pytest.mark.parametrize(
    ("text", "said"),
    [("CBSD86", "did you mean 'CBSD68'"), ("Set5,nothing at all", "million-ird benchmarks lists"), ("", "is neither")],
)
def test_an_unknown_name_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        ReferenceSet.parse(text)
    assert str(raised.value).startswith(f"--exclude-benchmark {text}: ")


def test_crops_of_half_of_each_side_are_found_by_name(shared_data: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted((shared_data / "benchmarks" / "CBSD68").glob("*.jpg"))[:10]):
        crop = cropped(0.5)(Image.open(path).convert("RGB"), np.random.default_rng(number))
        (tmp_path / path.name).write_bytes(jpeg(crop))
    found = leaks_of(tmp_path, named("CBSD68"))
    assert {stem: f"CBSD68/{stem}.jpg" for stem in found} == found
    assert len(found) == 10


@pytest.mark.full
@pytest.mark.parametrize(("part", "name", "count"), [("val", "CBSD68", 68), ("train", "Rain100L", 67)])
def test_bsds500_leaks_its_images_of_each_set_by_name_alone(
    shared_data: Path, part: str, name: str, count: int
) -> None:
    assert len(leaks_of(shared_data / "train" / "BSDS500" / part, named(name))) == count
