"""Rows of text tables (csv, tsv, jsonl, txt): one that cannot be read is a failure of that row, and the next is read.

Text is UTF-8, or UTF-16 or UTF-32 with a byte-order mark. Bytes that are not valid are decoded to marks, which no valid
text has, so that the cell they are in can be named. A quote that is never closed would swallow the rows behind it:
where a row of several lines fails, only its first line does, and reading goes on at the second.
"""

import codecs
import csv
import io
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

from million_ird.errors import ReadError
from million_ird.sources.cells import MAX_CELL, bad_row, has_broken_text, undecodable

Cells: TypeAlias = dict[str, Any]
NumberedRow: TypeAlias = tuple[int, Cells | ReadError]
"""The number of a row, or of its first line, from 1; and its cells by column, or why they cannot be read."""

MAX_LINE = 16 * MAX_CELL
"""Characters of one line, or of one cell over several lines, that are in memory at most; what is longer fails."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks; that of UTF-32 begins with that of UTF-16."""
_ERRORS = "million_ird.marks"


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 | byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _mark)


class TextLines:
    """The lines of a text file, numbered from 1 and limited in length; lines just read can be put back."""

    def __init__(self, content: IO[bytes]) -> None:
        """Find the encoding by the first bytes.

        Raises:
            UnknownEncoding: UTF-16 or UTF-32 without a byte-order mark.
        """
        buffered = io.BufferedReader(_Readable(content))
        head = buffered.peek(4)[:4]
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8-sig")
        if encoding == "utf-8-sig" and b"\0" in head:
            raise UnknownEncoding("looks like UTF-16 or UTF-32 without a byte-order mark; save it as UTF-8")
        self.encoding = encoding.upper().removesuffix("-SIG")
        self._text = io.TextIOWrapper(buffered, encoding=encoding, errors=_ERRORS, newline="")
        self._back: deque[str] = deque()
        self._last = 0
        self.taken: list[str] = []
        """The lines since `begin_row`."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._fresh()
        if not line:
            raise StopIteration
        self._last += 1
        self.taken.append(line)
        return line

    def begin_row(self) -> None:
        """Forget the lines of the last row."""
        self.taken = []

    def put_back(self) -> None:
        """Read all lines of the row but its first again.

        No line is read more than about twice: where one quote was left open, no line before the next quote opens one.
        """
        rest = self.taken[1:]
        self._last -= len(rest)
        self._back.extendleft(reversed(rest))
        self.taken = self.taken[:1]

    @property
    def number(self) -> int:
        """The number of the row's first line."""
        return self._last - len(self.taken) + 1

    def fault(self) -> ReadError | None:
        """Return why no line of the row may be read; None if all may."""
        if any(isinstance(line, _CutLine) for line in self.taken):
            return bad_row(f"has a line of more than {MAX_LINE:,} characters")
        return None

    def broken(self, text: str) -> str:
        """Return what is wrong with a text of the row that holds marks; empty if it holds none."""
        return undecodable(text, self.encoding) if not text.isascii() and has_broken_text(text) else ""

    def _fresh(self) -> str:
        line = self._text.readline(MAX_LINE)
        if len(line) < MAX_LINE or line.endswith(("\n", "\r")):
            return line
        while (rest := self._text.readline(MAX_LINE)) and not rest.endswith(("\n", "\r")):
            pass
        return _CutLine(line)


class UnknownEncoding(ValueError):
    """A text is neither UTF-8 nor says with a mark what it is."""


class JsonArray(ValueError):
    """A file of JSON holds one array, not one object on each line."""


class _CutLine(str):
    """The beginning of a line that is too long."""


def read_addresses(lines: TextLines) -> Iterator[NumberedRow]:
    """Yield the rows of a list: one address on each line."""
    for line in _each(lines):
        address = line.strip()
        if address:
            reason = lines.broken(address)
            yield lines.number, lines.fault() or (bad_row(reason) if reason else {"url": address})


def read_objects(lines: TextLines) -> Iterator[NumberedRow]:
    """Yield the rows of a table that has one JSON object on each line.

    Raises:
        JsonArray: it is one array of objects instead.
    """
    first = True
    for line in _each(lines):
        if line.strip():
            if first and _begins_array(line):
                raise JsonArray("is one JSON array")
            first = False
            yield lines.number, lines.fault() or _object(line, lines.broken(line))


