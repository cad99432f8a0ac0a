"""Make the fingerprints that come with the package: `python benchmarks/shorten_fingerprints.py FOLDER`.

FOLDER has a file of `million-ird fingerprint` for each set of `million_ird.known_benchmarks`. Each image keeps its
first keypoints, which are sorted by how likely a copy or a crop shows them, too.
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from million_ird.known_benchmarks import KNOWN, POINTS
from million_ird.measures.signature import KEYPOINT

MAX_BYTES = 4096


def shortened(table: pa.Table) -> pa.Table:
    """Return the table with the first keypoints of each image."""
    place = table.schema.get_field_index("points")
    points = [packed[: POINTS * KEYPOINT.itemsize] for packed in table["points"].to_pylist()]
    return table.set_column(place, table.schema.field(place), pa.array(points, pa.binary()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for known in KNOWN:
        table = shortened(pq.read_table(folder / f"{known.name}.parquet"))
        assert table.num_rows == known.images, known.name
        Path(known.path).parent.mkdir(exist_ok=True)
        pq.write_table(table, known.path, compression="zstd", use_dictionary=False, write_statistics=False)
        size = Path(known.path).stat().st_size / table.num_rows
        print(f"{known.name:<9} {table.num_rows:>4} images, {size:,.0f} bytes each")
        assert size <= MAX_BYTES


if __name__ == "__main__":
    main()
