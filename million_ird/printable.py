r"""Text of strangers on a terminal: file names and addresses may contain sequences that it obeys.

Control characters, the marks that reverse the direction of text, and separators of lines are shown as `\x1b`, `\n` or
`\u202e`.
"""

from million_ird.strict_json import to_json

_CONTROL = (*range(0x20), *range(0x7F, 0xA0))
_DIRECTION = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_LINE_SEPARATORS = (0x2028, 0x2029)
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in (*_CONTROL, *_DIRECTION, *_LINE_SEPARATORS)}
_ESCAPES_IN_LINES = {code: text for code, text in _ESCAPES.items() if chr(code) not in "\n\t"}
_ESCAPES_IN_JSON = {code: f"\\u{code:04x}" for code in _ESCAPES if code >= 0x7F}  # JSON escapes the others


def printable(text: object) -> str:
    """Return a name or message as one line that a terminal shows and does not obey."""
    return str(text).translate(_ESCAPES)


def printable_lines(text: str) -> str:
    """Return lines of this program, in which names are `printable` already, without anything else to obey."""
    return text.translate(_ESCAPES_IN_LINES)


def printable_json(value: object) -> str:
    """Return JSON on one line, readable in all languages, that a terminal does not obey either."""
    return to_json(value).translate(_ESCAPES_IN_JSON)
