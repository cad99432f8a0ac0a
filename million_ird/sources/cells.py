"""What a row of a table, a sidecar or a dataset says, cell by cell; a cell that cannot be read fails its row alone.

A failed row is known when its source is listed, long before anything is fetched. Its failure travels in `version`, as
that of a link that leads out does, so that it is found again wherever the candidate goes.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from million_ird.candidate import Failed
from million_ird.errors import ReadError
from million_ird.strict_json import to_json

BAD_ROW = "bad_row"
"""The failure class of a row that cannot be read: what it names is not known, or not all that the recipe asks for."""
UNREADABLE = "unreadable"
"""The failure class of a file or folder that a listing cannot look at."""
MAX_CELL = 1 << 20
"""Characters of one cell; a longer one fails its row."""
_SHOWN = 40
"""Characters of a cell that a message repeats."""


def version_of(failed: Failed) -> str:
    """Return the version of an entry that failed when it was listed; it changes when the reason does."""
    return f"{failed.failure_class}: {failed.detail}"


def failure_in(version: str) -> Failed | None:
    """Return the failure that `version_of` wrote; None for any other version."""
    name, mark, detail = version.partition(": ")
    return Failed(name, detail) if mark and name in {BAD_ROW, UNREADABLE} else None


def bad_row(reason: str, column: str = "") -> ReadError:
    """Return the error of a row that cannot be read, with the column that is wrong."""
    detail = f"column {column[:_SHOWN]!r}: {reason}" if column else reason
    # The reason may repeat names of columns: JSON may spell half a surrogate pair in them, which no ledger can hold.
    return ReadError(BAD_ROW, detail.encode(errors="backslashreplace").decode())


def read_text(value: object, column: str) -> str:
    """Return a cell as text; a list or a structure as JSON, an empty cell as an empty text.

    Raises:
        ReadError: `bad_row`: bytes that are not UTF-8, half a surrogate pair, or more than `MAX_CELL` characters.
    """
    if isinstance(value, (list, tuple, Mapping)):
        return _checked(_as_json(value, column), column)
    return _plain_text(value, column)


def read_name(value: object, column: str) -> str:
    """Return a cell that names one thing, or several (a list of authors, with commas between), as text.

    Raises:
        ReadError: as `read_text`; also for structures.
    """
    if isinstance(value, (list, tuple)):
        return _checked(", ".join(filter(None, (_plain_text(part, column) for part in value))), column)
    return _plain_text(value, column)


def read_address(value: object, column: str) -> str:
    """Return a cell that names one image; half a surrogate pair, which JSON may hold, as its escape.

    Raises:
        ReadError: `bad_row`: as `read_text`; also for lists and structures.
    """
    text = value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
    return _plain_text(text, column)


def read_number(value: object, column: str) -> float | None:
    """Return a cell as a number; None if it is empty.

    Raises:
        ReadError: `bad_row`: it holds something else.
    """
    if isinstance(value, (bool, float)):
        return float(value)
    text = _plain_text(value, column)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise bad_row(f"{_shown(text)} is not a number", column) from None


def has_broken_text(text: str) -> bool:
    """Return whether a text holds half a surrogate pair, which is also how undecodable bytes are marked."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def undecodable(text: str, encoding: str) -> str:
    """Return what is wrong with a text that was decoded with marks instead of the bytes that are not valid."""
    mark = next(ord(character) for character in text if 0xD800 <= ord(character) <= 0xDFFF)
    return f"byte 0x{mark & 0xFF:02x} is not {encoding}"


def _plain_text(value: object, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _checked(value, column)
    if isinstance(value, (list, tuple, Mapping)):
        kind = "a structure" if isinstance(value, Mapping) else "a list"
        raise bad_row(f"holds {kind}, not one value", column)
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return _checked(bytes(value).rstrip(b"\0").decode(), column)  # NumPy fills bytes of fixed size with zeros
        except UnicodeDecodeError as error:
            raise bad_row(f"byte 0x{bytes(value)[error.start]:02x} is not UTF-8", column) from None
    return _checked(str(value), column)


def _checked(text: str, column: str) -> str:
    if len(text) > MAX_CELL:
        raise bad_row(f"holds more than {MAX_CELL:,} characters", column)
    if not text.isascii() and has_broken_text(text):
        raise bad_row("holds half a surrogate pair, which is no text", column)
    return text


def _as_json(value: object, column: str) -> str:
    def other(inner: Any) -> object:
        return _plain_text(inner, column)

    try:
        return to_json(value, default=other)
    except (TypeError, ValueError, RecursionError):
        _refuse(column)


def _refuse(column: str) -> NoReturn:
    raise bad_row("holds a structure that is no text", column)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