def read_cells(lines: TextLines, delimiter: str) -> Iterator[NumberedRow]:
    """Yield the rows of a table whose first row names the columns.

    Raises:
        ReadError: the first row cannot be read, so that no other can be, either.
    """
    names: list[str] = []
    for cells in _records(lines, delimiter):
        if isinstance(cells, list) and not any(cell.strip() for cell in cells):
            if cells and names:
                yield lines.number, dict.fromkeys(names, "")  # names no image
        elif names:
            yield lines.number, _row(names, cells, lines)
        else:
            reason = cells.reason if isinstance(cells, _Malformed) else lines.broken("".join(cells))
            if isinstance(cells, _Malformed) or reason:
                raise bad_row(f"line {lines.number}, which names the columns, {reason}")
            names = cells


def _each(lines: TextLines) -> Iterator[str]:
    for line in lines:
        yield line
        lines.begin_row()


def _begins_array(line: str) -> bool:
    text = line.strip()
    if not text.startswith("["):
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text == "["
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _object(line: str, broken: str) -> Cells | ReadError:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        message = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        return bad_row(broken or f"is not JSON: {message}")
    if not isinstance(row, dict):
        return bad_row(broken or "is not a JSON object")
    if broken:
        columns = [name for name, value in row.items() if has_broken_text(f"{name}{value}")]
        return bad_row(broken, columns[0] if columns else "")
    return row


@dataclass(frozen=True, slots=True)
class _Malformed:
    """A row whose cells cannot be told apart: the number, from 0, of the first that is wrong, and why."""

    column: int
    reason: str


def _records(lines: TextLines, delimiter: str) -> Iterator[list[str] | _Malformed]:
    """Yield the cells of each row, or what is wrong with it."""
    csv.field_size_limit(MAX_LINE)
    while True:
        lines.begin_row()
        try:
            # A reader of its own for each row that follows a malformed one: the old one may be inside a quote.
            for cells in csv.reader(lines, delimiter=delimiter, strict=True):
                yield cells
                lines.begin_row()
        except csv.Error as error:
            yield _malformed("".join(lines.taken), delimiter, error)
            lines.put_back()
        else:
            return


def _malformed(text: str, delimiter: str, error: csv.Error) -> _Malformed:
    if "field larger" in str(error):
        return _Malformed(_faulty_column(text, delimiter), f"holds more than {MAX_LINE:,} characters")
    return _Malformed(_faulty_column(text, delimiter), "has a quote that is not doubled, or not closed")


def _faulty_column(text: str, delimiter: str) -> int:
    """Return the number, from 0, of the first cell that is too long or whose quotes are wrong."""
    column = start = 0
    while start < len(text):
        if text[start] == '"':
            end = text.find('"', start + 1)
            while end >= 0 and text[end + 1 : end + 2] == '"':
                end = text.find('"', end + 2)
            if end < 0 or text[end + 1 : end + 2] not in {delimiter, "\r", "\n", ""}:
                return column
            after = end + 1
        else:
            after = text.find(delimiter, start)
            after = len(text) if after < 0 else after
        if after - start > MAX_LINE or text[after : after + 1] != delimiter:
            return column
        column, start = column + 1, after + 1
    return column


def _row(names: list[str], cells: list[str] | _Malformed, lines: TextLines) -> Cells | ReadError:
    if fault := lines.fault():
        return fault
    if isinstance(cells, _Malformed):
        return bad_row(cells.reason, _name(names, cells.column))
    if not all(line.isascii() for line in lines.taken):
        for number, cell in enumerate(cells):
            if reason := lines.broken(cell):
                return bad_row(reason, _name(names, number))
    long = next((number for number, cell in enumerate(cells) if len(cell) > MAX_CELL), None)
    if long is not None:
        return bad_row(f"holds more than {MAX_CELL:,} characters", _name(names, long))
    if len(cells) != len(names):
        reason = f"the row has {len(cells)} cells, the table {len(names)} columns"
        return bad_row(reason, _name(names, min(len(cells), len(names))))
    return dict(zip(names, cells, strict=True))


def _name(names: list[str], number: int) -> str:
    """Return the name of a column; its number, from 1, where it has no name."""
    return names[number] if number < len(names) else f"{number + 1}"


class _Readable(io.RawIOBase):
    """Adapts a stream of arrow, which decompresses, to the standard library."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def rows_of(kind: str, content: IO[bytes]) -> Iterator[NumberedRow]:
    """Yield the rows of a text table by the suffix of its kind; csv if it has none.

    Raises:
        ReadError: nothing of it can be read.
        JsonArray, UnknownEncoding: it cannot be read row by row.
    """
    lines = TextLines(content)
    if kind == ".txt":
        return read_addresses(lines)
    if kind in {".jsonl", ".ndjson", ".json"}:
        return read_objects(lines)
    return read_cells(lines, "\t" if kind == ".tsv" else ",")
