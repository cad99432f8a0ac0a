"""PBM, PGM, PPM and Pillow's kin of them: comments go, and what follows the raster."""

import re

from million_ird.metadata.edits import Edit, cut, not_strippable

_BYTES = {b"P5": 1, b"P6": 3, b"P0CMYK": 4, b"PyP": 1, b"PyRGBA": 4, b"PyCMYK": 4}
_PLAIN = {b"P1", b"P2", b"P3"}
_COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")
_MAGIC = re.compile(rb"(P[0-9fy][A-Z]{0,4})[ \t\n\v\f\r]")
_SPACE = b" \t\n\v\f\r"
_TOKEN_AT_MOST = 10


def find(encoded: bytes) -> list[Edit]:
    """What of a PNM is private. Comments are read as Pillow reads them: they vanish with their line's end.

    Raises:
        ReadError: `not_strippable` for a broken header, or words in the raster of a plain one.
    """
    match = _MAGIC.match(encoded)
    if match is None or match[1] not in {*_BYTES, *_PLAIN, b"P4"}:
        raise not_strippable("does not start as a PNM")
    magic, at, edits = match[1], match.end(), list[Edit]()
    numbers = []
    for _ in range(2 if magic in {b"P1", b"P4"} else 3):
        number, at, comments = _number(encoded, at)
        numbers.append(number)
        edits += comments
    if magic in _PLAIN:
        return edits + _plain(encoded, at)
    width, height = numbers[:2]
    line = -(-width // 8) if magic == b"P4" else width * _BYTES[magic] * (2 if numbers[2] > 255 else 1)
    return edits + cut(at + line * height, len(encoded), "trailing bytes")


def _number(encoded: bytes, at: int) -> tuple[int, int, list[Edit]]:
    """The next number of the header, the place behind it and its delimiter, and the comments on the way."""
    token, edits = b"", list[Edit]()
    while len(token) <= _TOKEN_AT_MOST:
        byte = encoded[at : at + 1]
        if byte == b"#" and (comment := _COMMENT.match(encoded, at)):
            edits += cut(at, comment.end(), "comment")
            at = comment.end()
            continue
        at += 1
        if not byte or byte in _SPACE:
            if token or not byte:
                break
            continue
        token += byte
    if not token.isdigit():
        raise not_strippable("a PNM with a broken header")
    return int(token), at, edits


def _plain(encoded: bytes, at: int) -> list[Edit]:
    """The comments of a raster of numbers, which may hold nothing but numbers beside them."""
    edits, here = [], at
    for comment in _COMMENT.finditer(encoded, at):
        _only_numbers(encoded[here : comment.start()])
        edits += cut(comment.start(), comment.end(), "comment")
        here = comment.end()
    _only_numbers(encoded[here:])
    return edits


def _only_numbers(raster: bytes) -> None:
    if raster.translate(None, b"0123456789" + _SPACE):
        raise not_strippable("words in the raster of a plain PNM")
