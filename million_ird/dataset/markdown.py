"""Texts from sources, licences and recipes in Markdown: they are shown as they are and have no effect as markup.

`plain_line` turns a text into one short line of visible characters. `escape_markdown` also makes it safe anywhere in
Markdown: in a paragraph, a heading, a table cell or the description of an image.
"""

import re
import unicodedata

MAX_LENGTH = 120
"""Characters of one text; a longer text ends in an ellipsis."""
NAMELESS = "(no name)"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;", "$": "&#36;", "|": "&#124;"}
"""Characters of HTML, of formulas on the Hub's cards (`$$`, `\\\\(`) and of table borders."""
_BACKSLASHED = frozenset("`*_{}[]#!~^=@+")
_ADDRESS = re.compile(r"(?i)(?=://)|(?<=\bwww)(?=\.)")
"""Places where a backslash keeps an address from becoming a link."""


def plain_line(text: str, max_length: int = MAX_LENGTH) -> str:
    """Return one line of visible characters: no line breaks, control, zero-width, direction or private characters.

    The line is never empty, and has at most `max_length` characters.
    """
    visible = "".join(_visible(char) for char in unicodedata.normalize("NFC", text))
    line = " ".join(visible.split())
    if len(line) > max_length:
        line = f"{line[: max_length - 1].rstrip()}…"
    return line or NAMELESS


def escape_markdown(text: str, max_length: int = MAX_LENGTH) -> str:
    """Return `plain_line` with every character escaped that has a meaning in Markdown, HTML or formulas."""
    chars = (_ENTITIES.get(c) or (f"\\{c}" if c in _BACKSLASHED else c) for c in plain_line(text, max_length))
    return _ADDRESS.sub(r"\\", "".join(chars))


def _visible(char: str) -> str:
    if char.isspace():  # line and paragraph separators, tabs, no-break spaces
        return " "
    return "" if unicodedata.category(char).startswith("C") else char
