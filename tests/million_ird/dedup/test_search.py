"""The search finds copies of real images and no false ones, in one process, on disk and on workers."""

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
from million_ird.dedup import search as module
from million_ird.dedup.search import COMMON_ABOVE, HashPairSearch, find_near_duplicates, join_by_hash
from million_ird.dedup.search_keys import BatchReader, NearDuplicateRules
from million_ird.dedup.verification import VerifiedPairs
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.signature import compute_signature
from million_ird.runtime.executor import Executor
from million_ird.runtime.threads import single_threaded

ALL = NearDuplicateRules(radius=8, turned=True, crops=True)
COLUMNS = ("phash", "frame", "points")


def row(encoded: bytes) -> dict[str, object]:
    image = EncodedImage(encoded)
    with single_threaded():
        columns = compute_signature(image)
    return {**{name: columns[name] for name in COLUMNS}, "width": image.header.width, "height": image.header.height}


def encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    return buffer.getvalue()


def batches_of(rows: Sequence[dict[str, object]], size: int = 7) -> BatchReader:
    table = pa.Table.from_pylist(list(rows))

    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        for start in range(0, table.num_rows, size):
            yield table.select(list(names)).slice(start, size)

    return batches


def search(
    rows: Sequence[dict[str, object]], rules: NearDuplicateRules = ALL, hash_search: HashPairSearch | None = None
) -> VerifiedPairs:
    selected = np.ones(len(rows), bool)
    return find_near_duplicates(batches_of(rows), selected, rules, hash_search or HashPairSearch())[0]


def as_set(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in pairs}


@pytest.fixture(scope="module")
def originals() -> list[Image.Image]:
    """Photographs that scikit-image contains."""
    names = ("astronaut", "chelsea", "coffee", "rocket", "retina", "immunohistochemistry")
    return [Image.fromarray(getattr(skimage.data, name)()).resize((480, 360)) for name in names]


@pytest.fixture(scope="module")
def original_rows(originals: list[Image.Image]) -> Sequence[dict[str, object]]:
    """Their ledger rows."""
    return [row(encode(image)) for image in originals]


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_image_is_a_copy_of_its_original_and_of_no_other(
    name: str, originals: list[Image.Image], original_rows: Sequence[dict[str, object]]
) -> None:
    random = np.random.default_rng(0)
    altered = [ALTERATIONS[name](image, random) for image in originals]
    found = search([*original_rows, *(row(encode(image)) for image in altered)])
    count = len(originals)
    assert as_set(found.copies) | as_set(found.parts) == {(i, i + count) for i in range(count)}
    if name != "crop of 20%":
        assert as_set(found.copies) == {(i, i + count) for i in range(count)}


def test_copies_that_the_rules_exclude_are_not_found(originals: list[Image.Image]) -> None:
    random = np.random.default_rng(0)
    names = ("mirrored", "crop of 10%")
    altered = [ALTERATIONS[name](originals[2], random) for name in names]
    rows = [row(encode(image)) for image in [originals[2], *altered]]
    assert as_set(search(rows).copies) == {(0, 1), (0, 2), (1, 2)}
    assert as_set(search(rows, NearDuplicateRules(radius=8, turned=False, crops=True)).copies) == {(0, 2)}
    assert as_set(search(rows, NearDuplicateRules(radius=8, turned=True, crops=False)).copies) == {(0, 1)}


def test_images_that_share_only_a_hash_are_not_copies(originals: list[Image.Image]) -> None:
    rows = [row(encode(image)) for image in originals[:4]]
    for copy in rows:
        copy["phash"] = rows[0]["phash"]
    assert len(search(rows).copies) == 0


def test_the_result_is_the_same_in_one_process_on_disk_and_on_workers(
    originals: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    altered = [alter(image, random) for alter in list(ALTERATIONS.values())[::4] for image in originals]
    rows = [row(encode(image)) for image in [*originals, *altered]]
    expected = search(rows)
    assert len(expected.copies) > 50
    monkeypatch.setattr(module, "ON_DISK_ABOVE", 1)
    with Executor(2) as executor:
        searches = [HashPairSearch(scratch=str(tmp_path)), HashPairSearch(scratch=str(tmp_path), run=executor.run)]
        for hash_search in searches:
            found = search(rows, ALL, hash_search)
            assert np.array_equal(found.copies, expected.copies)
            assert np.array_equal(found.parts, expected.parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_real_duplicates_from_the_web_are_found(shared_data: Path) -> None:
    folder = shared_data / "duplicates"
    with open(folder / "groups.tsv", newline="") as file:
        listed = list(csv.DictReader(file, delimiter="\t"))
    found = search([row((folder / entry["file"]).read_bytes()) for entry in listed])
    pairs = as_set(found.copies) | as_set(found.parts)
    for i, j in pairs:
        assert listed[i]["group"] == listed[j]["group"], (listed[i]["file"], listed[j]["file"])
    reference = {entry["group"]: i for i, entry in enumerate(listed) if entry["relation_to_reference"] == "reference"}
    missed = [
        entry["file"]
        for j, entry in enumerate(listed)
        if entry["relation_to_reference"] in {"resize", "reencode_or_metadata", "recolour"}
        and tuple(sorted((j, reference[entry["group"]]))) not in pairs
    ]
    assert missed == []


def test_every_owner_of_a_common_hash_is_paired_where_that_is_asked_for() -> None:
    values, owners = np.full(100, 7, np.uint64), np.arange(100)
    other, other_owner = np.array([6], np.uint64), np.array([0])
    for every_owner, expected in ((True, 100), (False, COMMON_ABOVE)):
        pairs = join_by_hash(values, owners, other, other_owner, 1, HashPairSearch(), every_owner=every_owner)
        assert pairs.tolist() == [[owner, 0] for owner in range(expected)]
