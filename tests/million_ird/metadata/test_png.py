"""PNG: image data and all chunks that change how the image looks stay the same bytes."""

import pytest
from PIL import PngImagePlugin

from million_ird.errors import ReadError
from million_ird.metadata import png
from million_ird.metadata.strip import list_private, strip_metadata
from tests.million_ird.metadata.file_parts import SECRET, chunk, exif, saved
from tests.million_ird.metadata.secret_files import SECRET_FILES

LOOKS = b"gAMA cHRM sRGB cICP sBIT bKGD pHYs hIST sPLT mDCV cLLI".split()


def kept_chunks(encoded: bytes) -> list[bytes]:
    return [encoded[c.start : c.stop] for c in png._chunks(encoded) if c.kind in png._KEPT]


@pytest.mark.parametrize("name", ["png", "apng"])
def test_all_chunks_that_change_how_the_image_looks_are_the_same_bytes(name: str) -> None:
    encoded = SECRET_FILES[name]().encoded
    assert kept_chunks(strip_metadata(encoded, "PNG")) == kept_chunks(encoded)


def test_colour_chunks_stay() -> None:
    plain = saved("PNG")
    encoded = plain[:33] + b"".join(chunk(kind, bytes(9)) for kind in LOOKS) + plain[33:]
    assert list_private(encoded, "PNG") == []


def test_a_hexadecimal_profile_is_read_for_its_orientation() -> None:
    block = exif(3).tobytes()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type exif", f"\nexif\n{len(block)}\n{block.hex()}", zip=True)
    stripped = strip_metadata(saved("PNG", pnginfo=texts), "PNG")
    assert [c.kind for c in png._chunks(stripped)].count(b"eXIf") == 1
    assert b"Raw profile" not in stripped


def test_a_text_that_inflates_to_a_huge_size_is_not_inflated_whole() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type exif", "00" * 20_000_000, zip=True)
    plain = saved("PNG")
    assert strip_metadata(saved("PNG", pnginfo=texts), "PNG") == plain


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (lambda b: b[:-12], "without an end"),
        (lambda b: b[:33] + chunk(b"CgBI", b"1234") + b[33:], "unknown critical"),
        (lambda b: b[:-12] + chunk(b"tEXt", SECRET) + chunk(b"IDAT", b"") + b[-12:], "not in one run"),
    ],
)
def test_a_broken_chain_is_refused(damage: object, detail: str) -> None:
    with pytest.raises(ReadError, match=f"not_strippable: .*{detail}"):
        strip_metadata(damage(saved("PNG")), "PNG")  # type: ignore[operator]
