"""What is read is what is written: alpha, depth, profile and metadata."""

import contextlib
import os
import resource
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from dynet.errors import PictureError
from dynet.inference.encoding import LIKE_INPUT, Encoding
from dynet.inference.images import Picture, read_picture, write_picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def photo(photographs: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(photographs[1][:37, :53])


def _round_trip(path: Path) -> Picture:
    """The picture written untouched to a file beside it, and read again."""
    picture = read_picture(path)
    copy = path.with_name(f"copy{LIKE_INPUT.suffix(picture, path.suffix)}")
    write_picture(copy, picture.with_rgb(picture.as_rgb()))
    return read_picture(copy)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_eight_bit_modes_come_back_exactly(tmp_path: Path, photo: np.ndarray, mode: str, suffix: str) -> None:
    if suffix == ".webp" and mode.startswith("L"):
        pytest.skip("WebP has no grey")
    image = Image.fromarray(photo).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(photo[..., 1]))
    image.save(tmp_path / f"a{suffix}", **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    again = _round_trip(tmp_path / f"a{suffix}")
    bands = np.array(image).reshape(37, 53, -1)
    colours = 1 if mode.startswith("L") else 3
    assert np.array_equal(again.colour.reshape(37, 53, -1), bands[..., :colours])
    if mode.endswith("A"):
        assert again.alpha is not None
        assert np.array_equal(again.alpha, bands[..., -1])
    else:
        assert again.alpha is None


@pytest.mark.parametrize("shape", ["grey", "colour", "colour with alpha"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, shape: str, suffix: str) -> None:
    random = np.random.default_rng(0)
    bands = {"grey": (), "colour": (3,), "colour with alpha": (4,)}[shape]
    samples = random.integers(0, 65536, (19, 23, *bands), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), samples)
    picture = read_picture(tmp_path / f"a{suffix}")
    again = _round_trip(tmp_path / f"a{suffix}")
    colour = samples if shape == "grey" else samples[..., 2::-1]
    for got in (picture, again):
        assert got.colour.dtype == np.uint16
        assert np.array_equal(got.colour, colour)
        assert (got.alpha is None) == (shape != "colour with alpha")
        if got.alpha is not None:
            assert np.array_equal(got.alpha, samples[..., 3])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_profile_and_exif_are_carried_and_the_picture_comes_upright(
    tmp_path: Path, photo: np.ndarray, suffix: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    path = tmp_path / f"a{suffix}"
    Image.fromarray(photo).save(path, exif=exif, icc_profile=ICC)
    again = _round_trip(path)
    assert again.colour.shape[:2] == (53, 37)
    assert again.carried["icc_profile"] == ICC
    with Image.open(tmp_path / f"copy{suffix}") as written:
        tags = written.getexif()
        assert tags.get(0x0112, 1) == 1
        assert tags[0x010F] == "A camera"
        if suffix != ".tif":  # Pillow did not write that directory there
            assert tags.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"


def test_a_png_keeps_its_texts_and_density_at_either_depth(tmp_path: Path, photo: np.ndarray) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "Somebody")
    Image.fromarray(photo).save(tmp_path / "a.png", pnginfo=text, dpi=(300, 300), icc_profile=ICC)
    Image.fromarray(photo[..., 0].astype(np.uint16) * 200).save(tmp_path / "b.png", pnginfo=text, icc_profile=ICC)
    for name in ("a", "b"):
        _round_trip(tmp_path / f"{name}.png")
        with Image.open(tmp_path / "copy.png") as written:
            written.load()
            assert written.info["Author"] == "Somebody"
            assert written.info["icc_profile"] == ICC


@pytest.mark.parametrize(
    ("given", "written"), [(".jpeg", ".jpeg"), (".JPG", ".JPG"), (".gif", ".png"), (".ppm", ".png")]
)
def test_the_suffix_stays_where_the_format_does(tmp_path: Path, photo: np.ndarray, given: str, written: str) -> None:
    Image.fromarray(photo).save(tmp_path / f"a{given}")
    assert LIKE_INPUT.suffix(read_picture(tmp_path / f"a{given}"), given) == written


def test_values_are_rounded_and_clipped_never_truncated(photo: np.ndarray) -> None:
    picture = Picture(colour=photo, alpha=None, format="PNG")
    values = np.array([-1, 0.499 / 255, 0.501 / 255, 254.6 / 255, 2], np.float32)
    got = picture.with_rgb(values[None, :, None].repeat(3, 2)).colour
    assert got[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_grey_stays_grey_and_colour_colour(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    for samples, shape in ((photo[..., 0], (37, 53)), (photo, (37, 53, 3))):
        Image.fromarray(samples).save(tmp_path / f"a{suffix}")
        assert _round_trip(tmp_path / f"a{suffix}").colour.shape == shape


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Of any depth and mode, as small as one pixel."""
    kind = draw(st.sampled_from([np.uint8, np.uint16]))
    size = draw(st.sampled_from([(1, 1), (1, 7), (5, 1), (4, 6)]))
    colour = draw(arrays.arrays(kind, draw(st.sampled_from([size, (*size, 3)]))))
    alpha = draw(st.none() | arrays.arrays(kind, size))
    return Picture(colour=colour, alpha=alpha, format="PNG")


@given(picture=pictures())
def test_its_own_colours_give_back_the_very_same_samples(picture: Picture) -> None:
    again = picture.with_rgb(picture.as_rgb())
    assert again.colour.dtype == picture.colour.dtype
    assert np.array_equal(again.colour, picture.colour)
    assert again.alpha is picture.alpha


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_level_comes_back(kind: type) -> None:
    levels = np.arange(np.iinfo(kind).max + 1, dtype=kind)[None]
    for colour in (levels, np.dstack([levels] * 3)):
        picture = Picture(colour=colour, alpha=None, format="PNG")
        assert np.array_equal(picture.with_rgb(picture.as_rgb()).colour, colour)


@given(picture=pictures(), asked=st.sampled_from(["png", "tiff"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_what_is_written_without_loss_is_read_as_it_was(tmp_path: Path, picture: Picture, asked: str) -> None:
    write_picture(tmp_path / "a", picture, Encoding(asked))
    again, colour = read_picture(tmp_path / "a"), picture.colour
    widened = picture.alpha is not None and colour.ndim == 2 and colour.dtype == np.uint16 and asked == "tiff"
    assert np.array_equal(again.colour, np.dstack([colour] * 3) if widened else colour)
    assert again.alpha is None if picture.alpha is None else np.array_equal(again.alpha, picture.alpha)


def test_exif_in_a_text_of_a_png_turns_the_picture_once(tmp_path: Path, photo: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "A camera"
    block = exif.tobytes()
    text = f"\nexif\n{len(block):8d}\n{block.hex()}\n"
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", text, zip=True)
    Image.fromarray(photo).save(tmp_path / "a.png", pnginfo=info)
    again = _round_trip(tmp_path / "a.png")
    assert np.array_equal(again.colour, np.rot90(photo, -1))
    with Image.open(tmp_path / "copy.png") as written:
        assert (written.getexif().get(0x0112), written.getexif()[0x010F]) == (1, "A camera")


def test_an_orientation_in_xmp_alone_turns_the_picture_once(tmp_path: Path, photo: np.ndarray) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="8"/></x:xmpmeta>'
    Image.fromarray(photo).save(tmp_path / "a.webp", xmp=xmp, lossless=True)
    again = _round_trip(tmp_path / "a.webp")
    assert np.array_equal(again.colour, np.rot90(photo))


def test_the_small_picture_in_exif_is_no_longer_pointed_to(tmp_path: Path, photo: np.ndarray) -> None:
    exif = bytearray(Image.Exif().tobytes())
    order = "<" if exif[6:8] == b"II" else ">"
    body = struct.pack(f"{order}HHHIH2xI", 1, 0x0112, 3, 1, 6, 20)  # an orientation, and a second directory behind it
    second = struct.pack(f"{order}HHHIII", 1, 0x0201, 4, 1, 0, 0)
    block = bytes(exif[:14]) + body[:-4] + struct.pack(f"{order}I", 8 + len(body)) + second
    Image.fromarray(photo).save(tmp_path / "a.jpg", exif=block)
    assert Image.open(tmp_path / "a.jpg").getexif().get_ifd(ExifTags.IFD.IFD1)
    again = _round_trip(tmp_path / "a.jpg")
    assert again.colour.shape[:2] == (53, 37)
    written = Image.open(tmp_path / "copy.jpg").getexif()
    assert written[0x0112] == 1
    assert not written.get_ifd(ExifTags.IFD.IFD1)


@contextlib.contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, photo: np.ndarray) -> None:
    picture = Picture(colour=photo, alpha=None, format="PNG")
    longest = tmp_path / ("n" * 251 + ".png")
    write_picture(longest, picture)
    assert [file.name for file in tmp_path.iterdir()] == [longest.name]
    before = longest.read_bytes()
    os.link(longest, tmp_path / "old.png")
    write_picture(longest, picture.with_rgb(1 - picture.as_rgb()))
    assert (tmp_path / "old.png").read_bytes() == before  # not written into: renamed over
    os.replace(tmp_path / "old.png", longest)
    with _files_of_at_most(100), pytest.raises(PictureError, match="cannot be written: File too large"):
        write_picture(longest, picture)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PictureError, match=r"folder\.png: cannot be written: Is a directory"):
        write_picture(tmp_path / "folder.png", picture)
    with pytest.raises(PictureError, match="cannot be written: File exists"):
        write_picture(longest / "a.png", picture)
    with pytest.raises(PictureError, match="cannot be written: File name too long"):
        write_picture(tmp_path / ("n" * 252 + ".png"), picture)
    assert longest.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.png", longest.name]


def test_a_palette_becomes_rgb_and_keeps_its_transparency(tmp_path: Path, photo: np.ndarray) -> None:
    image = Image.fromarray(photo).quantize(16)
    image.save(tmp_path / "a.png")
    assert np.array_equal(_round_trip(tmp_path / "a.png").colour, np.array(image.convert("RGB")))
    image.save(tmp_path / "b.png", transparency=3)
    again = _round_trip(tmp_path / "b.png")
    assert again.alpha is not None
    assert set(np.unique(again.alpha)) <= {0, 255}
    assert np.array_equal(again.alpha == 0, np.array(image) == 3)


def test_cmyk_becomes_rgb_without_a_cmyk_profile(tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    again = _round_trip(tmp_path / "a.jpg")
    assert again.colour.shape == photo.shape
    assert "icc_profile" not in again.carried
    assert np.abs(again.colour.astype(int) - photo).mean() < 6
