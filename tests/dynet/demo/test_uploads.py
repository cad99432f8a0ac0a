"""Uploads are read with their metadata or refused in one line; the page's folder keeps and removes files."""

import io
import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.demo import uploads
from dynet.demo.uploads import SECONDS_KEPT, PageFolder, UploadLimits, displayable_file, read_upload
from dynet.errors import ImageError

LIMITS = UploadLimits(0.5)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def crop(photographs: list[np.ndarray]) -> Image.Image:
    return Image.fromarray(photographs[0][:40, :60])


def _animation() -> bytes:
    frames = [Image.new("RGB", (20, 20), (shade, 0, 0)) for shade in (0, 100, 200)]
    return _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"hello", "not an image"),
    "empty file": (lambda: b"", "empty"),
    "animation": (_animation, "has 3 frames"),
    "too many pixels": (lambda: _saved(Image.new("L", (1000, 700)), "PNG"), "0.7 megapixels (1000 × 700)"),
    # 60 bytes that declare ten gigapixels
    "bomb": (lambda: _png(100_000, 100_000, 8, 2, b""), "megapixels"),
    "truncated": (lambda: _saved(Image.new("RGB", (300, 300), "red"), "PNG")[:-200], "trunc"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not an image"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_image_or_too_large_is_refused_in_one_line_with_its_name(tmp_path: Path, case: str) -> None:
    make, reason = REFUSED[case]
    path = tmp_path / "0123abcd.png"
    path.write_bytes(make())
    with pytest.raises(ImageError) as refusal:
        read_upload(path, "mine.png", LIMITS)
    message = str(refusal.value)
    assert message.startswith("mine.png: ")
    assert reason in message
    assert "\n" not in message
    assert str(tmp_path) not in message


def test_an_image_that_is_too_large_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(_saved(Image.new("L", (1000, 700)), "PNG"))
    monkeypatch.setattr("dynet.demo.uploads.read_image", lambda path: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="megapixels"):
        read_upload(path, "large.png", LIMITS)


def test_a_file_that_has_been_removed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^mine.png: No such file"):
        read_upload(tmp_path / "gone.png", "mine.png", LIMITS)


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    samples = (np.arange(6).reshape(2, 3) * 10_000 + 7).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    (tmp_path / "deep.png").write_bytes(_png(3, 2, 16, 0, rows))
    image = read_upload(tmp_path / "deep.png", "deep.png", LIMITS)
    assert np.array_equal(image.colour, samples.astype(np.uint16))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    (tmp_path / "print.jpg").write_bytes(_saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    image = read_upload(tmp_path / "print.jpg", "print.jpg", LIMITS)
    assert image.colour.shape == (16, 16, 3)
    assert (image.colour[..., 0] > 200).all()
    assert (image.colour[..., 1:] < 60).all()


def test_alpha_is_kept(tmp_path: Path) -> None:
    (tmp_path / "clear.png").write_bytes(_saved(Image.new("RGBA", (8, 8), (1, 2, 3, 77)), "PNG"))
    image = read_upload(tmp_path / "clear.png", "clear.png", LIMITS)
    assert image.alpha is not None
    assert (image.alpha == 77).all()


def test_a_rotated_photograph_is_turned_upright(tmp_path: Path, crop: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.png").write_bytes(_saved(crop, "PNG", exif=exif))
    image = read_upload(tmp_path / "turned.png", "turned.png", LIMITS)
    assert np.array_equal(image.colour, np.rot90(np.asarray(crop), -1))


def test_a_format_that_browsers_cannot_show_becomes_a_png_of_the_same_samples(tmp_path: Path) -> None:
    samples = np.arange(60, dtype=np.uint16).reshape(6, 10) * 1000 + 3
    path = tmp_path / "deep.tif"
    Image.fromarray(samples).save(path)
    (tmp_path / "new").mkdir()
    shown = displayable_file(path, read_upload(path, "deep.tif", LIMITS), tmp_path / "new")
    assert shown == tmp_path / "new" / "deep.png"
    assert np.array_equal(read_upload(shown, "deep.png", LIMITS).colour, samples)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_a_format_that_browsers_can_show_is_shown_unchanged(tmp_path: Path, crop: Image.Image, kind: str) -> None:
    path = tmp_path / f"crop.{kind.lower()}"
    path.write_bytes(_saved(crop, kind))
    assert displayable_file(path, read_upload(path, path.name, LIMITS), tmp_path) == path


def test_an_image_at_the_limit_also_fits_as_a_file(tmp_path: Path) -> None:
    limits = UploadLimits(0.01)
    path = tmp_path / "deep.tif"
    Image.fromarray(np.zeros((100, 100), np.uint16)).save(path)
    read_upload(path, "deep.tif", limits)
    assert 100 * 100 * 4 * 2 <= limits.file_bytes < 2 * 2**20


def test_old_files_are_removed_except_those_of_the_beginning(tmp_path: Path) -> None:
    folder = PageFolder(tmp_path)
    (tmp_path / "first.png").write_bytes(b"x")
    folder.keep_present_files()
    with folder.new_folder() as new:
        (new / "old.png").write_bytes(b"x")
        (new / "new.png").write_bytes(b"x")
    for path, age in ((tmp_path / "first.png", 2), (new / "old.png", 1), (new / "new.png", 0.9)):
        os.utime(path, times=(path.stat().st_mtime - age * SECONDS_KEPT - 1,) * 2)
    folder.remove_old()
    assert {path.name for path in tmp_path.rglob("*.png")} == {"first.png", "new.png"}


def test_a_full_folder_takes_nothing_until_its_files_are_old(tmp_path: Path) -> None:
    folder = PageFolder(tmp_path, total_bytes=1000)
    with folder.room_for(600) as first, folder.room_for(401) as second:  # at the same time
        assert (first, second) == (True, False)
    with folder.room_for(1000) as alone:
        assert alone
    with folder.new_folder() as new:
        (new / "large.png").write_bytes(bytes(1001))
    with folder.room_for(0) as has_room:
        assert not has_room
    with pytest.raises(ImageError, match="no room"), folder.new_folder():
        pass
    os.utime(new / "large.png", times=(0, 0))
    os.utime(new, times=(0, 0))
    with folder.room_for(1000) as has_room:
        assert has_room
    os.utime(new, times=(0, 0))  # it changed when its file went
    folder.remove_old()
    assert list(tmp_path.iterdir()) == []


def test_many_small_files_fill_a_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "TOTAL_FILES", 3)
    for number in range(3):
        with PageFolder(tmp_path).room_for(1) as has_room:
            assert has_room
        (tmp_path / str(number)).touch()
    with PageFolder(tmp_path).room_for(1) as has_room:
        assert not has_room


def test_old_files_go_while_nobody_uses_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SECONDS_BETWEEN_SWEEPS", 0.01)
    (tmp_path / "old.png").touch()
    os.utime(tmp_path / "old.png", times=(0, 0))
    ended = threading.Event()
    sweeper = threading.Thread(target=PageFolder(tmp_path).sweep_until, args=(ended,))
    sweeper.start()
    for _ in range(1000):
        if not (tmp_path / "old.png").exists():
            break
        ended.wait(0.01)
    ended.set()
    sweeper.join(30)
    assert not (tmp_path / "old.png").exists()


def test_close_waits_for_the_present_writer_and_allows_no_other(tmp_path: Path) -> None:
    folder = PageFolder(tmp_path)
    writing, proceed = threading.Event(), threading.Event()

    def write() -> None:
        with folder.new_folder() as new:
            writing.set()
            proceed.wait(30)
            (new / "late.png").write_bytes(b"x")

    writer = threading.Thread(target=write)
    writer.start()
    assert writing.wait(30)
    closing = threading.Thread(target=folder.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    proceed.set()
    closing.join(30)
    assert [path.name for path in tmp_path.rglob("*.png")] == ["late.png"]
    with pytest.raises(ImageError, match="ended"), folder.new_folder():
        pass
    writer.join()
