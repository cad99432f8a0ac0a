"""Copies found among real pictures, and none among others; the search does not depend on how it is run."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import skimage.data
from PIL import Image

from benchmarks.alterations import ALTERATIONS
from million_ird.candidate import Sample
from million_ird.dedup import search as module
from million_ird.dedup.search import Batches, Confirmer, Copies, Index, Search, candidates, confirmed, read_marks
from million_ird.measures.signature import signature
from million_ird.runtime.executor import Engine
from million_ird.runtime.threads import single_threaded

ALL = Search(radius=8, turned=True, crops=True)
COLUMNS = ("phash", "frame", "points")


def row(encoded: bytes) -> dict[str, object]:
    sample = Sample(encoded)
    with single_threaded():
        marks = signature(sample)
    return {**{name: marks[name] for name in COLUMNS}, "width": sample.header.width, "height": sample.header.height}


def encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "BMP")
    return buffer.getvalue()


def batches_of(rows: Sequence[dict[str, object]], size: int = 7) -> Batches:
    table = pa.Table.from_pylist(list(rows))

    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        for start in range(0, table.num_rows, size):
            yield table.select(list(names)).slice(start, size)

    return batches


def search(rows: Sequence[dict[str, object]], how: Search = ALL, index: Index | None = None) -> Copies:
    batches = batches_of(rows)
    marks = read_marks(batches, np.ones(len(rows), bool))
    pairs = candidates(marks, how, index or Index())
    involved = np.unique(marks.rows[np.concatenate(pairs).ravel()])
    return confirmed(marks, pairs, Confirmer(batches, involved, how, None), how)


def as_set(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in pairs}


@pytest.fixture(scope="module")
def originals() -> list[Image.Image]:
    """Photographs that everyone has."""
    names = ("astronaut", "chelsea", "coffee", "rocket", "retina", "immunohistochemistry")
    return [Image.fromarray(getattr(skimage.data, name)()).resize((480, 360)) for name in names]


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_picture_is_a_copy_of_its_original_and_of_no_other(name: str, originals: list[Image.Image]) -> None:
    random = np.random.default_rng(0)
    altered = [ALTERATIONS[name](picture, random) for picture in originals]
    found = search([row(encoded(picture)) for picture in [*originals, *altered]])
    count = len(originals)
    assert as_set(found.copies) | as_set(found.parts) == {(i, i + count) for i in range(count)}
    if name != "crop of 20%":
        assert as_set(found.copies) == {(i, i + count) for i in range(count)}


def test_what_the_recipe_does_not_look_for_is_not_found(originals: list[Image.Image]) -> None:
    random = np.random.default_rng(0)
    names = ("mirrored", "crop of 10%")
    altered = [ALTERATIONS[name](originals[2], random) for name in names]
    rows = [row(encoded(picture)) for picture in [originals[2], *altered]]
    assert as_set(search(rows).copies) == {(0, 1), (0, 2), (1, 2)}
    assert as_set(search(rows, Search(radius=8, turned=False, crops=True)).copies) == {(0, 2)}
    assert as_set(search(rows, Search(radius=8, turned=True, crops=False)).copies) == {(0, 1)}


def test_pictures_that_share_a_hash_and_nothing_else_are_no_copies(originals: list[Image.Image]) -> None:
    rows = [row(encoded(picture)) for picture in originals[:4]]
    for one in rows:
        one["phash"] = rows[0]["phash"]
    assert len(search(rows).copies) == 0


def test_the_search_is_the_same_in_one_process_on_disk_and_on_workers(
    originals: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    altered = [alter(picture, random) for alter in list(ALTERATIONS.values())[::4] for picture in originals]
    rows = [row(encoded(picture)) for picture in [*originals, *altered]]
    expected = search(rows)
    assert len(expected.copies) > 50
    monkeypatch.setattr(module, "SPILLED", 1)
    with Engine(2) as engine:
        indices = [Index(scratch=str(tmp_path)), Index(scratch=str(tmp_path), run=engine.run)]
        for index in indices:
            found = search(rows, ALL, index)
            assert np.array_equal(found.copies, expected.copies)
            assert np.array_equal(found.parts, expected.parts)
    assert list(tmp_path.iterdir()) == []


def test_what_really_happened_to_pictures_over_the_years_is_found(shared_data: Path) -> None:
    folder = shared_data / "duplicates"
    with open(folder / "groups.tsv", newline="") as file:
        listed = list(csv.DictReader(file, delimiter="\t"))
    found = search([row((folder / one["file"]).read_bytes()) for one in listed])
    pairs = as_set(found.copies) | as_set(found.parts)
    for i, j in pairs:
        assert listed[i]["group"] == listed[j]["group"], (listed[i]["file"], listed[j]["file"])
    reference = {one["group"]: i for i, one in enumerate(listed) if one["relation_to_reference"] == "reference"}
    missed = [
        one["file"]
        for j, one in enumerate(listed)
        if one["relation_to_reference"] in {"resize", "reencode_or_metadata", "recolour"}
        and tuple(sorted((j, reference[one["group"]]))) not in pairs
    ]
    assert missed == []
