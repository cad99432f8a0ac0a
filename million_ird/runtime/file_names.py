"""File names as valid text: a name on a disk may have bytes that are not UTF-8."""

import re

_ESCAPE = re.compile(r"\\x(5c|[89a-f][0-9a-f])")


def as_text(name: str) -> str:
    r"""Return a file name as valid text; different names have different texts, and `as_name` returns them.

    A byte that is not UTF-8 is written as a backslash, `x` and its hex digits. Where a name has just that spelled out,
    its backslash is written as `\x5c`; any other name stays as it is.
    """
    spelled = _ESCAPE.sub(lambda match: f"\\x5c{match[0][1:]}", name)
    return spelled.encode(errors="surrogateescape").decode(errors="backslashreplace")


def as_name(text: str) -> str:
    """Return the file name, as `os` has it, that `as_text` made a text of."""
    plain = _ESCAPE.sub(lambda match: chr(0xDC00 | int(match[1], 16)) if match[1] != "5c" else "\\", text)
    return plain.encode(errors="surrogateescape").decode(errors="surrogateescape")


def as_typed(text: str) -> str:
    """Return what a user typed as valid text: a name with bytes that are not UTF-8 as `as_text` lists it, others as is.

    The system gives such bytes of a command line as halves of surrogate pairs, which no file can hold.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        of_bytes = all(0xDC80 <= ord(character) <= 0xDCFF for character in text if "\ud800" <= character <= "\udfff")
        return as_text(text) if of_bytes else text.encode(errors="backslashreplace").decode()
    return text
