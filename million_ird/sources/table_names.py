"""The columns that the key `names` of a source names: whether its tables have them.

In Parquet and csv a table has a column or has not; in JSON each row says itself which it has, and a table has those
that any of its rows has. A column that no table has is misspelt, and refused. Where some tables lack it, their rows
have no such value, and a warning says so.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from million_ird.errors import SourceError

log = logging.getLogger(__name__)

Names: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of our name of a column and the table's."""
SHOWN = 200
"""Characters of a list of columns that a message repeats."""


def columns_shown(available: Iterable[object]) -> str:
    """Return columns as a message names them."""
    return ", ".join(map(str, available))[:SHOWN]


class NamedColumns:
    """Which of the named columns are in a table, or in several, as far as their rows were looked at."""

    def __init__(self, names: Names) -> None:
        """Look for these; `url` is not among them, without which a table is refused."""
        self.sought = {ours: theirs for ours, theirs in names if ours != "url"}
        self.lacking: dict[str, str] = {}
        """Those that are not found yet, once there was a row: our names with the table's."""
        self._any = False

    def add(self, available: Collection[str]) -> None:
        """Take in the columns of a table, or of a row of JSON."""
        if self.lacking or not self._any:
            left = self.lacking if self._any else self.sought
            self.lacking = {ours: theirs for ours, theirs in left.items() if theirs not in available}
            self._any = True


def require_names(root: str, names: Names, rows: Iterable[Collection[str]]) -> None:
    """Look into tables until each named column is found; where no row could be read, nothing is known.

    Args:
        root: The source, as errors name it.
        names: The columns.
        rows: The columns of each table; of JSON, those of each row.

    Raises:
        SourceError: No table has one of them.
    """
    named, first = NamedColumns(names), ""
    for available in rows if named.sought else ():
        first = first or columns_shown(available)
        named.add(available)
        if not named.lacking:
            return
    for ours, theirs in named.lacking.items():
        raise SourceError(f"source {root}: names: {ours}: has no column {theirs!r}, only {first}")


def count_lacking(tables: Iterable[tuple[str, Iterable[str]]]) -> dict[str, list[object]]:
    """Return how many tables lack a named column, and the first one of them, by our name of the column.

    Args:
        tables: Names of tables, a name once or several times, each with our names of the columns that it lacks.
    """
    lacking: dict[str, dict[str, None]] = {}
    for table, names in tables:
        for ours in names:
            lacking.setdefault(ours, {})[table] = None
    return {ours: [len(those), next(iter(those))] for ours, those in lacking.items()}


def warn_of_names(label: str, names: Names, lacking: Mapping[str, Sequence[object]]) -> None:
    """Say which tables lack a named column, as `count_lacking` counted them."""
    for ours, theirs in names:
        if ours in lacking:
            count, first = lacking[ours]
            which = f"1 table, {first}, has" if count == 1 else f"{count:,} tables, {first} the first, have"
            log.warning("source %s: %s no column %r (names: %s)", label, which, theirs, ours)


def warn_of_rows(label: str, repeated: int, empty: int) -> None:
    """Say how many rows of a source are no candidates."""
    if repeated:
        verb = "row repeats" if repeated == 1 else "rows repeat"
        log.warning("source %s: %d %s an image of an earlier row", label, repeated, verb)
    if empty:
        verb = "row names" if empty == 1 else "rows name"
        log.warning("source %s: %d %s no image", label, empty, verb)
