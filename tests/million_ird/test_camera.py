"""Copies that a camera names: the column, and which of two equal copies stays."""

import io
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from million_ird.images.header import read_header
from million_ird.ledger import load
from million_ird.runtime.storage import Folder
from tests.million_ird import scenes

MAKE, MODEL, SOFTWARE = 0x010F, 0x0110, 0x0131


def coded(form: str, tags: dict[int, str], **options: object) -> bytes:
    exif = Image.Exif()
    for tag, text in tags.items():
        exif[tag] = text
    file = io.BytesIO()
    scenes.photograph(7).save(file, form, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("tags", "camera"),
    [({MAKE: "Maker"}, True), ({MODEL: "X-100"}, True), ({MAKE: "  "}, False), ({SOFTWARE: "Editor"}, False)],
)
def test_the_maker_or_the_model_names_a_camera(form: str, tags: dict[int, str], camera: bool) -> None:
    assert read_header(coded(form, tags)).camera is camera


def test_a_broken_exif_block_names_none() -> None:
    whole = coded("JPEG", {MAKE: "Maker"})
    at = whole.index(b"Exif\0\0")
    assert read_header(whole[: at + 6] + b"\xff" * 8 + whole[at + 14 :]).camera is False


def test_of_equal_pixels_the_copy_that_a_camera_names_stays(tmp_path: Path) -> None:
    longer = PngInfo()
    longer.add_text("comment", "text " * 2000)
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.png").write_bytes(coded("PNG", {SOFTWARE: "Editor"}, pnginfo=longer))
    (source / "b.png").write_bytes(coded("PNG", {MAKE: "Maker"}))
    scenes.make(source, tmp_path / "out", scenes.recipe(gates=[]))
    rows = {row["uri"]: row for row in load(Folder(str(tmp_path / "out"))).to_pylist()}
    assert (rows["b.png"]["verdict"], rows["b.png"]["camera"]) == ("kept", 1)
    assert (rows["a.png"]["reason"], rows["a.png"]["bytes"] > rows["b.png"]["bytes"]) == ("duplicate_pixels", True)
