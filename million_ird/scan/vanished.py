"""Rows of candidates that an earlier scan found and that are gone: they stay in the ledger as vanished."""

from million_ird.config.recipe import Recipe
from million_ird.ledger import scanned_schema, to_table
from million_ird.runtime.storage import Folder
from million_ird.scan.row_index import RowIndex

VANISHED_ROWS = ".work/vanished.parquet"


def keep_vanished(
    out: Folder, index: RowIndex, before: list[str], now: list[str], settled: set[str], recipe: Recipe
) -> int:
    """Collect the rows of candidates that earlier units held and no current unit holds; return their number.

    `settled` are units whose candidates are in no other unit of `before`, and which need not be read.
    """
    schema = scanned_schema(recipe.ledger_entries)
    current = set(now)
    obsolete = [name for name in before if name not in current and name in index]
    old = [index.read(name) for name in obsolete]
    if out.exists(VANISHED_ROWS):
        old.append(out.read_table(VANISHED_ROWS))
    rows = {str(row["key"]): row for table in old for row in table.to_pylist()}
    fresh = [name for name in now if name not in settled] if obsolete else now
    for name in fresh if rows else []:
        for key in index.read(name, ["key"])["key"].to_pylist():
            rows.pop(key, None)
    ordered = sorted(rows.values(), key=lambda row: (str(row["source"]), str(row["uri"])))
    if not ordered:
        out.remove(VANISHED_ROWS)
        return 0
    table = to_table(ordered, schema)
    if not out.exists(VANISHED_ROWS) or not out.read_table(VANISHED_ROWS).equals(table):
        out.write_table(VANISHED_ROWS, table)
    return len(ordered)
