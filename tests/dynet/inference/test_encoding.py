"""Images are written as the user chose, and nothing is lost without a warning."""

import logging
import re
import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin

from dynet.errors import ImageError, UsageError
from dynet.inference.decoded_image import DecodedImage
from dynet.inference.encoding import FORMATS, Encoding, encode, jpeg_quality
from dynet.inference.images import read_image, write_image

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Model="M"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp", "avif": ".avif"}
MAKE, ARTIST, DESCRIPTION, ORIENTATION, TAKEN, EXIF, GPS = 0x010F, 0x013B, 0x010E, 0x0112, 0x9003, 0x8769, 0x8825


@pytest.fixture
def photo(photographs: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(photographs[1][:37, :53])


def exif_of_a_camera() -> Image.Exif:
    """Return the Exif of an image that is stored on its side, with subdirectories."""
    exif = Image.Exif()
    exif[MAKE] = "A camera"
    exif[ORIENTATION] = 6
    exif.get_ifd(EXIF).update({TAKEN: "2024:01:02 03:04:05", 0xA002: 53, 0xA003: 37})
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 30.0, 0.0)})
    return exif


def deep(photo: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 257, photo.shape)
    return (photo.astype(np.int64) * 257 + noise).clip(0, 65535).astype(np.uint16)


def write(tmp_path: Path, image: DecodedImage, encoding: Encoding) -> Path:
    path = tmp_path / f"out{encoding.suffix(image, '')}"
    write_image(path, image, encoding)
    return path


@pytest.mark.parametrize("alias", [("jpg", "jpeg"), ("TIF", "tiff"), ("PNG", "png"), (None, None)])
def test_formats_have_aliases_and_ignore_letter_case(alias: tuple[str | None, str | None]) -> None:
    assert Encoding.parse(alias[0], None).format == alias[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gif", None), "--format gif"),
        (("jpeg", 0), "--quality 0"),
        ((None, 101), "--quality 101"),
        (("png", 80), "--quality 80: png"),
        (("tiff", 80), "--quality 80: tiff"),
        (("bmp", 80), "--quality 80: bmp"),
    ],
)
def test_an_unusable_option_is_named(arguments: tuple[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Encoding.parse(*arguments)


@pytest.mark.parametrize("chosen", FORMATS)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_chosen_format_is_the_format_written(tmp_path: Path, photo: np.ndarray, chosen: str, suffix: str) -> None:
    Image.fromarray(photo).save(tmp_path / f"a{suffix}", quality=95)
    image = read_image(tmp_path / f"a{suffix}")
    path = write(tmp_path, image, Encoding(chosen))
    assert path.suffix == SUFFIX[chosen] == Encoding(chosen).expected_suffix(suffix).replace(".jpeg", ".jpg")
    with Image.open(path) as again:
        assert again.format == chosen.upper()
        difference = np.abs(np.array(again.convert("RGB")).astype(int) - image.colour)
    assert difference.max() == 0 if chosen in ("png", "tiff", "bmp") else difference.mean() < 3


@pytest.mark.parametrize("target", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4], ids=["grey", "grey with alpha", "colour", "colour with alpha"])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_and_tiff_store_every_bit_depth_and_channel(
    tmp_path: Path, photo: np.ndarray, target: str, channels: int, bits: int
) -> None:
    samples = photo if bits == 8 else deep(photo)
    colour = samples if channels > 2 else samples[..., 0]
    alpha = samples[..., 1] if channels in (2, 4) else None
    path = write(tmp_path, DecodedImage(colour=colour, alpha=alpha, format="PNG"), Encoding(target))
    again = read_image(path)
    assert np.array_equal(again.colour, colour)
    assert again.alpha is None if alpha is None else np.array_equal(again.alpha, alpha)
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)  # an independent reader
    if channels in (1, 3) or (channels, bits) == (4, 16):  # for others it premultiplies alpha, or drops it
        assert np.array_equal(read if channels == 1 else read[..., 2::-1], colour)
        assert channels < 4 or np.array_equal(read[..., 3], alpha)
    if target == "tiff":
        tifffile = pytest.importorskip("tifffile")
        stored = tifffile.imread(path)
        expected = again.colour if alpha is None else np.dstack([again.colour, alpha])
        assert np.array_equal(stored, expected)


