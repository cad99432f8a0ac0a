"""Which columns of a table are read, and as what."""

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from million_ird.errors import ReadError
from million_ird.sources import hints
from million_ird.sources.cells import bad_row, read_address, read_name, read_number, read_text
from million_ird.sources.table_names import columns_shown
from million_ird.sources.table_parquet import Use, refused_type

NAMES = MappingProxyType(
    {
        "url": ("url", "URL", "image_url", "path", "uri", "file_name"),
        "width": ("width", "WIDTH", "original_width"),
        "height": ("height", "HEIGHT", "original_height"),
        "licence": ("licence", "license", "LICENSE"),
        "attribution": ("attribution", "author"),
    }
)
"""Our name of a column, and the names that tables use; the first that a table has is read."""


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns that a recipe asks for, and their names in the table where these are unusual."""

    columns: tuple[str, ...] = ()
    """Numeric columns to pass through."""
    texts: tuple[str, ...] = ()
    """Text columns to pass through."""
    names: tuple[tuple[str, str], ...] = ()
    """Pairs of our name and the table's."""

    def require(self, available: Collection[str]) -> None:
        """Make sure that a table, or a row where each has its own columns, has all that is asked for.

        Raises:
            ReadError: `bad_row`: it lacks one.
        """
        existing = columns_shown(available)
        if self._find(available, "url") is None:
            if named := dict(self.names).get("url"):
                raise bad_row(f"names: url: has no column {named!r}, only {existing}")
            raise bad_row(f"no column names images (url, path, …); it has {existing}")
        for name in (*self.columns, *self.texts):
            if name not in available:
                raise bad_row(f"has no column {name!r}, only {existing}")

    def uses(self, available: Collection[str]) -> dict[str, Use]:
        """Return the columns of a table that are read, and what each is read as."""
        found = {name: self._find(available, name) for name in NAMES}
        uses: dict[str, Use] = {}
        for name, column in found.items():
            if column is not None:
                uses[column] = "address" if name == "url" else "number" if name in {"width", "height"} else "name"
        for name in self.texts:
            uses.setdefault(name, "text")
        return uses | dict.fromkeys(self.columns, "number")

    def check_types(self, schema: pa.Schema, folder: str) -> None:
        """Make sure that the types of all columns that are read can be read.

        Args:
            schema: That of a parquet file.
            folder: Where the file is; a hint names it.

        Raises:
            ReadError: `bad_row`: a column is missing, or holds lists, structures or images.
        """
        try:
            self.require(schema.names)
        except ReadError as error:
            hint = hints.for_schema(schema, folder) if self._find(schema.names, "url") is None else ""
            raise ReadError(error.failure_class, "; ".join(filter(None, (error.detail, hint)))) from None
        for column, use in self.uses(schema.names).items():
            field = schema.field(schema.get_all_field_indices(column)[-1])
            if refused := refused_type(field, use):
                hint = hints.for_schema(pa.schema([field]), folder) if use == "address" else ""
                wanted = {"address": "one address per row", "number": "numbers"}.get(use, "text")
                raise bad_row(hint or f"its column {column!r} holds {refused}, not {wanted}")

    def address(self, row: Mapping[str, Any]) -> str:
        """Return what names the row's image, without blanks around it; empty if nothing does.

        Raises:
            ReadError: `bad_row`: it cannot be read.
        """
        column = self._find(row, "url")
        return read_address(row[column], column).strip() if column is not None else ""

    def name(self, row: Mapping[str, Any], name: str) -> str | None:
        """Return the row's licence or attribution; None if it has none.

        Raises:
            ReadError: `bad_row`: it cannot be read.
        """
        column = self._find(row, name)
        return (read_name(row[column], column) or None) if column is not None else None

    def pixels(self, row: Mapping[str, Any], name: str) -> int | None:
        """Return the width or height that a row declares; None if it declares none, or no possible number."""
        column = self._find(row, name)
        try:
            number = read_number(row[column], column) if column is not None else None
        except ReadError:
            return None  # nothing is lost: the image itself will tell
        return int(number) if number is not None and 0 < number < 1e9 else None

    def extra(self, row: Mapping[str, Any]) -> Iterator[tuple[str, float | str | None]]:
        """Yield the columns that are passed through.

        Raises:
            ReadError: `bad_row`: a text or a number cannot be read.
        """
        yield from ((name, read_number(row[name], name)) for name in self.columns)
        yield from ((name, None if row[name] is None else read_text(row[name], name)) for name in self.texts)

    def _find(self, available: Collection[str], name: str) -> str | None:
        return _found(self.names, tuple(available))[name]


@functools.lru_cache(maxsize=64)  # rows of a table have the same columns
def _found(names: tuple[tuple[str, str], ...], available: tuple[str, ...]) -> Mapping[str, str | None]:
    """Return the column that each of our names is read from; None where there is none."""
    mapped = {name: (column,) for name, column in names}
    wanted = {name: mapped.get(name, usual) for name, usual in NAMES.items()}
    return {name: next((one for one in several if one in available), None) for name, several in wanted.items()}
