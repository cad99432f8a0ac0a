"""The files about all pictures of a split: BasicSR's `meta_info.txt`, and `metadata.parquet` with all columns."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.export.reading import FILE_NAME, shapes
from million_ird.runtime.storage import Folder


def write_meta_info(folder: Folder, names: tuple[str, str], parts: Iterator[pa.Table], ending: str = "") -> None:
    """Writes a line `NAME (HEIGHT,WIDTH,3)` and `ending` for each picture, and a table of all columns.

    Three channels, since BasicSR reads every picture as colour.

    Args:
        folder: the destination.
        names: of the text and of the table.
        parts: the columns of each unit, `file_name` among them.
        ending: what stands at the end of each line.
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
