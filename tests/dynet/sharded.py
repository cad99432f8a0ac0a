"""Data sets in parquet files with row groups of a chosen size, as million_ird or anyone else leaves them."""

import io
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dynet.data.mix import Mix, TrainingTask
from dynet.data.streamed_set import StreamedSet

SIDE = 48
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
COMPRESSION = {"image.bytes": "none", "image.path": "zstd", "id": "zstd", "parent": "zstd", "uri": "zstd"}
GROUPS = 70
MANY = {"train": [[2] * 40, [2] * 30]}
"""More groups than are open at a time; 140 rows."""

Shards = Mapping[str, Sequence[Sequence[int]]]
"""For each split its files, and for each file the rows of its row groups."""


def patch(photo: np.ndarray, number: int) -> np.ndarray:
    """A square of a photograph, another for each number."""
    top, left = number * 7 % (photo.shape[0] - SIDE), number * 13 % (photo.shape[1] - SIDE)
    return photo[top : top + SIDE, left : left + SIDE]


def stored(pixels: np.ndarray) -> dict[str, object]:
    """An image as a column of images holds it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=0, method=0)
    return {"bytes": buffer.getvalue(), "path": None}


def write_set(folder: Path, photo: np.ndarray, shards: Shards) -> Path:
    """Rows 0, 1, … in the order of the files; three neighbours are parts of one image."""
    (folder / "patches").mkdir(parents=True)
    number = 0
    for split, files in shards.items():
        for at, groups in enumerate(files):
            tables = []
            for rows in groups:
                numbers = range(number, number + rows)
                tables.append(_table(photo, numbers))
                number += rows
            write_file(folder / "patches" / f"{split}-{at:05d}-of-{len(files):05d}.parquet", tables)
    listed = "".join(f"  - split: {split}\n    path: patches/{split}-*.parquet\n" for split in shards)
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: patches\n  data_files:\n{listed}---\n")
    return folder


def write_file(file: Path, groups: Sequence[pa.Table]) -> None:
    """One row group for each table; it says which columns are images, as `datasets` wants it."""
    schema = groups[0].schema
    compression = {name: kind for name, kind in COMPRESSION.items() if name.split(".")[0] in schema.names}
    features = {
        each.name: {"_type": "Image"} if each.type == IMAGE else {"dtype": str(each.type), "_type": "Value"}
        for each in schema
    }
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    with pq.ParquetWriter(file, schema, compression=compression, write_page_index=True) as writer:
        for group in groups:
            writer.write_table(group.replace_schema_metadata(schema.metadata))


def _table(photo: np.ndarray, numbers: range) -> pa.Table:
    return pa.table(
        {
            "image": pa.array([stored(patch(photo, number)) for number in numbers], IMAGE),
            "id": [f"{number:064x}" for number in numbers],
            "parent": [f"{number // 3:064x}" for number in numbers],
            "uri": [f"2019/Picture {number // 3}.jpg" for number in numbers],
        }
    )


def streamed(folder: Path | str, cache: Path, **options: int) -> StreamedSet:
    return StreamedSet(str(folder), None, cache, **options)


def keep(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return image


def mix_of(images: StreamedSet, hold_out: int = 0) -> Mix:
    task = TrainingTask(name="denoise", weight=1, degrade=keep)
    return Mix([task], [(images, 1.0)], seed=3, hold_out=hold_out, exclude={})


def await_fetches() -> None:
    """Who leaves in the middle of a fetch leaves it to be done again."""
    for thread in threading.enumerate():
        if thread.name == "prefetching":
            thread.join(20)


def whole(images: StreamedSet, row: int) -> np.ndarray:
    return images.crop(row, SIDE, np.random.default_rng(0)).clean
