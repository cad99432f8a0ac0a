"""Pictures as people have them, and files that are none: read with what belongs to them, or refused in one line."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.demo.uploads import Limits, as_shown, read_upload
from dynet.errors import PictureError

LIMITS = Limits(0.5)


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
    "text": (lambda: b"hello", "not a picture"),
    "nothing": (lambda: b"", "empty"),
    "animation": (_animation, "has 3 frames"),
    "too many pixels": (lambda: _saved(Image.new("L", (1000, 700)), "PNG"), "0.7 megapixels (1000 × 700)"),
    # 60 bytes that say that they are ten gigapixels
    "bomb": (lambda: _png(100_000, 100_000, 8, 2, b""), "megapixels"),
    "cut off": (lambda: _saved(Image.new("RGB", (300, 300), "red"), "PNG")[:-200], "trunc"),
    "vectors": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a picture"),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_picture_or_too_large_is_refused_in_one_line_with_its_name(tmp_path: Path, what: str) -> None:
    make, said = REFUSED[what]
    path = tmp_path / "0123abcd.png"
    path.write_bytes(make())
    with pytest.raises(PictureError) as refusal:
        read_upload(path, "mine.png", LIMITS)
    message = str(refusal.value)
    assert message.startswith("mine.png: ")
    assert said in message
    assert "\n" not in message
    assert str(tmp_path) not in message


def test_a_picture_that_is_too_large_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(_saved(Image.new("L", (1000, 700)), "PNG"))
    monkeypatch.setattr("dynet.demo.uploads.read_picture", lambda path: pytest.fail("decoded"))
    with pytest.raises(PictureError, match="megapixels"):
        read_upload(path, "large.png", LIMITS)


def test_a_file_that_has_been_removed_is_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"^mine.png: No such file"):
        read_upload(tmp_path / "gone.png", "mine.png", LIMITS)


def test_sixteen_bits_stay(tmp_path: Path) -> None:
    samples = (np.arange(6).reshape(2, 3) * 10_000 + 7).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    (tmp_path / "deep.png").write_bytes(_png(3, 2, 16, 0, rows))
    picture = read_upload(tmp_path / "deep.png", "deep.png", LIMITS)
    assert np.array_equal(picture.colour, samples.astype(np.uint16))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    (tmp_path / "print.jpg").write_bytes(_saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    picture = read_upload(tmp_path / "print.jpg", "print.jpg", LIMITS)
    assert picture.colour.shape == (16, 16, 3)
    assert (picture.colour[..., 0] > 200).all()
    assert (picture.colour[..., 1:] < 60).all()


def test_alpha_is_kept(tmp_path: Path) -> None:
    (tmp_path / "clear.png").write_bytes(_saved(Image.new("RGBA", (8, 8), (1, 2, 3, 77)), "PNG"))
    picture = read_upload(tmp_path / "clear.png", "clear.png", LIMITS)
    assert picture.alpha is not None
    assert (picture.alpha == 77).all()


def test_a_turned_photograph_stands_upright(tmp_path: Path, crop: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.png").write_bytes(_saved(crop, "PNG", exif=exif))
    picture = read_upload(tmp_path / "turned.png", "turned.png", LIMITS)
    assert np.array_equal(picture.colour, np.rot90(np.asarray(crop), -1))


def test_what_browsers_cannot_show_is_shown_as_a_png_of_the_same_samples(tmp_path: Path) -> None:
    samples = np.arange(60, dtype=np.uint16).reshape(6, 10) * 1000 + 3
    path = tmp_path / "deep.tif"
    Image.fromarray(samples).save(path)
    (tmp_path / "made").mkdir()
    shown = as_shown(path, read_upload(path, "deep.tif", LIMITS), tmp_path / "made")
    assert shown == tmp_path / "made" / "deep.png"
    assert np.array_equal(read_upload(shown, "deep.png", LIMITS).colour, samples)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_what_browsers_can_show_is_shown_as_it_is(tmp_path: Path, crop: Image.Image, kind: str) -> None:
    path = tmp_path / f"crop.{kind.lower()}"
    path.write_bytes(_saved(crop, kind))
    assert as_shown(path, read_upload(path, path.name, LIMITS), tmp_path) == path


def test_a_picture_at_the_limit_fits_as_a_file_too(tmp_path: Path) -> None:
    limits = Limits(0.01)
    path = tmp_path / "deep.tif"
    Image.fromarray(np.zeros((100, 100), np.uint16)).save(path)
    read_upload(path, "deep.tif", limits)
    assert 100 * 100 * 4 * 2 <= limits.file_bytes < 2 * 2**20
