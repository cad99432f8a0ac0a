import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dynet.errors import DataError
from tests.dynet.sharded import IMAGE, SIDE, patch, stored, streamed, whole, write_file, write_set


@pytest.fixture(scope="module")
def photo(photographs: list[np.ndarray]) -> np.ndarray:
    return photographs[1]


def _broken(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    (file,) = (folder / "patches").glob("train-00000-*.parquet")
    file.write_bytes(change(file.read_bytes()))
    return folder


def test_damaged_files_are_one_line_errors_that_name_them(photo: np.ndarray, tmp_path: Path) -> None:
    changes: dict[str, Callable[[bytes], bytes]] = {
        "is not a parquet file, or is truncated": lambda data: data[:-100],
        "is not a parquet file: it has 5 bytes": lambda data: data[:5],
        "is not a parquet file: ": lambda data: data[:-300] + bytes(292) + data[-8:],
    }
    for number, (message, change) in enumerate(changes.items()):
        folder = _broken(write_set(tmp_path / f"{number}", photo, {"train": [[2], [1]]}), change)
        with pytest.raises(DataError, match=rf"^\S+/train-00000-of-00002\.parquet {message}[^\n]*$"):
            streamed(folder, tmp_path / "cache")


def test_damaged_pages_and_images_are_one_line_errors(photo: np.ndarray, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "pages", photo, {"train": [[3]]})
    images = streamed(_broken(folder, lambda data: data[:4] + bytes(60) + data[64:]), tmp_path / "cache")
    with pytest.raises(DataError, match=r"^\S+/train-00000-of-00001\.parquet: [^\n]+$"):
        whole(images, 0)
    values = [stored(patch(photo, 0)), {"bytes": None, "path": "far.png"}, None, {"bytes": b"RIFF", "path": None}]
    (tmp_path / "holes").mkdir()
    write_file(tmp_path / "holes" / "train.parquet", [pa.table({"image": pa.array(values, IMAGE)})])
    images = streamed(tmp_path / "holes", tmp_path / "cache")
    whole(images, 0)
    for row, message in ((1, "has no image"), (2, "has no image"), (3, "is not an image that can be read")):
        with pytest.raises(DataError, match=rf"^row {row} of \S+/holes {message}$"):
            whole(images, row)
    with pytest.raises(DataError, match=rf"^row 0 of \S+ has {SIDE}x{SIDE} pixels, too few for crop: 64$"):
        images.crop(0, 64, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": pa.array(["a"])}, "has neither a column 'image' nor 'input' and 'target', but text"),
        ({"image": pa.array([b"a"])}, "column 'image' holds no images, but binary"),
        ({"image": pa.array([], IMAGE)}, "holds no images"),
    ],
)
def test_a_dataset_without_images_is_a_one_line_error(
    columns: dict[str, pa.Array], message: str, tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    write_file(tmp_path / "set" / "train.parquet", [pa.table(columns)])
    with pytest.raises(DataError, match=rf"^--data \S+/set:? {re.escape(message)}$"):
        streamed(tmp_path / "set", tmp_path / "cache")


def test_files_that_differ_in_columns_are_named(photo: np.ndarray, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", photo, {"train": [[2], [2]]})
    write_file(folder / "patches" / "train-00001-of-00002.parquet", [pa.table({"text": ["a"]})])
    with pytest.raises(
        DataError, match=r"train-00001-of-00002\.parquet has no column 'image', unlike the files before"
    ):
        streamed(folder, tmp_path / "cache")


def test_no_parquet_files_or_no_training_split_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "train.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"^--data \S+/text is not stored in parquet files: it cannot be streamed$"):
        streamed(tmp_path / "text", tmp_path / "cache")
    (tmp_path / "test").mkdir()
    write_file(tmp_path / "test" / "test.parquet", [pa.table({"image": pa.array([None], IMAGE)})])
    with pytest.raises(DataError, match=r"^--data \S+/test has no split 'train', but test$"):
        streamed(tmp_path / "test", tmp_path / "cache")
