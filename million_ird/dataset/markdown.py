"""Strangers' words in Markdown: names of sources, licences and recipes show as themselves and do nothing else.

`plain` makes a text one short line of visible characters; `escaped` makes that mean itself wherever text may stand in
Markdown: in a paragraph, a heading, a table's cell, an image's description.
"""

import re
import unicodedata

MOST = 120
"""Characters of one text; what is longer ends in an ellipsis."""
NAMELESS = "(no name)"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;", "$": "&#36;", "|": "&#124;"}
"""Never as themselves: HTML, the mathematics of the Hub's cards (`$$`, `\\\\(`), a table's borders."""
_BACKSLASHED = frozenset("`*_{}[]#!~^=@+")
_ADDRESS = re.compile(r"(?i)(?=://)|(?<=\bwww)(?=\.)")
"""Before these, a backslash keeps an address from becoming a link."""


def plain(text: str, most: int = MOST) -> str:
    """One line of visible characters: no line breaks, control, zero-width, direction or private characters.

    Never empty, at most `most` characters.
    """
    visible = "".join(_visible(mark) for mark in unicodedata.normalize("NFC", text))
    line = " ".join(visible.split())
    if len(line) > most:
        line = f"{line[: most - 1].rstrip()}…"
    return line or NAMELESS


def escaped(text: str, most: int = MOST) -> str:
    """`plain`, with every character that means something in Markdown, HTML or mathematics taken by its word."""
    marks = (_ENTITIES.get(mark) or (f"\\{mark}" if mark in _BACKSLASHED else mark) for mark in plain(text, most))
    return _ADDRESS.sub(r"\\", "".join(marks))


def _visible(mark: str) -> str:
    if mark.isspace():  # line and paragraph separators, tabs, no-break spaces
        return " "
    return "" if unicodedata.category(mark).startswith("C") else mark