def test_a_large_16_bit_image_spans_many_strips(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (700, 900, 3), dtype=np.uint16)
    path = write(tmp_path, DecodedImage(colour=samples, alpha=None, format="TIFF"), Encoding())
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1], samples)
    with Image.open(path) as file:
        assert len(file.tag_v2[273]) > 2


def test_the_quality_of_a_jpeg_is_read_exactly_from_its_tables(photo: np.ndarray) -> None:
    for quality in range(1, 101):
        buffer = BytesIO()
        Image.fromarray(photo[:8, :8]).save(buffer, "JPEG", quality=quality)
        assert jpeg_quality(Image.open(buffer).quantization) == quality
    assert jpeg_quality({}) is None


@pytest.mark.parametrize(
    ("before", "chosen", "after"), [(40, None, 95), (95, None, 95), (98, None, 98), (98, 30, 30), (40, 100, 100)]
)
def test_a_jpeg_keeps_its_quality_but_at_least_95_unless_one_is_chosen(
    tmp_path: Path, photo: np.ndarray, before: int, chosen: int | None, after: int
) -> None:
    Image.fromarray(photo).save(tmp_path / "a.jpg", quality=before)
    path = write(tmp_path, read_image(tmp_path / "a.jpg"), Encoding(None, chosen))
    expected = BytesIO()
    Image.fromarray(photo).save(expected, "JPEG", quality=after)
    with Image.open(path) as again:
        assert again.quantization == Image.open(expected).quantization
        assert JpegImagePlugin.get_sampling(again) == 0  # colour at full resolution


@pytest.mark.parametrize(
    ("suffix", "options", "encoding", "lossless"),
    [
        (".webp", {"lossless": True}, Encoding(), True),
        (".webp", {"quality": 60}, Encoding(), False),
        (".png", {}, Encoding("webp"), True),
        (".jpg", {}, Encoding("webp"), False),
        (".png", {}, Encoding("webp", 80), False),
        (".webp", {"lossless": True}, Encoding(None, 80), False),
    ],
)
def test_webp_is_lossless_where_the_input_was_unless_a_quality_is_chosen(
    tmp_path: Path, photo: np.ndarray, suffix: str, options: dict[str, object], encoding: Encoding, lossless: bool
) -> None:
    # With Exif and profile, so that the pixels are not in the first chunk.
    Image.fromarray(photo).save(tmp_path / f"a{suffix}", icc_profile=ICC, **options)
    image = read_image(tmp_path / f"a{suffix}")
    path = write(tmp_path, image, encoding)
    with Image.open(path) as again:
        assert np.array_equal(np.array(again), image.colour) == lossless
    assert (b"VP8L" in path.read_bytes()) == lossless


def test_webp_keeps_the_colours_of_transparent_pixels(tmp_path: Path, photo: np.ndarray) -> None:
    image = DecodedImage(colour=photo, alpha=np.zeros(photo.shape[:2], np.uint8), format="WEBP")
    again = read_image(write(tmp_path, image, Encoding()))
    assert np.array_equal(again.colour, photo)


@pytest.mark.parametrize("target", ["jpeg", "bmp"])
def test_transparency_is_refused_where_it_cannot_be_stored_and_the_file_is_named(
    tmp_path: Path, photo: np.ndarray, target: str
) -> None:
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    Image.fromarray(np.dstack([photo, alpha])).save(tmp_path / "opaque.png")
    alpha[3, 4] = 254
    Image.fromarray(np.dstack([photo, alpha])).save(tmp_path / "glass.png")
    with pytest.raises(ImageError, match=r"glass\.png: has transparent pixels") as caught:
        Encoding(target).suffix(read_image(tmp_path / "glass.png"), ".png")
    assert "\n" not in str(caught.value)
    assert write(tmp_path, read_image(tmp_path / "opaque.png"), Encoding(target)).exists()


@pytest.mark.parametrize("target", ["jpeg", "webp", "avif", "bmp"])
def test_sixteen_bits_become_eight_with_a_warning(
    tmp_path: Path, photo: np.ndarray, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = DecodedImage(colour=deep(photo), alpha=None, format="PNG")
    with caplog.at_level(logging.WARNING):
        path = write(tmp_path, image, Encoding(target, None if target == "bmp" else 100))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: its 16 bits are rounded to 8, since {target.upper()} has no more"
    ]
    with Image.open(path) as again:
        assert np.abs(np.array(again).astype(float) - image.colour / 257).mean() < 1


