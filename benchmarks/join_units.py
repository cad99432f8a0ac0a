"""Joining the row files of units: number of files, bytes, and processor time to join them and to list them.

Units of 256 synthetic candidates, of which 2 % pass, as a scan leaves them. `list` is what a scan does first: it finds
where the rows of all units are.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from machine import describe
from synthetic import scanned_blocks

from million_ird.config.loading import load
from million_ird.ledger import scanned_schema
from million_ird.runtime.storage import Folder
from million_ird.scan.join_units import joined_at_end
from million_ird.scan.row_index import RowIndex, all_row_files

T = TypeVar("T")
UNIT_ROWS = 256
RESULTS = Path(__file__).parent / "results" / "join_units.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        out = Folder(folder)
        names = list(write_units(out, rows))
        before, listed = timed(lambda: RowIndex(out))
        sizes = sum(before.size(name) or 0 for name in names)
        _, joining = timed(lambda: [task() for task in joined_at_end(out, before, names)])
        after, listed_after = timed(lambda: RowIndex(out))
        files = all_row_files(out)
        assert all(after.place(name).is_joined for name in names)
        results = {
            "rows": rows,
            "before": {"files": len(names), "MB": sizes / 1e6, "list_cpu_s": listed},
            "joining_cpu_s": joining,
            "after": {"files": len(files), "MB": sum(map(size_of(out), files)) / 1e6, "list_cpu_s": listed_after},
            "spans": len(list(after.spans(names))),
        }
    print(json.dumps(results, indent=1))
    RESULTS.write_text(json.dumps({"machine": describe(), **results}, indent=1))


def write_units(out: Folder, rows: int) -> Iterator[str]:
    """Write one file for each unit; yield their names in the order of the scan."""
    recipe = load("million_ird.yaml")
    schema = scanned_schema(recipe.ledger_entries)
    number = 0
    for table in scanned_blocks(0, rows, recipe, 0.02, schema):
        for start in range(0, table.num_rows, UNIT_ROWS):
            name = f".work/scan/{number % 256:02x}/{number:012d}-rows.parquet"
            out.write_table(name, table.slice(start, UNIT_ROWS))
            yield name
            number += 1


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what `work` returns, and the seconds of processor time that it took."""
    started = time.process_time()
    return work(), time.process_time() - started


def size_of(out: Folder) -> Callable[[str], int]:
    """Return a function that returns the bytes of a file."""
    return lambda name: Path(out.path(name)).stat().st_size


if __name__ == "__main__":
    main()
