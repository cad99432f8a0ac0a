"""What is read is what is written: alpha, depth, profile and metadata."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from dynet.errors import PictureError
from dynet.restoring.pictures import Picture, read_picture, upright, write_picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def photo(photographs: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(photographs[1][:37, :53])


def _round_trip(path: Path) -> Picture:
    """The picture written untouched to a file beside it, and read again."""
    picture = read_picture(path)
    copy = path.with_name(f"copy{picture.suffix(path.suffix)}")
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
        if suffix != ".tif":  # Pillow cannot write that directory there
            assert tags.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"


@pytest.mark.parametrize("mode", ["colour 8", "grey 16", "colour 16"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_tiff_with_an_orientation_comes_upright(
    tmp_path: Path, photo: np.ndarray, mode: str, orientation: int
) -> None:
    tifffile = pytest.importorskip("tifffile")
    samples = photo if mode == "colour 8" else photo.astype(np.uint16) * 257
    samples = samples[..., 0] if mode.startswith("grey") else samples
    kind = "minisblack" if mode.startswith("grey") else "rgb"
    tag = (274, "H", 1, orientation, False)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric=kind, extratags=[tag], metadata=None)
    assert np.array_equal(read_picture(tmp_path / "a.tif").colour, upright(samples, orientation))


def test_all_eight_orientations_agree_with_pillow(photo: np.ndarray) -> None:
    from PIL import ImageOps

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(photo)
        image.info["exif"] = exif.tobytes()
        assert np.array_equal(upright(photo, orientation), np.array(ImageOps.exif_transpose(image)))


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


@pytest.mark.parametrize(
    ("given", "written"), [(".jpeg", ".jpeg"), (".JPG", ".JPG"), (".gif", ".png"), (".ppm", ".png")]
)
def test_the_suffix_stays_where_the_format_does(tmp_path: Path, photo: np.ndarray, given: str, written: str) -> None:
    Image.fromarray(photo).save(tmp_path / f"a{given}")
    assert read_picture(tmp_path / f"a{given}").suffix(given) == written


def test_values_are_rounded_and_clipped_never_truncated(photo: np.ndarray) -> None:
    picture = Picture(colour=photo, alpha=None, format="PNG")
    values = np.array([-1, 0.499 / 255, 0.501 / 255, 254.6 / 255, 2], np.float32)
    got = picture.with_rgb(values[None, :, None].repeat(3, 2)).colour
    assert got[0, :, 0].tolist() == [0, 0, 1, 255, 255]


def test_what_cannot_be_read_is_named_in_one_line(tmp_path: Path, photo: np.ndarray) -> None:
    (tmp_path / "noise.png").write_bytes(b"noise")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(photo).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:400])
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name in ("noise.png", "empty.png", "cut.png", "film.gif", "float.tif", "missing.png"):
        with pytest.raises(PictureError) as caught:
            read_picture(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
