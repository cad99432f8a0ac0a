"""The lists of all images of a split: BasicSR's `meta_info.txt`, and `metadata.parquet` with all columns."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.export.shard_reader import FILE_NAME, shapes
from million_ird.runtime.storage import Folder


def write_meta_info(folder: Folder, names: tuple[str, str], parts: Iterator[pa.Table], ending: str = "") -> None:
    """Write a line `NAME (HEIGHT,WIDTH,3)` with `ending` for each image, and a table of all columns.

    There are always three channels, because BasicSR reads every image as colour.

    Args:
        folder: The destination.
        names: File names of the text and of the table.
        parts: Columns of each unit, including `file_name`.
        ending: Text at the end of each line.
    """
    with folder.writing(names[0]) as text, folder.writing(names[1]) as table:
        writer: pq.ParquetWriter | None = None
        for part in parts:
            writer = writer or pq.ParquetWriter(table, part.schema, compression="zstd")
            writer.write_table(part)
            lines = zip(part[FILE_NAME].to_pylist(), shapes(part), strict=True)
            text.write("".join(f"{name} ({h},{w},3){ending}\n" for name, (h, w) in lines).encode())
        if writer:
            writer.close()
