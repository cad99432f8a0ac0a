"""Guarantees of `strip_metadata` for every format: on real images, on constructed files, and on broken bytes."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from million_ird.errors import ReadError
from million_ird.images.decode import decode
from million_ird.images.header import ORIENTATION_TAG, ImageHeader, read_header
from million_ird.images.opened_image import FORMATS
from million_ird.metadata.strip import list_private, strip_metadata
from tests.million_ird.metadata.file_parts import SECRET, exif, profile, saved, xmp
from tests.million_ird.metadata.secret_files import SECRET_FILES

FOLDERS = ("photos", "duplicates", "negatives", "real", "benchmarks", "hostile", "train")
LOSES_FRAMES = {"MPO", "PSD"}


def readable_files(shared_data: Path) -> Iterator[tuple[Path, bytes, ImageHeader]]:
    for folder in FOLDERS:
        for path in sorted((shared_data / folder).rglob("*")):
            if not path.is_file():
                continue
            encoded = path.read_bytes()
            try:
                yield path, encoded, read_header(encoded)
            except ReadError:
                continue


def decode_or_none(encoded: bytes) -> np.ndarray | None:
    """Return the pixels; None if the file does not decode, or decodes to other pixels every time."""
    try:
        header = read_header(encoded)
        first, second = decode(encoded, header), decode(encoded, header)
    except ReadError:
        return None
    return first if np.array_equal(first, second) else None


def same_header_except_frames(before: ImageHeader, after: ImageHeader) -> bool:
    names = [name for name in ImageHeader.__slots__ if name not in {"frames", "format", "camera"}]
    frames = before.format in LOSES_FRAMES or before.frames == after.frames
    formats = before.format == after.format or (before.format, after.format) == ("MPO", "JPEG")
    return frames and formats and all(getattr(before, name) == getattr(after, name) for name in names)


def strip_or_none(encoded: bytes, format: str) -> bytes | None:
    """Return None if stripping is refused; the reason is always the same."""
    try:
        return strip_metadata(encoded, format)
    except ReadError as error:
        if error.failure_class != "not_strippable":
            raise
        return None


def pillow_reads(encoded: bytes) -> bool:
    with contextlib.suppress(UnidentifiedImageError), Image.open(io.BytesIO(encoded), formats=FORMATS):
        return True
    return False


def check(path: object, encoded: bytes, header: ImageHeader) -> bool:
    """Return whether an image was stripped; check that it then looks the same and has no private metadata."""
    stripped = strip_or_none(encoded, header.format)
    if stripped is None:
        return False
    assert (stripped is encoded) == (not list_private(encoded, header.format)), path
    assert strip_metadata(stripped, header.format) is stripped, path
    if stripped is encoded:
        return True
    before = decode_or_none(encoded)
    if before is not None:
        assert same_header_except_frames(header, read_header(stripped)), path
        assert np.array_equal(before, decode(stripped, read_header(stripped))), path
    if header.format == "ICO" or not pillow_reads(stripped):
        return True
    with Image.open(io.BytesIO(stripped), formats=FORMATS) as image:
        if header.format != "TIFF":
            assert set(image.getexif()) <= {ORIENTATION_TAG}, path
        assert not {"comment", "xmp", "photoshop", "mp", "XML:com.adobe.xmp"} & set(image.info), path
    return True


def test_real_images_look_the_same_and_have_no_private_metadata(shared_data: Path) -> None:
    counts: dict[str, int] = {}
    for path, encoded, header in readable_files(shared_data):
        counts[header.format] = counts.get(header.format, 0) + 1
        if len(encoded) < 400_000 and (counts[header.format] <= 12 or counts[header.format] % 25 == 0):
            check(path, encoded, header)
    assert len(counts) >= 12


@pytest.mark.full
def test_all_real_images_look_the_same_and_have_no_private_metadata(shared_data: Path) -> None:
    refused = [p for p, encoded, header in readable_files(shared_data) if not check(p, encoded, header)]
    assert not [path for path in refused if "hostile" not in path.parts]


@pytest.mark.parametrize("name", sorted(SECRET_FILES))
def test_nothing_of_a_hidden_secret_remains(name: str) -> None:
    secret_file = SECRET_FILES[name]()
    assert SECRET in secret_file.encoded
    assert set(secret_file.names) <= set(list_private(secret_file.encoded, secret_file.format))
    stripped = strip_metadata(secret_file.encoded, secret_file.format)
    assert SECRET not in stripped
    assert list_private(stripped, secret_file.format) == []
    assert check(name, secret_file.encoded, read_header(secret_file.encoded))


def read_frames(encoded: bytes) -> list[tuple[bytes, object]]:
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        frames = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append((image.convert("RGBA").tobytes(), image.info.get("duration")))
        return frames


@pytest.mark.parametrize(("name", "count"), [("apng", 3), ("big_tiff", 2), ("big_endian_tiff", 2), ("gif", 3)])
def test_all_frames_and_pages_stay(name: str, count: int) -> None:
    secret_file = SECRET_FILES[name]()
    assert len(read_frames(secret_file.encoded)) == count
    assert read_frames(strip_metadata(secret_file.encoded, secret_file.format)) == read_frames(secret_file.encoded)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff"])
def test_only_the_orientation_of_the_exif_stays(name: str) -> None:
    secret_file = SECRET_FILES[name]()
    stripped = strip_metadata(secret_file.encoded, secret_file.format)
    assert read_header(stripped).orientation == 6
    with Image.open(io.BytesIO(stripped)) as image:
        block = image.getexif()
        assert block[ORIENTATION_TAG] == 6
        assert not block.get_ifd(0x8825)
        assert not block.get_ifd(0x8769)


@pytest.mark.parametrize("name", ["png", "webp", "tiff", "psd"])
def test_the_colour_profile_stays(name: str) -> None:
    secret_file = SECRET_FILES[name]()
    with Image.open(io.BytesIO(strip_metadata(secret_file.encoded, secret_file.format))) as image:
        assert image.info["icc_profile"] == profile()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_that_only_the_xmp_packet_has_stays(format: str) -> None:
    if format == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", xmp(8).decode(), zip=True)
        encoded = saved(format, pnginfo=texts)
    elif format == "TIFF":
        encoded = saved(format, tiffinfo={700: xmp(8)})
    else:
        encoded = saved(format, xmp=xmp(8))
    assert read_header(encoded).orientation == 8
    assert check(format, encoded, read_header(encoded))
    assert read_header(strip_metadata(encoded, format)).orientation == 8


def test_an_upright_image_keeps_no_exif_block() -> None:
    stripped = strip_metadata(saved("JPEG", exif=exif(orientation=1)), "JPEG")
    assert b"Exif" not in stripped


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP", "PPM", "QOI", "SGI", "PCX"])
def test_a_file_without_private_metadata_is_returned_as_the_same_object(format: str) -> None:
    encoded = saved(format)
    assert list_private(encoded, format) == []
    assert strip_metadata(encoded, format) is encoded


@settings(max_examples=400)
@given(
    name=st.sampled_from(sorted(SECRET_FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8), st.integers(0, 8)), max_size=6),
    end=st.floats(0.01, 2),
)
def test_broken_bytes_raise_only_read_errors(name: str, changes: list[tuple[float, bytes, int]], end: float) -> None:
    secret_file = SECRET_FILES[name]()
    broken = bytearray(secret_file.encoded)
    for position, replacement, length in changes:
        start = int(position**3 * len(broken))  # headers are at the front
        broken[start : start + length] = replacement
    encoded = bytes(broken[: int(len(broken) * end)])
    stripped = strip_or_none(encoded, secret_file.format)
    if stripped is not None:
        assert strip_metadata(stripped, secret_file.format) is stripped
        assert (stripped is encoded) == (list_private(encoded, secret_file.format) == [])


@given(encoded=st.binary(max_size=300), format=st.sampled_from([*FORMATS, "MPO", "ICO", "HEIF", "JXL"]))
def test_noise_raises_only_read_errors(encoded: bytes, format: str) -> None:
    stripped = strip_or_none(encoded, format)
    assert stripped is None or strip_or_none(stripped, format) == stripped


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ReadError, match="not_strippable: EPS"):
        strip_metadata(b"%!PS", "EPS")


def test_every_readable_format_can_be_stripped() -> None:
    for format in (*FORMATS, "MPO", "ICO", "HEIF", "JXL"):
        with pytest.raises(ReadError, match="not_strippable") as caught:
            strip_metadata(b"?", format)
        assert "no format" not in caught.value.detail