def test_png_replaces_a_format_that_cannot_store_the_image(tmp_path: Path, photo: np.ndarray) -> None:
    alpha = photo[..., 0]
    encoded, bmp = cv2.imencode(".bmp", np.dstack([photo, alpha]))
    assert encoded
    (tmp_path / "a.bmp").write_bytes(bmp.tobytes())
    encoded, avif = cv2.imencode(".avif", deep(photo) >> 6, [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100])
    assert encoded
    (tmp_path / "b.avif").write_bytes(avif.tobytes())
    for name in ("a.bmp", "b.avif"):
        image = read_image(tmp_path / name)
        assert Encoding().suffix(image, Path(name).suffix) == ".png"
    assert np.array_equal(image.colour[..., ::-1], np.rint((deep(photo) >> 6) * (65535 / 1023)))


@pytest.mark.parametrize("target", ["webp", "jpeg"])
def test_a_side_that_is_too_long_for_a_format_is_refused(target: str) -> None:
    image = DecodedImage(colour=np.zeros((1, 70000), np.uint8), alpha=None, format="PNG", name="long.png")
    with pytest.raises(ImageError, match=r"long\.png: has a side of 70000 pixels"):
        Encoding(target).suffix(image, ".png")


@pytest.mark.parametrize("source", ["png", "jpeg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("target", ["png", "jpeg", "webp", "tiff", "avif"])
def test_profile_exif_and_xmp_are_copied_between_all_formats_and_state_upright(
    tmp_path: Path, photo: np.ndarray, source: str, target: str
) -> None:
    path = tmp_path / f"a{SUFFIX[source]}"
    if source == "tiff":
        exif = Image.Exif()
        exif.load(exif_of_a_camera().tobytes())  # otherwise Pillow omits the subdirectories in a TIFF
        exif[700] = XMP
        Image.fromarray(photo).save(path, exif=exif, icc_profile=ICC)
    elif source == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
        Image.fromarray(photo).save(path, exif=exif_of_a_camera(), icc_profile=ICC, pnginfo=text)
    else:
        Image.fromarray(photo).save(path, exif=exif_of_a_camera(), icc_profile=ICC, xmp=XMP)
    with Image.open(write(tmp_path, read_image(path), Encoding(target))) as again:
        tags = again.getexif()
        again.load()
        assert again.size == (37, 53)
        assert tags.get(ORIENTATION, 1) == 1
        assert tags[MAKE] == "A camera"
        details = tags.get_ifd(EXIF)
        assert details[TAKEN] == "2024:01:02 03:04:05"
        assert tags.get_ifd(GPS)[2] == (52.0, 30.0, 0.0)
        if source != "tiff":
            assert (details[0xA002], details[0xA003]) == (37, 53)  # width and height have changed places
        assert again.info["icc_profile"] == ICC
        xmp = again.info["xmp"]
        assert b'Model="M"' in xmp
        assert b'Orientation="6"' not in xmp


@pytest.mark.parametrize(("source", "target"), [(".jpg", "png"), (".png", "jpeg"), (".tif", "png"), (".png", "tiff")])
def test_resolution_is_copied(tmp_path: Path, photo: np.ndarray, source: str, target: str) -> None:
    Image.fromarray(photo).save(tmp_path / f"a{source}", dpi=(300, 300))
    with Image.open(write(tmp_path, read_image(tmp_path / f"a{source}"), Encoding(target))) as again:
        assert again.info["dpi"] == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("dots", [0.0001, 72.009, 999_999.0001, 429_497.12345])
def test_any_resolution_can_be_stored_in_a_tiff(photo: np.ndarray, dots: float) -> None:
    image = DecodedImage(colour=photo, alpha=None, format="TIFF", metadata={"dpi": (dots, dots)})
    with Image.open(BytesIO(encode(Path("a.tif"), image, Encoding()))) as again:
        assert float(again.tag_v2[282]) == pytest.approx(dots, rel=1e-6)


@pytest.mark.parametrize("target", ["jpeg", "webp", "tiff", "avif"])
def test_the_texts_of_a_png_become_exif_in_formats_without_texts(
    tmp_path: Path, photo: np.ndarray, target: str
) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Author", "Käthe")
    text.add_text("Description", "A cup")
    Image.fromarray(photo).save(tmp_path / "a.png", pnginfo=text)
    path = write(tmp_path, read_image(tmp_path / "a.png"), Encoding(target))
    assert "Käthe".encode() in path.read_bytes()  # Pillow would read it as Latin-1
    with Image.open(path) as again:
        assert again.getexif()[DESCRIPTION] == "A cup"


def test_letters_outside_ascii_survive_a_tiff(tmp_path: Path, photo: np.ndarray) -> None:
    tifffile = pytest.importorskip("tifffile")
    value = "Käthe".encode()
    tag = (ARTIST, 2, len(value) + 1, value + b"\0", True)
    for order in ("<", ">"):
        tifffile.imwrite(tmp_path / "a.tif", photo, photometric="rgb", extratags=[tag], metadata=None, byteorder=order)
        path = write(tmp_path, read_image(tmp_path / "a.tif"), Encoding())
        with tifffile.TiffFile(path) as file:
            assert file.byteorder == order
            assert file.pages[0].tags[ARTIST].value == "Käthe"
            assert np.array_equal(file.pages[0].asarray(), photo)


def test_a_jpeg_keeps_its_comment_and_captions(tmp_path: Path, photo: np.ndarray) -> None:
    caption = b"\x1c\x02\x78\x00\x05A cup"
    body = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(caption)) + caption
    segment = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    Image.fromarray(photo).save(tmp_path / "a.jpg", comment=b"a comment", extra=segment)
    with Image.open(write(tmp_path, read_image(tmp_path / "a.jpg"), Encoding())) as again:
        assert again.info["comment"] == b"a comment"
        assert again.info["photoshop"][0x0404] == caption


def test_exif_and_xmp_that_are_too_large_for_jpeg_give_a_warning(
    tmp_path: Path, photo: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    exif = Image.Exif()
    exif.get_ifd(EXIF)[0x9286] = bytes(70000)
    Image.fromarray(photo).save(tmp_path / "a.webp", exif=exif, xmp=bytes(70000), lossless=True)
    with caplog.at_level(logging.WARNING):
        path = write(tmp_path, read_image(tmp_path / "a.webp"), Encoding("jpeg"))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: its EXIF is lost, since JPEG stores up to 65533 bytes of it",
        f"{path}: its XMP is lost, since JPEG stores up to 65504 bytes of it",
    ]
    assert np.abs(np.array(Image.open(path)).astype(int) - photo).mean() < 3


def test_a_profile_that_bmp_cannot_store_gives_a_warning(
    tmp_path: Path, photo: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png", icc_profile=ICC)
    with caplog.at_level(logging.WARNING):
        write(tmp_path, read_image(tmp_path / "a.png"), Encoding("bmp"))
    assert "its colour profile is lost" in caplog.text


@pytest.mark.parametrize("target", FORMATS)
def test_a_profile_of_grey_is_stored_with_grey_samples_only(
    tmp_path: Path, photo: np.ndarray, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    profile = ICC[:16] + b"GRAY" + ICC[20:]
    Image.fromarray(photo[..., 0]).save(tmp_path / "a.png", icc_profile=profile)
    with caplog.at_level(logging.WARNING):
        path = write(tmp_path, read_image(tmp_path / "a.png"), Encoding(target))
    with Image.open(path) as again:
        kept = again.info.get("icc_profile") == profile
        assert kept == (again.mode == "L" and target != "bmp")
    assert ("its colour profile is lost" in caplog.text) == (not kept)


def test_a_colour_space_given_by_numbers_is_kept(
    tmp_path: Path, photo: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = BytesIO()
    Image.fromarray(photo).save(buffer, "AVIF", quality=95)
    encoded = bytearray(buffer.getvalue())
    offset = encoded.index(b"colrnclx") + 8
    encoded[offset : offset + 4] = struct.pack(">HH", 9, 16)  # BT.2020 with the PQ curve
    (tmp_path / "a.avif").write_bytes(encoded)
    image = read_image(tmp_path / "a.avif")
    assert Encoding().resolve_format(image) == "PNG"
    path = write(tmp_path, image, Encoding())
    assert b"\0\0\0\x04cICP\x09\x10\0\x01" in path.read_bytes()
    assert not caplog.records
    write(tmp_path, read_image(path), Encoding("jpeg"))
    assert "its colour space is lost" in caplog.text
