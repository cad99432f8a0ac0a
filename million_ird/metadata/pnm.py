"""PBM, PGM, PPM, PAM, PFM and Pillow's variants of them: comments and bytes after the raster are removed."""

import re

from million_ird.metadata.edits import Edit, not_strippable, remove_bytes

_BYTES = {b"P5": 1, b"P6": 3, b"P0CMYK": 4, b"PyP": 1, b"PyRGBA": 4, b"PyCMYK": 4}
_PLAIN = {b"P1", b"P2", b"P3"}
_COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")
_MAGIC = re.compile(rb"(P[0-9fy][A-Z]{0,4})[ \t\n\v\f\r]")
_FLOATS = re.compile(rb"P([fF])\s(\d{1,9})\s(\d{1,9})\s[-+0-9.eE]{1,20}\s")
_PAM_NUMBERS = {b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"}
_PAM_TUPLES = re.compile(rb"TUPLTYPE (BLACKANDWHITE|GRAYSCALE|RGB|CMYK)(_ALPHA)?")
_SPACE = b" \t\n\v\f\r"
_MAX_TOKEN = 10


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a PNM.

    Comments are read as Pillow reads them: each includes the end of its line.

    Raises:
        ReadError: `not_strippable` for a broken header, or text in the raster of a plain one.
    """
    if encoded.startswith(b"P7\n"):
        return _pam(encoded)
    if (floats := _FLOATS.match(encoded)) is not None:
        length = 4 * int(floats[2]) * int(floats[3]) * (3 if floats[1] == b"F" else 1)
        return remove_bytes(floats.end() + length, len(encoded), "trailing bytes")
    header = _MAGIC.match(encoded)
    if header is None or header[1] not in {*_BYTES, *_PLAIN, b"P4"}:
        raise not_strippable("does not start as a PNM")
    magic, position, edits = header[1], header.end(), list[Edit]()
    numbers = []
    for _ in range(2 if magic in {b"P1", b"P4"} else 3):
        number, position, comments = _read_number(encoded, position)
        numbers.append(number)
        edits += comments
    if magic in _PLAIN:
        return edits + _plain_raster(encoded, position)
    width, height = numbers[:2]
    line = -(-width // 8) if magic == b"P4" else width * _BYTES[magic] * (2 if numbers[2] > 255 else 1)
    return edits + remove_bytes(position + line * height, len(encoded), "trailing bytes")


def _pam(encoded: bytes) -> list[Edit]:
    """Return the edits for a PAM, whose header is lines of words and numbers."""
    position, edits, numbers = 3, list[Edit](), dict[bytes, int]()
    while True:
        end = encoded.find(b"\n", position) + 1
        if not end:
            raise not_strippable("a PAM without a whole header")
        line = encoded[position : end - 1].strip()
        word, _, rest = line.partition(b" ")
        if line.startswith(b"#"):
            edits += remove_bytes(position, end, "comment")
        elif word in _PAM_NUMBERS and rest.strip().isdigit() and len(rest) <= _MAX_TOKEN:
            numbers[word] = int(rest)
        elif line and line != b"ENDHDR" and not _PAM_TUPLES.fullmatch(line):
            raise not_strippable("words in the header of a PAM")
        position = end
        if line == b"ENDHDR":
            break
    if numbers.keys() != _PAM_NUMBERS:
        raise not_strippable("a PAM without a whole header")
    length = numbers[b"WIDTH"] * numbers[b"HEIGHT"] * numbers[b"DEPTH"] * (2 if numbers[b"MAXVAL"] > 255 else 1)
    return edits + remove_bytes(position + length, len(encoded), "trailing bytes")


def _read_number(encoded: bytes, position: int) -> tuple[int, int, list[Edit]]:
    """Return the next number of the header, where the next one can start, and the edits for comments before it."""
    token, edits = b"", list[Edit]()
    while len(token) <= _MAX_TOKEN:
        byte = encoded[position : position + 1]
        if byte == b"#" and (comment := _COMMENT.match(encoded, position)):
            edits += remove_bytes(position, comment.end(), "comment")
            position = comment.end()
            continue
        position += 1
        if not byte or byte in _SPACE:
            if token or not byte:
                break
            continue
        token += byte
    if not token.isdigit():
        raise not_strippable("a PNM with a broken header")
    return int(token), position, edits


def _plain_raster(encoded: bytes, start: int) -> list[Edit]:
    """Return the edits for the comments of a raster in text, which may hold nothing else but numbers."""
    edits, position = [], start
    for comment in _COMMENT.finditer(encoded, start):
        _check_numbers(encoded[position : comment.start()])
        edits += remove_bytes(comment.start(), comment.end(), "comment")
        position = comment.end()
    _check_numbers(encoded[position:])
    return edits


def _check_numbers(raster: bytes) -> None:
    if raster.translate(None, b"0123456789" + _SPACE):
        raise not_strippable("words in the raster of a plain PNM")
