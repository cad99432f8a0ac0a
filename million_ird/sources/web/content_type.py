"""Detects by the first bytes what is clearly not an image, whatever name or Content-Type say."""

import codecs

HEAD_BYTES = 512
"""Bytes that are enough to decide."""

_STARTS = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"\x00\x00\x01\xba", "MPEG video"),
    (b"\x00\x00\x01\xb3", "MPEG video"),
    (b"FLV\x01", "Flash video"),
    (b"OggS", "Ogg audio or video"),
    (b"ID3", "MP3 audio"),
    (b"fLaC", "FLAC audio"),
    (b"PK\x03\x04", "a zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b\x08", "a gzip file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"BZh", "a bzip2 file"),
    (b"\x7fELF", "a program"),
    (b"\x00asm", "a WebAssembly program"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"OTTO", "a font"),
)
_RIFF = {b"AVI ": "AVI video", b"WAVE": "WAV audio"}
_STILL = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"jxl ")
"""Brands of the ISO base media format for still images."""
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_MARKUP = ((b"<svg", "SVG"), (b"<!doctype html", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"))
_CONTROLS = frozenset(range(32)) - {9, 10, 12, 13}


def foreign_type(head: bytes) -> str | None:
    """Return the type of a file by its first bytes if it is clearly not an image; None if it may be one.

    Unknown binary data passes, because some image formats (TGA) have no signature.
    """
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp" and not any(brand in _STILL for brand in _brands(head)):
        return "MP4 or QuickTime video"
    return _text(head)


def _brands(head: bytes) -> list[bytes]:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[start : start + 4] for start in range(16, end - 3, 4))]


def _text(head: bytes) -> str | None:
    if not head or _is_text_image(head):
        return None
    marked = head.startswith(_BOMS)
    start = (head.lstrip(b"".join(_BOMS)).replace(b"\x00", b"") if marked else head).lstrip()[:64].lower()
    if start.startswith(b"<"):
        return next((kind for mark, kind in _MARKUP if start.startswith(mark)), "HTML or XML")
    if not marked and not _is_utf8(head):
        return None
    return "JSON" if start.startswith((b"{", b"[")) else "text"


def _is_text_image(head: bytes) -> bool:
    """Return whether it is a portable anymap or Radiance image: they begin with text, or are all text."""
    return (head[:1] == b"P" and head[1:2] in b"1234567fF" and head[2:3].isspace()) or head.startswith(b"#?R")


def _is_utf8(head: bytes) -> bool:
    if _CONTROLS.intersection(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # a character may be cut off at the end
    except UnicodeDecodeError:
        return False
    return True
