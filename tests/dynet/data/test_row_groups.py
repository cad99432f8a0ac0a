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


def test_faults_of_files_are_one_line_that_names_them(photo: np.ndarray, tmp_path: Path) -> None:
    changes: dict[str, Callable[[bytes], bytes]] = {
        "is no parquet file, or is truncated": lambda data: data[:-100],
        "is no parquet file: it has 5 bytes": lambda data: data[:5],
        "is no parquet file: ": lambda data: data[:-300] + bytes(292) + data[-8:],
    }
    for number, (said, change) in enumerate(changes.items()):
        folder = _broken(write_set(tmp_path / f"{number}", photo, {"train": [[2], [1]]}), change)
        with pytest.raises(DataError, match=rf"^\S+/train-00000-of-00002\.parquet {said}[^\n]*$"):
            streamed(folder, tmp_path / "cache")


def test_damaged_pages_and_pictures_are_one_line(photo: np.ndarray, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "pages", photo, {"train": [[3]]})
    pictures = streamed(_broken(folder, lambda data: data[:4] + bytes(60) + data[64:]), tmp_path / "cache")
    with pytest.raises(DataError, match=r"^\S+/train-00000-of-00001\.parquet: [^\n]+$"):
        whole(pictures, 0)
    values = [stored(patch(photo, 0)), {"bytes": None, "path": "far.png"}, None, {"bytes": b"RIFF", "path": None}]
    (tmp_path / "holes").mkdir()
    write_file(tmp_path / "holes" / "train.parquet", [pa.table({"image": pa.array(values, IMAGE)})])
    pictures = streamed(tmp_path / "holes", tmp_path / "cache")
    whole(pictures, 0)
    for row, said in ((1, "has no image"), (2, "has no image"), (3, "is not an image that can be read")):
        with pytest.raises(DataError, match=rf"^row {row} of \S+/holes {said}$"):
            whole(pictures, row)
    with pytest.raises(DataError, match=rf"^row 0 of \S+ has {SIDE}x{SIDE} pixels, too few for crop: 64$"):
        pictures.crop(0, 64, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": pa.array(["a"])}, "has neither a column 'image' nor 'input' and 'target', but text"),
        ({"image": pa.array([b"a"])}, "column 'image' holds no images, but binary"),
        ({"image": pa.array([], IMAGE)}, "holds no images"),
    ],
)
def test_a_set_without_pictures_is_one_line(columns: dict[str, pa.Array], said: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_file(tmp_path / "set" / "train.parquet", [pa.table(columns)])
    with pytest.raises(DataError, match=rf"^--data \S+/set:? {re.escape(said)}$"):
        streamed(tmp_path / "set", tmp_path / "cache")


def test_files_that_differ_in_columns_are_named(photo: np.ndarray, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", photo, {"train": [[2], [2]]})
    write_file(folder / "patches" / "train-00001-of-00002.parquet", [pa.table({"text": ["a"]})])
    with pytest.raises(
        DataError, match=r"train-00001-of-00002\.parquet has no column 'image', unlike the files before"
    ):
        streamed(folder, tmp_path / "cache")


def test_what_is_not_in_parquet_files_or_has_no_split_to_train_on_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "train.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"^--data \S+/text is not stored in parquet files: it cannot be streamed$"):
        streamed(tmp_path / "text", tmp_path / "cache")
    (tmp_path / "test").mkdir()
    write_file(tmp_path / "test" / "test.parquet", [pa.table({"image": pa.array([None], IMAGE)})])
    with pytest.raises(DataError, match=r"^--data \S+/test has no split 'train', but test$"):
        streamed(tmp_path / "test", tmp_path / "cache")
