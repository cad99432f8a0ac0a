import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from dynet.data import libwebp
from dynet.data.partial_decode import draw_crop_position, open_image
from dynet.errors import DataError

SHARED = Path(os.environ.get("MILLION_IRD_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
HOSTILE = SHARED / "hostile"
ORIENTATION = 0x0112


def as_pillow_has_it(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as file:
        upright = ImageOps.exif_transpose(file)
        if upright.mode.startswith("I"):  # which Pillow would make white
            return np.repeat(np.rint(np.asarray(upright, np.float64) / 257).astype(np.uint8)[..., None], 3, axis=2)
        if upright.mode == "F":  # which Pillow would make black
            raise ValueError("floating-point samples")
        return np.array(upright.convert("RGB"))


def saved(image: Image.Image, kind: str, turn: int = 1, **options: object) -> bytes:
    buffer = io.BytesIO()
    if turn != 1:
        exif = Image.Exif()
        exif[ORIENTATION] = turn
        options["exif"] = exif
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def interlaced(pixels: np.ndarray) -> bytes:
    """An Adam7 PNG of (H, W, 3), which Pillow reads but does not write."""
    height, width = pixels.shape[:2]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = [b"\0" + row.tobytes() for x, y, across, down in passes for row in pixels[y::down, x::across]]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return png_of((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    told = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


def turned_after_the_pixels(encoded: bytes, turn: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    chunk = png_of((b"eXIf", exif.tobytes()[6:]))[8:]
    return encoded[:-12] + chunk + encoded[-12:]


@pytest.fixture(scope="module")
def photo(photographs: list[np.ndarray]) -> Image.Image:
    """Odd sides, so that no block of any format fits."""
    return Image.fromarray(photographs[0][40:239, 60:217])


JPEG = {
    "": {},
    "444": {"subsampling": "4:4:4"},
    "422": {"subsampling": "4:2:2"},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 1},
    "rough": {"quality": 15, "optimize": True},
}
MODES = {
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA", "L"),
    "TIFF": ("RGB", "CMYK", "L", "I;16"),
    "BMP": ("RGB", "L"),
    "GIF": ("P",),
    "PPM": ("RGB",),
}


def ways_to_store(photo: Image.Image) -> dict[str, bytes]:
    found = {f"{kind} {mode}": saved(_in(photo, mode), kind) for kind, modes in MODES.items() for mode in modes}
    found |= {f"JPEG {name} {mode}": saved(photo.convert(mode), "JPEG", **options)
              for name, options in JPEG.items() for mode in ("RGB", "L", "CMYK")}  # fmt: skip
    found |= {f"WEBP lossless {mode}": saved(_in(photo, mode), "WEBP", lossless=True) for mode in ("RGB", "RGBA")}
    found |= {f"JPEG turn {turn}": saved(photo, "JPEG", turn, quality=90) for turn in range(2, 9)}
    found |= {f"{kind} turn {turn}": saved(photo, kind, turn) for kind in ("PNG", "WEBP", "TIFF") for turn in (3, 6)}
    found |= {"WEBP lossless turn 6": saved(photo, "WEBP", 6, lossless=True)}
    found |= {"PNG turn 8 late": turned_after_the_pixels(saved(photo, "PNG"), 8)}
    found |= {"PNG interlaced": interlaced(np.asarray(photo))}
    found |= {"PNG P see-through": saved(photo.convert("P"), "PNG", transparency=3)}
    found |= {"PNG small chunks": split_idat(saved(photo, "PNG"))}
    found |= {"PNG animated": saved(photo, "PNG", save_all=True, append_images=[ImageOps.flip(photo)])}
    return found


def split_idat(encoded: bytes) -> bytes:
    start = encoded.index(b"IDAT") - 4
    data = encoded[start + 8 : encoded.index(b"IEND") - 8]
    assert len(data) == int.from_bytes(encoded[start : start + 4], "big")
    parts = [(b"IDAT", data[at : at + 100]) for at in range(0, len(data), 100)]
    return encoded[:start] + png_of(*parts, (b"IEND", b""))[8:]


def _in(photo: Image.Image, mode: str) -> Image.Image:
    if mode in ("RGBA", "LA"):
        clear = photo.convert("L").point(lambda level: 0 if level < 90 else level)
        seen = photo.convert(mode)
        seen.putalpha(clear)
        return seen
    if mode == "I;16":
        return Image.fromarray((np.asarray(photo.convert("L")).astype(np.uint16) * 257) ^ 0x5A)
    return photo.convert(mode)


def places(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width: corners, edges, a pixel, the whole, and pieces anywhere."""
    random = np.random.default_rng(height * width)
    found = [(0, 0, 1, 1), (height - 1, width - 1, 1, 1), (0, 0, height, width), (height // 2, 0, 1, width)]
    for _ in range(12):
        tall, wide = int(random.integers(1, height + 1)), int(random.integers(1, width + 1))
        found.append((int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1)), tall, wide))
    return found


def same_everywhere(encoded: bytes, name: str) -> None:
    whole, stored = as_pillow_has_it(encoded), open_image(encoded, name)
    assert (stored.height, stored.width, 3) == whole.shape, name
    for top, left, height, width in places(*whole.shape[:2]):
        piece = stored.region(top, left, height, width)
        assert piece.dtype == np.uint8
        assert piece.flags.writeable
        assert np.array_equal(piece, whole[top : top + height, left : left + width]), (name, top, left, height, width)


def test_a_region_equals_pillows_in_every_format(photo: Image.Image) -> None:
    for name, encoded in ways_to_store(photo).items():
        same_everywhere(encoded, name)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (16, 16), (17, 33), (64, 15)])
def test_regions_of_images_of_every_shape_equal_pillows(photographs: list[np.ndarray], size: tuple[int, int]) -> None:
    small = Image.fromarray(photographs[1][30 : 30 + size[0], 50 : 50 + size[1]])
    for kind, options in (("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("WEBP", {"lossless": True})):
        same_everywhere(saved(small, kind, **options), f"{kind} {size}")


def test_without_libwebp_pillow_decodes_the_whole_image(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = saved(photo, "WEBP", lossless=True)
    monkeypatch.setattr(libwebp, "available", lambda: False)
    monkeypatch.setattr(libwebp, "crop", None)
    same_everywhere(encoded, "whole")


def test_libwebp_is_called_on_this_machine() -> None:
    """Where this fails, pieces of million_ird's patches cost a whole decode: right, but slower."""
    assert libwebp.available()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_rows_below_the_region_are_not_decoded(photo: Image.Image, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    stored = open_image(saved(photo, kind), "photo")
    heights, opened = [], Image.open

    def noted(file: io.BytesIO) -> Image.Image:
        image = opened(file)
        heights.append(image.height)
        return image

    monkeypatch.setattr(Image, "open", noted)
    stored.region(8, 0, 8, 8)
    assert heights == [{"PNG": 16, "JPEG": 32}[kind]]


def test_damage_below_the_region_does_not_matter(photo: Image.Image) -> None:
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        whole = saved(photo, kind, **options)
        broken = bytearray(whole)
        broken[-3000:-2000] = bytes(1000)
        stored = open_image(bytes(broken), "torn.png")
        assert np.array_equal(stored.region(0, 0, 20, 30), as_pillow_has_it(whole)[:20, :30])
    with pytest.raises(DataError, match=r"^torn\.png cannot be decoded: .+$"):
        open_image(saved(photo, "PNG")[:-3000] + bytes(1000), "torn.png").region(0, 0, *photo.size[::-1])


def test_a_truncated_file_is_a_one_line_error_for_any_region(photo: Image.Image) -> None:
    for kind, options in (("PNG", {}), ("JPEG", {}), ("WEBP", {"lossless": True}), ("WEBP", {}), ("TIFF", {})):
        encoded = saved(photo, kind, **options)
        for part in (0.02, 0.5, 0.9):
            with pytest.raises(DataError, match=r"^a/b\.img (cannot be decoded: .+|is not an image that can be read)$"):
                open_image(encoded[: int(part * len(encoded))], "a/b.img").region(0, 0, 157, 157)


def test_a_file_that_is_missing_or_no_image_is_a_one_line_error(tmp_path: Path) -> None:
    for encoded in (b"", b"RIFF", b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"words"):
        with pytest.raises(DataError, match=r"^row 3 [^\n]+$"):
            open_image(encoded, "row 3").region(0, 0, 1, 1)
    with pytest.raises(DataError, match=r"^there\.png cannot be read: No such file or directory$"):
        open_image(tmp_path / "there.png", "there.png")


def test_floating_point_samples_are_refused_and_not_made_black() -> None:
    encoded = saved(Image.fromarray(np.full((8, 8), 0.5, np.float32)), "TIFF")
    with pytest.raises(DataError, match=r"^a\.tif cannot be decoded: its samples are floating-point numbers"):
        open_image(encoded, "a.tif").region(0, 0, 8, 8)


def test_an_image_that_is_too_small_is_named_with_its_size(photo: Image.Image) -> None:
    with pytest.raises(DataError, match=r"^tiny\.png has 157x199 pixels, too few for crop: 160$"):
        draw_crop_position(open_image(saved(photo, "PNG"), "tiny.png"), 160, np.random.default_rng(0))


def test_an_image_too_large_for_pillow_is_an_error(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [saved(photo, kind) for kind in ("PNG", "JPEG")] + [saved(photo, "WEBP", lossless=True)]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 157 * 199 // 2 - 1)
    for encoded in stored:
        with pytest.raises(DataError, match=r"^bomb cannot be decoded: Image size \(31243 pixels\) exceeds limit"):
            open_image(encoded, "bomb").region(0, 0, 1, 1)


def test_a_header_with_a_wrong_checksum_is_not_repaired(photo: Image.Image) -> None:
    encoded = bytearray(saved(photo, "PNG"))
    encoded[30] ^= 1
    with pytest.raises(DataError, match=r"^torn is not an image that can be read$"):
        open_image(bytes(encoded), "torn").region(0, 0, 1, 1)


def test_a_region_outside_the_image_is_an_error(photo: Image.Image) -> None:
    stored = open_image(saved(photo, "PNG"), "photo")
    for place in ((-1, 0, 5, 5), (0, -1, 5, 5), (195, 0, 5, 5), (0, 153, 5, 5), (0, 0, 0, 5)):
        with pytest.raises(ValueError, match="is not inside 199x157"):
            stored.region(*place)


def test_positions_are_drawn_uniformly(photo: Image.Image) -> None:
    random, stored = np.random.default_rng(1), open_image(saved(photo, "PNG"), "photo")
    drawn = np.array([draw_crop_position(stored, 155, random) for _ in range(9000)])
    assert set(drawn[:, 0]) == set(range(45))
    assert set(drawn[:, 1]) == set(range(3))
    counts = np.bincount(drawn[:, 0] * 3 + drawn[:, 1])
    expected = 9000 / 135
    assert ((counts - expected) ** 2 / expected).sum() < 134 + 6 * (2 * 134) ** 0.5


def test_a_share_of_the_positions_is_on_the_grid_of_jpeg(photo: Image.Image) -> None:
    random, stored = np.random.default_rng(1), open_image(saved(photo, "PNG"), "photo")
    drawn = np.array([draw_crop_position(stored, 100, random, 0.5) for _ in range(2000)])
    assert 0.47 < np.mean((drawn % 8 == 0).all(axis=1)) < 0.55
    assert set(drawn[:, 1]) == set(range(58))
    always = np.array([draw_crop_position(stored, 100, random, 1) for _ in range(200)])
    assert set(always[:, 1]) == set(range(0, 58, 8))


def test_a_file_and_its_bytes_give_the_same(photo: Image.Image, tmp_path: Path) -> None:
    encoded = saved(photo, "JPEG")
    (tmp_path / "a.jpg").write_bytes(encoded)
    pieces = [open_image(given, "a").region(3, 4, 50, 50) for given in (encoded, tmp_path / "a.jpg")]
    assert np.array_equal(*pieces)


def whole_of(encoded: bytes, name: str) -> np.ndarray:
    stored = open_image(encoded, name)
    return stored.region(0, 0, stored.height, stored.width)


def _as_pillow_does(path: Path) -> None:
    encoded = path.read_bytes()
    try:
        whole = as_pillow_has_it(encoded)
    except Exception:
        with pytest.raises(DataError, match=r"^[^\n]+$"):
            whole_of(encoded, path.name)
        return
    if whole.size < 3e7:
        same_everywhere(encoded, path.name)


def _each_file(folder: str, check: Callable[[Path], None]) -> None:
    if not (HOSTILE / folder).is_dir():
        pytest.skip(f"{HOSTILE / folder} is not there")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted((HOSTILE / folder).iterdir()):
            check(path)


def test_regions_of_the_png_suite_equal_pillows() -> None:
    _each_file("pngsuite", _as_pillow_does)


def test_regions_of_real_files_in_eight_orientations_equal_pillows() -> None:
    _each_file("exif_orientation", _as_pillow_does)


@pytest.mark.full
@pytest.mark.parametrize("folder", ["gofuzz", "pillow", "zune", "avif"])
def test_damaged_and_rare_files_behave_as_with_pillow(folder: str) -> None:
    _each_file(folder, _as_pillow_does)
