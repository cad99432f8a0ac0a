"""Shards: splits that keep groups together, row groups of bounded size, a page index."""

import io
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import skimage.data
from datasets import load_dataset
from PIL import Image

from million_ird.dataset import shards
from million_ird.errors import RecipeError
from million_ird.ledger import load
from million_ird.maintenance.verify import verify
from million_ird.runtime.storage import Folder
from tests.million_ird import scenes


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, each with two crops that show less than half of it and overlap each other."""
    folder = tmp_path_factory.mktemp("crops")
    for name in ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry"):
        image = Image.fromarray(getattr(skimage.data, name)())
        image.thumbnail((600, 600))
        width, height = image.size
        image.save(folder / f"{name} whole.png")
        image.crop((0, 0, int(width * 0.66), int(height * 0.72))).save(folder / f"{name} left.png")
        image.crop((int(width * 0.34), int(height * 0.28), width, height)).save(folder / f"{name} right.png")
    return folder


RECIPE = scenes.recipe(gates=[], validation=0.4, patches={"size": 128, "format": "png"})


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory, crops: Path) -> Path:
    out = tmp_path_factory.mktemp("split") / "out"
    scenes.make(crops, out, RECIPE)
    return out


@pytest.mark.full
def test_images_that_show_parts_of_each_other_are_in_one_split(split: Path) -> None:
    found = defaultdict(set)
    kept = [row for row in load(Folder(str(split))).to_pylist() if row["verdict"] == "kept"]
    for row in kept:
        found[row["uri"].split()[0]].add(row["split"])
    assert len(kept) == 15, "none of them is a duplicate of another"
    assert all(len(splits) == 1 for splits in found.values())
    assert {split for splits in found.values() for split in splits} == {"train", "validation"}


@pytest.mark.full
def test_a_dataset_with_two_splits_loads_and_verifies(split: Path) -> None:
    rows = load(Folder(str(split))).to_pylist()
    for config, column in (("images", "id"), ("patches", "parent")):
        loaded = load_dataset(str(split), config)
        assert set(loaded) == {"train", "validation"}
        for name, part in loaded.items():
            assert set(part[column]) == {row["id"] for row in rows if row["split"] == name}
    assert verify(str(split)).faults == []


def test_an_image_in_the_wrong_split_is_a_fault(split: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(split, tmp_path / "out"))
    (train,), (held_out,) = out.glob("data/train-*"), out.glob("data/validation-*")
    spare = train.with_name("spare")
    train.rename(spare)
    held_out.rename(train)
    spare.rename(held_out)
    assert any("its columns differ from the ledger" in fault for fault in verify(str(out)).faults)


@pytest.mark.full
def test_the_split_does_not_depend_on_the_order_of_the_sources(crops: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in crops.iterdir())
    places = []
    for number, order in enumerate((names, names[::-1])):
        parts = [tmp_path / f"{number}" / f"part {i}" for i in range(2)]
        for part, some in zip(parts, (order[:7], order[7:]), strict=True):
            part.mkdir(parents=True)
            for name in some:
                shutil.copyfile(crops / name, part / name)
        scenes.make(sorted(parts), tmp_path / f"out {number}", RECIPE)
        rows = load(Folder(str(tmp_path / f"out {number}"))).to_pylist()
        splits_by_photograph = defaultdict(set)
        for row in rows:
            splits_by_photograph[row["uri"].split()[0]].add(row["split"])
        places.append(splits_by_photograph)
    assert all(len(splits) == 1 for found in places for splits in found.values())


@pytest.mark.full
def test_an_empty_split_can_be_loaded(pictures: Path, tmp_path: Path) -> None:
    scenes.make(pictures, tmp_path / "out", scenes.recipe(validation=1e-9))
    (path,) = (tmp_path / "out").glob("data/validation-*")
    assert pq.read_metadata(path).num_rows == 0
    assert verify(str(tmp_path / "out")).faults == []
    assert len(list(load_dataset(str(tmp_path / "out"), split="validation", streaming=True))) == 0


def test_a_validation_split_needs_the_search_for_near_duplicates() -> None:
    with pytest.raises(RecipeError, match=r"validation: .*duplicates\.radius"):
        scenes.recipe(validation=0.1, duplicates={"radius": None})


def test_row_groups_are_bounded_and_have_a_page_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, random = tmp_path / "source", np.random.default_rng(0)
    source.mkdir()
    sizes = {}
    for number, side in enumerate((90, 150, 60, 200, 90, 120, 60, 150)):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "PNG")
        (source / f"{number}.png").write_bytes(buffer.getvalue())
        sizes[number] = len(buffer.getvalue())
    monkeypatch.setattr(shards, "GROUP_BYTES", 130_000)
    by = scenes.recipe(gates=[], duplicates={"exact": False, "radius": None})
    scenes.make(source, tmp_path / "out", by)
    (path,) = (tmp_path / "out").glob("data/*.parquet")
    file = pq.ParquetFile(path)
    assert file.num_row_groups > 2
    for group in range(file.num_row_groups):
        columns = [file.metadata.row_group(group).column(i) for i in range(file.metadata.num_columns)]
        assert all(column.has_offset_index for column in columns)
        assert all(column.has_column_index for column in columns if column.path_in_schema in {"id", "width"})
        held = [len(row["image"]["bytes"]) for row in file.read_row_group(group).to_pylist()]
        assert sum(held) <= max(130_000, *held)
