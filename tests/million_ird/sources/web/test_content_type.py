"""First bytes that are clearly not an image, and those that may be one."""

import io

import numpy as np
import pytest
from PIL import Image

from million_ird.sources.web.content_type import HEAD_BYTES, foreign_type


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\n\n  <HTML lang=en>", "HTML"),
        (b"<div>not found</div>", "HTML or XML"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg", "XML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "SVG"),
        ("<html>".encode("utf-16"), "HTML"),
        (b'{"error": "not found"}', "JSON"),
        (b"[1, 2]", "JSON"),
        (b"Not Found", "text"),
        ("Seite nicht verfügbar, bitte später".encode(), "text"),
        (("ü" * 300).encode()[:HEAD_BYTES - 1], "text"),
        (b"%PDF-1.7", "PDF"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", "MP4 or QuickTime video"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ", "MP4 or QuickTime video"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "AVI video"),
        (b"\x1aE\xdf\xa3\x01\x00", "Matroska or WebM video"),
        (b"PK\x03\x04\x14\x00", "a zip archive"),
        (b"\x1f\x8b\x08\x00\x00", "a gzip file"),
    ],
)  # fmt: skip
def test_other_types_are_detected(head: bytes, kind: str) -> None:
    assert foreign_type(head) == kind


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF", "BMP", "PPM", "TGA", "SGI", "PCX", "ICO", "QOI"]
)
def test_images_of_every_format_pass(kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    file = io.BytesIO()
    try:
        Image.fromarray(pixels).save(file, kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {kind}")
    assert foreign_type(file.getvalue()[:HEAD_BYTES]) is None


@pytest.mark.parametrize(
    "head",
    [
        b"P3\n2 2\n255\n0 0 0 1 1 1 2 2 2 3 3 3\n",
        b"P1\n# drawn by hand\n2 2\n0 1 1 0\n",
        b"PF\n2 2\n-1.0\n\x00\x00",
        b"8BPS\x00\x01",
        b"qoif\x00\x00\x00\x02",
        b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic",
        b"\x00\x00\x00\x20ftypmsf1\x00\x00\x00\x00avifmif1miafMA1B",
        b"\x00\x00\x02\x00" + bytes(12) + b"\x10\x00\x10\x00\x18\x00",
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
        b"",
    ],
)
def test_images_that_resemble_other_types_pass(head: bytes) -> None:
    assert foreign_type(head) is None
