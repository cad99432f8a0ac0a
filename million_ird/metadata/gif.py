"""GIF: a chain of blocks. Comments, plain text and foreign application extensions go.

Kept are images, graphic controls, the loop counts (NETSCAPE, ANIMEXTS) and an ICC profile.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from million_ird.metadata.edits import Edit, cut, not_strippable

_START = re.compile(rb"[!,;]")
_GRAPHIC, _COMMENT, _PLAIN, _APPLICATION = 0xF9, 0xFE, 0x01, 0xFF
_EXTENSIONS = {_GRAPHIC, _COMMENT, _PLAIN, _APPLICATION}
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_PROFILE = b"ICCRGBG1012"
_LOOP_AT_MOST = 32
"""Bytes of a loop extension: 3 of the block, 11 of the name, one or two short sub-blocks."""


class _Block(NamedTuple):
    kind: int
    """The byte it starts with, or an extension's label + 256; -1 for what follows the end."""
    start: int
    stop: int


def find(encoded: bytes) -> list[Edit]:
    """What of a GIF is private.

    Raises:
        ReadError: `not_strippable` for what does not start as a GIF, and for bytes between the blocks or an unknown
            extension: image data of wrong lengths looks like that, and decoders read on.
    """
    edits = []
    for block in _blocks(encoded):
        if name := _private(encoded, block):
            edits += cut(block.start, block.stop, name)
    return edits


def _private(encoded: bytes, block: _Block) -> str | None:
    if block.kind < 0:
        return "trailing bytes"
    if block.kind < 256 or block.kind == 256 + _GRAPHIC:
        return None
    if block.kind == 256 + _APPLICATION:
        name = encoded[block.start + 3 : block.start + 14]
        short = block.stop - block.start <= _LOOP_AT_MOST
        kept = name == _PROFILE or (name in _LOOPS and short)
        return None if kept else ("XMP" if name.startswith(b"XMP Data") else "application extension")
    return "comment" if block.kind == 256 + _COMMENT else "plain text"


def _blocks(encoded: bytes) -> Iterator[_Block]:
    if encoded[:6] not in {b"GIF87a", b"GIF89a"} or len(encoded) < 13:
        raise not_strippable("does not start as a GIF")
    at = 13 + _table(encoded[10])
    while match := _START.search(encoded, at):
        start = match.start()
        kind = encoded[start]
        if encoded[at:start].strip(b"\0") or (kind == ord("!") and encoded[start + 1] not in _EXTENSIONS):
            raise not_strippable("bytes between the blocks of a GIF")
        if kind == ord(";"):
            if start + 1 < len(encoded):
                yield _Block(-1, start + 1, len(encoded))
            return
        if kind == ord("!"):
            kind, body = 256 + encoded[start + 1], start + 2
        else:
            body = start + 11 + _table(encoded[start + 9])
        at = _sub_blocks_end(encoded, body)
        yield _Block(kind, start, at)
    if at < len(encoded):
        yield _Block(-1, at, len(encoded))


def _table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks_end(encoded: bytes, at: int) -> int:
    """Where a chain of sub-blocks ends; a chain that is cut off ends with the file."""
    length = len(encoded)
    while at < length and (size := encoded[at]):
        at += size + 1
    return min(at + 1, length)
