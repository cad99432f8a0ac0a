"""GIF: a chain of blocks. Comments, plain text and unknown application extensions are removed.

Kept are images, graphic controls, the loop counts (NETSCAPE, ANIMEXTS) and an ICC profile.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from million_ird.metadata.edits import Edit, not_strippable, remove_bytes

_START = re.compile(rb"[!,;]")
_GRAPHIC, _COMMENT, _PLAIN, _APPLICATION = 0xF9, 0xFE, 0x01, 0xFF
_EXTENSIONS = {_GRAPHIC, _COMMENT, _PLAIN, _APPLICATION}
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_PROFILE = b"ICCRGBG1012"
_MAX_LOOP_BYTES = 32
"""Bytes of a loop extension: 3 of the block, 11 of the name, one or two short sub-blocks."""


class _GifBlock(NamedTuple):
    kind: int
    """The byte it starts with, or an extension's label + 256; -1 for bytes after the end."""
    start: int
    stop: int


def find_private(encoded: bytes) -> list[Edit]:
    """Return the edits that remove private metadata from a GIF.

    Raises:
        ReadError: `not_strippable` if the file does not start as a GIF, or has bytes between its blocks or an unknown
            extension: image data with wrong lengths looks like that, and decoders continue behind it.
    """
    edits = []
    for block in _blocks(encoded):
        if name := _private_name(encoded, block):
            edits += remove_bytes(block.start, block.stop, name)
    return edits


def _private_name(encoded: bytes, block: _GifBlock) -> str | None:
    """Return the name of what a block holds; None for a block that stays."""
    if block.kind < 0:
        return "trailing bytes"
    if block.kind < 256 or block.kind == 256 + _GRAPHIC:
        return None
    if block.kind == 256 + _APPLICATION:
        name = encoded[block.start + 3 : block.start + 14]
        short = block.stop - block.start <= _MAX_LOOP_BYTES
        kept = name == _PROFILE or (name in _LOOPS and short)
        return None if kept else ("XMP" if name.startswith(b"XMP Data") else "application extension")
    return "comment" if block.kind == 256 + _COMMENT else "plain text"


def _blocks(encoded: bytes) -> Iterator[_GifBlock]:
    if encoded[:6] not in {b"GIF87a", b"GIF89a"} or len(encoded) < 13:
        raise not_strippable("does not start as a GIF")
    position = 13 + _palette_bytes(encoded[10])
    while match := _START.search(encoded, position):
        start = match.start()
        kind = encoded[start]
        if encoded[position:start].strip(b"\0") or (kind == ord("!") and encoded[start + 1] not in _EXTENSIONS):
            raise not_strippable("bytes between the blocks of a GIF")
        if kind == ord(";"):
            if start + 1 < len(encoded):
                yield _GifBlock(-1, start + 1, len(encoded))
            return
        if kind == ord("!"):
            kind, body = 256 + encoded[start + 1], start + 2
        else:
            body = start + 11 + _palette_bytes(encoded[start + 9])
        position = _sub_blocks_end(encoded, body)
        yield _GifBlock(kind, start, position)
    if position < len(encoded):
        yield _GifBlock(-1, position, len(encoded))


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks_end(encoded: bytes, position: int) -> int:
    """Return where a chain of sub-blocks ends; a chain that is cut off ends with the file."""
    length = len(encoded)
    while position < length and (size := encoded[position]):
        position += size + 1
    return min(position + 1, length)
