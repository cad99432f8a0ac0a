"""Markdown tables that can be read as plain text in a terminal of 80 columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

WIDTH = 80


@dataclass(frozen=True, slots=True)
class Column:
    """A head and its cells; numbers stand at the right."""

    head: str
    cells: tuple[str, ...]
    right: bool = True

    @property
    def width(self) -> int:
        """In characters; a rule needs three."""
        return max(3, *map(len, (self.head, *self.cells)))

    def lines(self) -> list[str]:
        """Head, rule and cells, padded to the same width."""
        rule = "-" * (self.width - 1) + ":" if self.right else "-" * self.width
        pad = str.rjust if self.right else str.ljust
        return [pad(self.head, self.width), rule, *(pad(cell, self.width) for cell in self.cells)]


def tables(keys: Sequence[Column], columns: Sequence[Column]) -> str:
    """One table, or as many under each other as it takes for columns to fit WIDTH; each begins with the keys."""
    groups: list[list[Column]] = [[]]
    for column in columns:
        if groups[-1] and _width([*keys, *groups[-1], column]) > WIDTH:
            groups.append([])
        groups[-1].append(column)
    return "\n".join(_table([*keys, *group]) for group in groups)


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width + 3 for column in columns) + 1


def _table(columns: Sequence[Column]) -> str:
    rows = zip(*(column.lines() for column in columns), strict=True)
    return "".join(chain.from_iterable(("| ", " | ".join(row), " |\n") for row in rows))
