"""Random scans whose units are joined; as a program, it joins those of one folder and is killed on the way.

`python joining.py OUT NUMBER [ENDPOINT]` kills itself before file operation NUMBER of joining: a file that is read, a
part that gets its name, a file that is removed.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from million_ird.build_folder import INDEX, save_recipe
from million_ird.config.recipe import Recipe
from million_ird.ledger import scanned_schema, to_table
from million_ird.runtime.storage import Folder
from million_ird.scan import join_units
from million_ird.scan.row_index import RowIndex, file_of
from tests.million_ird.stopping import kill_this_process, stop_before

Rows = list[dict[str, Any]]
SIZES = {"PART_BYTES": 400_000, "BLOCK_UNITS": 40, "MIN_UNITS": 3, "GROUP_ROWS": 50}
"""So that few rows are many."""


def write_units(out: Folder, rows: Sequence[dict[str, object]], recipe: Recipe, seed: int) -> list[str]:
    """Store rows as a scan would have, in units of random sizes, empty ones among them; return their names."""
    random = np.random.default_rng(seed)
    schema = scanned_schema(recipe.ledger_entries)
    names: list[str] = []
    start = 0
    while start < len(rows):
        size = int(random.integers(0, 9))
        number = f"{len(names):06d}-{random.integers(0, 2**32):08x}"
        names.append(f".work/scan/{random.integers(0, 256):02x}/{number}.parquet")
        terms = {b"million_ird.terms": b"one" if random.random() < 0.9 else b"other"}
        table = to_table(rows[start : start + size], schema)
        out.write_table(names[-1], table.replace_schema_metadata({**(schema.metadata or {}), **terms}))
        start += size
    out.write_json(INDEX, {"units": names, "measures": recipe.ledger_entries, "vanished": 0})
    save_recipe(out, recipe)
    return names


def join(out: Folder) -> None:
    """Join all units as the end of a scan does."""
    index = RowIndex(out)
    out.remove_files(index.superseded)
    for task in join_units.joined_at_end(out, index, out.read_json(INDEX)["units"]):
        task()


def rewrite(out: Folder, name: str, change: Callable[[Rows], Rows]) -> None:
    """Change the rows of a unit, as measuring them again does."""
    index = RowIndex(out)
    table = index.read(name)
    out.write_table(file_of(name, index.revision_to_write(name)), to_table(change(table.to_pylist()), table.schema))


def rows_of(out: Folder, names: Sequence[str]) -> dict[str, Rows]:
    """Return the rows of each unit."""
    index = RowIndex(out)
    return {name: index.read(name).to_pylist() for name in names}


if __name__ == "__main__":
    for constant, value in SIZES.items():
        setattr(join_units, constant, value)
    out = Folder(sys.argv[1], {"endpoint_url": sys.argv[3]} if len(sys.argv) > 3 else {})
    stop_before(int(sys.argv[2]), kill_this_process)
    join(out)
