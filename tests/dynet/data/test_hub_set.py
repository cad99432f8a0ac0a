import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dynet.data.hub_set import HubSet
from dynet.errors import DataError
from dynet.runtime.rng import generator

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
CARD = """---
configs:
- config_name: images
  default: true
  data_files: [{split: train, path: "data/train-*.parquet"}]
- config_name: patches
  data_files:
  - {split: train, path: "patches/train-*.parquet"}
  - {split: validation, path: "patches/validation-*.parquet"}
---
"""


def stored(level: int, size: int = 20) -> dict[str, object]:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (level, level, level)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write(file: Path, texts: dict[str, list[str | None]], **images: list[dict[str, object] | None]) -> None:
    """A shard with columns of text and of images, as `datasets` writes them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    features = {name: {"_type": "Image"} for name in images} | {
        name: {"dtype": "string", "_type": "Value"} for name in texts
    }
    columns = {name: pa.array(rows, IMAGE) for name, rows in images.items()}
    columns |= {name: pa.array(rows, pa.string()) for name, rows in texts.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table(columns).replace_schema_metadata(metadata)
    with pq.ParquetWriter(file, table.schema) as writer:
        if len(table):
            writer.write_table(table)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Two shards of patches and a split for validation, beside whole images, as million_ird leaves them."""
    top = tmp_path / "set with spaces"
    rows = {"id": ["a", "b", "c"], "parent": ["p", "q", "p"], "uri": ["x/One.png", "two.jpg", "x/One.png"]}
    write(top / "patches/train-00000-of-00002.parquet", rows, image=[stored(n) for n in (10, 11, 12)])
    rows = {"id": ["d"], "parent": ["q"], "uri": ["two.jpg"]}
    write(top / "patches/train-00001-of-00002.parquet", rows, image=[stored(13)])
    rows = {"id": ["e"], "parent": ["r"], "uri": ["three.jpg"]}
    write(top / "patches/validation-00000-of-00001.parquet", rows, image=[stored(99)])
    write(top / "data/train-00000-of-00001.parquet", {"id": ["P"]}, image=[stored(200, 99)])
    (top / "README.md").write_text(CARD)
    return top


def levels(images: HubSet) -> list[int]:
    return [int(images.crop(row, 16, generator(0, "test", row)).clean.mean()) for row in range(len(images))]


def test_rows_of_a_built_dataset_are_its_patches_in_order(built: Path) -> None:
    opened = HubSet.open(str(built), "denoise15")
    assert (opened.paired, opened.task, levels(opened)) == (False, "denoise15", [10, 11, 12, 13])
    assert opened.row_spans(0, 0) is None


def test_a_validation_split_is_opened(built: Path) -> None:
    validation = HubSet.open(str(built), None).validation
    assert validation is not None
    assert levels(validation) == [99]


def test_an_empty_validation_split_is_none(built: Path) -> None:
    nothing = {"id": [], "parent": [], "uri": []}
    write(built / "patches/validation-00000-of-00001.parquet", nothing, image=[])
    opened = HubSet.open(str(built), None)
    assert opened.validation is None
    assert len(opened) == 4


def test_patches_of_one_image_are_one_group(built: Path) -> None:
    group_ids = HubSet.open(str(built), None).group_ids()
    assert group_ids.dtype == np.uint64
    assert group_ids[0] == group_ids[2] != group_ids[1] == group_ids[3]


def test_rows_are_found_by_the_file_that_they_come_from(built: Path) -> None:
    opened = HubSet.open(str(built), None)
    assert opened.rows_from_files({"one"}).tolist() == [0, 2]
    assert opened.rows_from_files({"two", "three"}).tolist() == [1, 3]
    assert opened.rows_from_files({"on"}).tolist() == []


def test_columns_named_input_and_target_are_pairs(tmp_path: Path) -> None:
    write(tmp_path / "pairs/train.parquet", {}, input=[stored(1), stored(2)], target=[stored(101), stored(102)])
    opened = HubSet.open(str(tmp_path / "pairs"), "derain")
    cuts = [opened.crop(row, 20, generator(0, "test")) for row in range(2)]
    assert opened.paired
    assert [(int(crop.degraded.mean()), int(crop.clean.mean())) for crop in cuts] == [(1, 101), (2, 102)]
    assert len(set(opened.group_ids().tolist())) == 2
    assert opened.rows_from_files({"1"}).tolist() == []


