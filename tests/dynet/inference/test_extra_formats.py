"""HEIC and JPEG XL are read at their depth, upright and with their metadata; without the extra, one line says so."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from dynet.errors import ImageError
from dynet.inference import decoding
from dynet.inference.encoding import SAME_AS_INPUT
from dynet.inference.images import read_file, read_image, read_size, write_image

pillow_heif = pytest.importorskip("pillow_heif")
pytest.importorskip("pillow_jxl")
imagecodecs = pytest.importorskip("imagecodecs")

Command = Callable[..., tuple[int, str, str]]
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def samples_of(channels: int, dtype: type, height: int = 17, width: int = 23) -> np.ndarray:
    generator = np.random.default_rng(channels)
    if np.dtype(dtype).kind == "f":
        return generator.normal(0.5, 0.8, (height, width, channels)).astype(dtype)
    return generator.integers(0, np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_jpeg_xl_is_read_exactly(tmp_path: Path, channels: int, dtype: type) -> None:
    samples = samples_of(channels, dtype)
    stored = samples[..., 0] if channels == 1 else samples
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(stored, lossless=True))
    image = read_image(tmp_path / "a.jxl")
    joined = np.dstack([image.colour] if image.alpha is None else [image.colour, image.alpha])
    assert image.colour.dtype == dtype
    assert np.array_equal(joined, samples)
    assert read_size(tmp_path / "a.jxl") == (23, 17)
    suffix = SAME_AS_INPUT.suffix(image, ".jxl")
    assert suffix == (".tif" if dtype is np.float32 else ".png")
    write_image(tmp_path / f"b{suffix}", image)
    again = read_image(tmp_path / f"b{suffix}")
    assert np.array_equal(again.colour, image.colour)


@pytest.mark.parametrize("size", [(8, 8), (256, 256), (7, 300), (1024, 768), (640, 360), (1, 2000)])
def test_the_size_of_a_jpeg_xl_is_read_from_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    for name, more in (("codestream", {}), ("container", {"exif": Image.Exif().tobytes(), "use_container": True})):
        image.save(tmp_path / f"{name}.jxl", "JXL", lossless=True, effort=1, **more)
        assert read_size(tmp_path / f"{name}.jxl") == size


@pytest.mark.parametrize(
    ("mode", "bits"), [("RGB", 8), ("RGBA", 8), ("L", 8), ("RGB;16", 10), ("RGBA;16", 10), ("RGB;16", 12)]
)
def test_heic_keeps_its_depth_and_alpha(tmp_path: Path, mode: str, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    channels = 1 if mode == "L" else 4 if "A" in mode else 3
    dtype, white = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    rows, columns = np.mgrid[0:64, 0:96]
    smooth = (rows / 63 + columns / 95)[..., None] / 2 * np.linspace(1, 0.7, channels)
    samples = np.rint(smooth * white).astype(dtype)
    data = samples.tobytes()
    encoded = pillow_heif.from_bytes(mode=mode, size=(96, 64), data=data)
    encoded.save(tmp_path / "a.heic", quality=-1, chroma=444)
    image = read_image(tmp_path / "a.heic")
    assert image.colour.dtype == dtype
    assert (image.alpha is not None) == (channels == 4)
    colour = np.atleast_3d(image.colour)
    difference = np.abs(colour.astype(float) - samples[..., : colour.shape[2]]) / white
    assert difference.max() < 3 / ((1 << bits) - 1)  # rounded in YCbCr
    if bits > 8:
        levels = colour.astype(float) * ((1 << bits) - 1) / 65535
        assert np.abs(levels - np.rint(levels)).max() < 0.05  # white is 65535, not 65535 less the lower bits
    assert read_size(tmp_path / "a.heic") == (96, 64)


@pytest.mark.parametrize("plugin", ["HEIF", "JXL"])
def test_profile_and_exif_are_carried_and_state_upright(tmp_path: Path, plugin: str) -> None:
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "A camera"
    Image.new("RGB", (48, 32), (200, 30, 30)).save(tmp_path / "a", plugin, exif=exif.tobytes(), icc_profile=ICC)
    with Image.open(tmp_path / "a") as stored:
        profile = stored.info["icc_profile"]  # libjxl stores sRGB by name and makes a profile of it
    image = read_image(tmp_path / "a")
    # libheif turns by its own property, which the plugin wrote; the orientation of a JPEG XL is in its codestream.
    assert image.colour.shape[:2] == ((48, 32) if plugin == "HEIF" else (32, 48))
    write_image(tmp_path / "b.png", image)
    with Image.open(tmp_path / "b.png") as written:
        assert written.info["icc_profile"] == profile
        assert (written.getexif().get(0x0112, 1), written.getexif()[0x010F]) == (1, "A camera")


@pytest.mark.parametrize("name", ["HEIC", "JPEG XL"])
@pytest.mark.parametrize("start", ["first", "second"])
def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, tiny_weights: Path, name: str, start: str, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = {
        "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix"),
        "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    }
    monkeypatch.setattr("dynet.inference.extra_formats.find_spec", lambda _: None)
    (tmp_path / "a.jpg").write_bytes(starts[name][start == "second"] + bytes(100))
    arguments = ("restore", tmp_path / "a.jpg", "--out", tmp_path / "out", "--weights", tiny_weights)
    code, out, err = dynet_command(*arguments)
    assert (code, out) == (1, "")
    assert f"dynet: {tmp_path / 'a.jpg'}: unsupported: {name} (pip install 'million-ird[formats]')" in err


def test_an_avif_with_heif_brands_is_an_avif(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.avif")
    encoded = (tmp_path / "a.avif").read_bytes()
    assert b"mif1" in encoded[:40]
    assert read_image(tmp_path / "a.avif").format == "AVIF"


def test_damaged_files_and_large_sizes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jxl = imagecodecs.jpegxl_encode(samples_of(3, np.uint8), lossless=True)
    heic = io.BytesIO()
    pillow_heif.from_bytes(mode="RGB", size=(23, 17), data=samples_of(3, np.uint8).tobytes()).save(heic)
    for encoded in (jxl, heic.getvalue()):
        for end in (12, 40, len(encoded) // 2, len(encoded) - 3):
            (tmp_path / "a").write_bytes(encoded[:end])
            with pytest.raises(ImageError) as caught:
                read_file(tmp_path / "a")
            assert "\n" not in str(caught.value)
    for encoded in (jxl, heic.getvalue()):
        (tmp_path / "a").write_bytes(encoded)
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "MAX_PIXELS", 100)
            with pytest.raises(ImageError, match="has more than 0 megapixels"):
                read_file(tmp_path / "a")


def test_an_animated_jpeg_xl_is_refused(tmp_path: Path) -> None:
    frames = np.stack([samples_of(3, np.uint8)] * 3)
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(frames, lossless=True, photometric="rgb"))
    with pytest.raises(ImageError, match="has 3 frames, whose timing cannot be read"):
        read_file(tmp_path / "a.jxl")
