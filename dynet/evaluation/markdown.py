"""Markdown tables that are also readable as plain text in a terminal of 80 columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

WIDTH = 80


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A head and its cells, aligned right for numbers."""

    head: str
    cells: tuple[str, ...]
    right: bool = True

    @property
    def width(self) -> int:
        """Width in characters, at least the three of the line below the head."""
        return max(3, *map(len, (self.head, *self.cells)))

    def lines(self) -> list[str]:
        """Return head, line and cells, padded to the same width."""
        rule = "-" * (self.width - 1) + ":" if self.right else "-" * self.width
        pad = str.rjust if self.right else str.ljust
        return [pad(self.head, self.width), rule, *(pad(cell, self.width) for cell in self.cells)]


def tables(keys: Sequence[TableColumn], columns: Sequence[TableColumn]) -> str:
    """Return one table, or several below each other if the columns do not fit WIDTH; each begins with the keys."""
    groups: list[list[TableColumn]] = [[]]
    for column in columns:
        if groups[-1] and _width([*keys, *groups[-1], column]) > WIDTH:
            groups.append([])
        groups[-1].append(column)
    return "\n".join(_table([*keys, *group]) for group in groups)


def _width(columns: Sequence[TableColumn]) -> int:
    return sum(column.width + 3 for column in columns) + 1


def _table(columns: Sequence[TableColumn]) -> str:
    rows = zip(*(column.lines() for column in columns), strict=True)
    return "".join(chain.from_iterable(("| ", " | ".join(row), " |\n") for row in rows))
