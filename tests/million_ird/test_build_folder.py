"""The output folder is one that `load_dataset` opens by its path."""

from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from million_ird.build_folder import check_output
from million_ird.errors import OutputError

CARD = """---
configs:
- config_name: images
  data_files:
  - split: train
    path: data/images/train-*.parquet
---
"""


@pytest.mark.parametrize("name", ["a[1]", "a[1]/deeper", "b*", "c?", "g[", "h]", "p**q", "u[!a]", "l::m"])
def test_a_path_that_is_a_pattern_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="in its path, a pattern for load_dataset; choose another folder") as raised:
        check_output(str(tmp_path / name))
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.full
@pytest.mark.parametrize("name", ["d{x}", "e!f", "j#k", "n o", "r%20", "s\\t", "v'w", 'x"y', "z@1", "~t", "$h", "é"])
def test_any_other_path_is_opened_by_load_dataset(tmp_path: Path, name: str) -> None:
    folder = Path(check_output(str(tmp_path / name)).root)
    (folder / "data" / "images").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1, 2]}), folder / "data" / "images" / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text(CARD)
    cache = str(tmp_path / "cache")
    assert datasets.load_dataset(str(folder), "images", split="train", cache_dir=cache).num_rows == 2


def test_what_is_refused_is_a_pattern_for_load_dataset(tmp_path: Path) -> None:
    (tmp_path / "a[1]" / "data").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a[1]" / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(FileNotFoundError, match="data files"):
        datasets.load_dataset_builder(str(tmp_path / "a[1]"))