def test_moved_pairs_keep_their_identity_and_other_images_change_it(tmp_path: Path) -> None:
    def identity(name: str, *targets: int) -> bytes:
        rows = [stored(1) for _ in targets]
        write(tmp_path / name / "train.parquet", {}, input=rows, target=[stored(9, size) for size in targets])
        return HubSet.open(str(tmp_path / name), None).identity()

    assert identity("a", 20, 21) == identity("b", 20, 21)
    assert len({identity("a", 20, 21), identity("c", 20, 90), identity("d", 20)}) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"input": [stored(1)], "target": [stored(1, 21)]},
            "input of row 0 of .* has 20x20 pixels, but target of row 0",
        ),
        ({"input": [None], "target": [stored(1)]}, "input of row 0 of .*broken has no image"),
        ({"image": [{"bytes": b"?", "path": None}]}, "row 0 of .*broken is not an image that can be read"),
        ({"image": [{"bytes": None, "path": "gone.png"}]}, r"row 0 of .*broken cannot be read: No such file"),
        ({"image": [stored(1, 12)]}, "row 0 of .*broken has 12x12 pixels, too few for crop: 16"),
    ],
)
def test_an_unusable_row_is_named(rows: dict, message: str, tmp_path: Path) -> None:
    write(tmp_path / "broken/train.parquet", {}, **rows)
    with pytest.raises(DataError, match=message) as caught:
        HubSet.open(str(tmp_path / "broken"), None).crop(0, 16, generator(0, "test"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "texts", "images", "message"),
    [
        ("train", {"text": ["a"]}, {}, "has neither a column 'image' nor 'input' and 'target', but text"),
        ("train", {"image": ["a"]}, {}, "column 'image' holds no images, but Value"),
        ("train", {}, {"input": [stored(1)]}, "has neither a column 'image' nor 'input' and 'target', but input"),
        ("train", {}, {"image": []}, "holds no images"),
        ("test", {}, {"image": [stored(1)]}, "has no split 'train', but test"),
    ],
)
def test_a_folder_that_is_no_dataset_is_an_error(
    name: str, texts: dict, images: dict, message: str, tmp_path: Path
) -> None:
    write(tmp_path / f"set/{name}-00000-of-00001.parquet", texts, **images)
    with pytest.raises(DataError) as caught:
        HubSet.open(str(tmp_path / "set"), None)
    assert str(caught.value).startswith(f"--data {tmp_path / 'set'}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_rebuilt_dataset_and_another_of_the_same_name_are_not_confused(built: Path, tmp_path: Path) -> None:
    assert levels(HubSet.open(str(built), None)) == [10, 11, 12, 13]
    other = tmp_path / "elsewhere" / built.name
    shutil.copytree(built, other)
    shard = "patches/train-00001-of-00002.parquet"
    rows = {"id": ["d"], "parent": ["q"], "uri": ["two.jpg"]}
    write(other / shard, rows, image=[stored(14)])
    assert levels(HubSet.open(str(other), None)) == [10, 11, 12, 14]
    write(built / shard, rows, image=[stored(15)])
    assert levels(HubSet.open(str(built), None)) == [10, 11, 12, 15]


def test_a_damaged_or_missing_dataset_is_a_one_line_error(built: Path, tmp_path: Path) -> None:
    (built / "patches/train-00001-of-00002.parquet").write_bytes(b"PAR1 and no more")
    for location in (built, tmp_path / "missing" / "set", tmp_path / "not a name"):
        with pytest.raises(DataError, match="--data") as caught:
            HubSet.open(str(location), None)
        assert str(location) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_pickled_set_contains_no_images(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 128, 128, 3), dtype=np.uint8)
    rows = []
    for picture in noise:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    write(tmp_path / "big/train.parquet", {}, image=rows)
    opened = HubSet.open(str(tmp_path / "big"), None)
    sent = pickle.dumps(opened)
    assert len(sent) < noise.nbytes / 10
    arrived: Callable[..., object] = pickle.loads(sent).crop
    assert np.array_equal(arrived(3, 128, generator(0, "test")).clean, noise[3])
