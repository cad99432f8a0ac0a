"""Alpha, bit depth, profile and metadata survive reading and writing."""

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

from dynet.errors import ImageError
from dynet.inference.decoded_image import DecodedImage
from dynet.inference.encoding import SAME_AS_INPUT, Encoding
from dynet.inference.images import read_image, write_image

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def photo(photographs: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(photographs[1][:37, :53])


def _round_trip(path: Path) -> DecodedImage:
    """Write the unchanged image to a second file, and read that."""
    image = read_image(path)
    copy = path.with_name(f"copy{SAME_AS_INPUT.suffix(image, path.suffix)}")
    write_image(copy, image.with_rgb(image.as_rgb()))
    return read_image(copy)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_eight_bit_modes_are_kept_exactly(tmp_path: Path, photo: np.ndarray, mode: str, suffix: str) -> None:
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
    image = read_image(tmp_path / f"a{suffix}")
    again = _round_trip(tmp_path / f"a{suffix}")
    colour = samples if shape == "grey" else samples[..., 2::-1]
    for decoded in (image, again):
        assert decoded.colour.dtype == np.uint16
        assert np.array_equal(decoded.colour, colour)
        assert (decoded.alpha is None) == (shape != "colour with alpha")
        if decoded.alpha is not None:
            assert np.array_equal(decoded.alpha, samples[..., 3])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_profile_and_exif_are_copied_and_the_image_is_turned_upright(
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
    assert again.metadata["icc_profile"] == ICC
    with Image.open(tmp_path / f"copy{suffix}") as written:
        tags = written.getexif()
        assert tags.get(0x0112, 1) == 1
        assert tags[0x010F] == "A camera"
        if suffix != ".tif":  # Pillow does not write that directory into a TIFF
            assert tags.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"


def test_a_png_keeps_its_texts_and_resolution_at_both_bit_depths(tmp_path: Path, photo: np.ndarray) -> None:
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
    ("suffix", "expected"), [(".jpeg", ".jpeg"), (".JPG", ".JPG"), (".gif", ".png"), (".ppm", ".png")]
)
def test_the_suffix_is_kept_where_the_format_is(tmp_path: Path, photo: np.ndarray, suffix: str, expected: str) -> None:
    Image.fromarray(photo).save(tmp_path / f"a{suffix}")
    assert SAME_AS_INPUT.suffix(read_image(tmp_path / f"a{suffix}"), suffix) == expected


def test_values_are_rounded_and_clipped_not_truncated(photo: np.ndarray) -> None:
    image = DecodedImage(colour=photo, alpha=None, format="PNG")
    values = np.array([-1, 0.499 / 255, 0.501 / 255, 254.6 / 255, 2], np.float32)
    colour = image.with_rgb(values[None, :, None].repeat(3, 2)).colour
    assert colour[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_grey_stays_grey_and_colour_stays_colour(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    for samples, shape in ((photo[..., 0], (37, 53)), (photo, (37, 53, 3))):
        Image.fromarray(samples).save(tmp_path / f"a{suffix}")
        assert _round_trip(tmp_path / f"a{suffix}").colour.shape == shape


@st.composite
def decoded_images(draw: st.DrawFn) -> DecodedImage:
    """Draw an image of any bit depth and mode, as small as one pixel."""
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    size = draw(st.sampled_from([(1, 1), (1, 7), (5, 1), (4, 6)]))
    colour = draw(arrays.arrays(dtype, draw(st.sampled_from([size, (*size, 3)]))))
    alpha = draw(st.none() | arrays.arrays(dtype, size))
    return DecodedImage(colour=colour, alpha=alpha, format="PNG")


@given(image=decoded_images())
def test_the_images_own_colours_give_the_same_samples(image: DecodedImage) -> None:
    again = image.with_rgb(image.as_rgb())
    assert again.colour.dtype == image.colour.dtype
    assert np.array_equal(again.colour, image.colour)
    assert again.alpha is image.alpha


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_sample_value_is_kept(dtype: type) -> None:
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)[None]
    for colour in (levels, np.dstack([levels] * 3)):
        image = DecodedImage(colour=colour, alpha=None, format="PNG")
        assert np.array_equal(image.with_rgb(image.as_rgb()).colour, colour)


@given(image=decoded_images(), chosen=st.sampled_from(["png", "tiff"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_lossless_formats_give_the_same_image_again(tmp_path: Path, image: DecodedImage, chosen: str) -> None:
    write_image(tmp_path / "a", image, Encoding(chosen))
    again, colour = read_image(tmp_path / "a"), image.colour
    assert np.array_equal(again.colour, colour)
    assert again.alpha is None if image.alpha is None else np.array_equal(again.alpha, image.alpha)


def test_exif_in_a_png_text_turns_the_image_once(tmp_path: Path, photo: np.ndarray) -> None:
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


def test_an_orientation_only_in_xmp_turns_the_image_once(tmp_path: Path, photo: np.ndarray) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="8"/></x:xmpmeta>'
    Image.fromarray(photo).save(tmp_path / "a.webp", xmp=xmp, lossless=True)
    again = _round_trip(tmp_path / "a.webp")
    assert np.array_equal(again.colour, np.rot90(photo))


def test_the_thumbnail_in_exif_is_no_longer_referenced(tmp_path: Path, photo: np.ndarray) -> None:
    exif = bytearray(Image.Exif().tobytes())
    order = "<" if exif[6:8] == b"II" else ">"
    body = struct.pack(f"{order}HHHIH2xI", 1, 0x0112, 3, 1, 6, 20)  # an orientation, followed by a second directory
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
def _file_size_limit(size: int) -> Iterator[None]:
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_file_is_written_completely_or_not_at_all(tmp_path: Path, photo: np.ndarray) -> None:
    image = DecodedImage(colour=photo, alpha=None, format="PNG")
    longest = tmp_path / ("n" * 251 + ".png")
    write_image(longest, image)
    assert [file.name for file in tmp_path.iterdir()] == [longest.name]
    before = longest.read_bytes()
    os.link(longest, tmp_path / "old.png")
    write_image(longest, image.with_rgb(1 - image.as_rgb()))
    assert (tmp_path / "old.png").read_bytes() == before  # replaced by renaming, not overwritten
    os.replace(tmp_path / "old.png", longest)
    with _file_size_limit(100), pytest.raises(ImageError, match="cannot be written: File too large"):
        write_image(longest, image)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match=r"folder\.png: cannot be written: Is a directory"):
        write_image(tmp_path / "folder.png", image)
    with pytest.raises(ImageError, match="cannot be written: File exists"):
        write_image(longest / "a.png", image)
    with pytest.raises(ImageError, match="cannot be written: File name too long"):
        write_image(tmp_path / ("n" * 252 + ".png"), image)
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
    assert "icc_profile" not in again.metadata
    assert np.abs(again.colour.astype(int) - photo).mean() < 6
