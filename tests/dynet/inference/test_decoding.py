"""Files are read as other programs read them, or refused in one line."""

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from dynet.errors import ImageError
from dynet.inference.encoding import SAME_AS_INPUT
from dynet.inference.images import read_image, turn_upright

SHARED = Path(os.environ.get("MILLION_IRD_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
HOSTILE = SHARED / "hostile"
with_hostile_files = pytest.mark.skipif(not HOSTILE.is_dir(), reason=f"needs the unusual and broken files in {HOSTILE}")


@pytest.fixture
def photo(photographs: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(photographs[1][:37, :53])


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}], ids=str
)
def test_a_jpeg_that_lacks_only_its_end_marker_is_read(
    tmp_path: Path, photo: np.ndarray, options: dict[str, object]
) -> None:
    Image.fromarray(photo).save(tmp_path / "whole.jpg", quality=90, **options)
    encoded = (tmp_path / "whole.jpg").read_bytes()
    expected = read_image(tmp_path / "whole.jpg").colour
    (tmp_path / "a.jpg").write_bytes(encoded[:-2])
    assert np.array_equal(read_image(tmp_path / "a.jpg").colour, expected)
    for missing in (40, len(encoded) // 5, len(encoded) // 3):
        (tmp_path / "a.jpg").write_bytes(encoded[:-missing])
        assert "truncated" in refusal(tmp_path / "a.jpg").lower()


@pytest.mark.parametrize("mode", ["colour 8", "grey 16", "colour 16"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_with_an_orientation_is_turned_upright(
    tmp_path: Path, photo: np.ndarray, mode: str, orientation: int
) -> None:
    tifffile = pytest.importorskip("tifffile")
    samples = photo if mode == "colour 8" else photo.astype(np.uint16) * 257
    samples = samples[..., 0] if mode.startswith("grey") else samples
    kind = "minisblack" if mode.startswith("grey") else "rgb"
    tag = (274, "H", 1, orientation, False)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric=kind, extratags=[tag], metadata=None)
    assert np.array_equal(read_image(tmp_path / "a.tif").colour, turn_upright(samples, orientation))


def test_all_eight_orientations_agree_with_pillow(photo: np.ndarray) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(photo)
        image.info["exif"] = exif.tobytes()
        assert np.array_equal(turn_upright(photo, orientation), np.array(ImageOps.exif_transpose(image)))


def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path: Path, photo: np.ndarray) -> None:
    (tmp_path / "noise.png").write_bytes(b"noise")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(photo).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:400])
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "book.pdf").write_bytes(b"%PDF-1.7" + bytes(40))
    (tmp_path / "folder.png").mkdir()
    reasons = {
        "noise.png": "not an image that can be read",
        "empty.png": "the file is empty",
        "cut.png": "truncated",
        "float.tif": "samples that are infinite or not a number",
        "missing.png": "No such file",
        "book.pdf": "a PDF, which cannot be read; convert it",
        "folder.png": "is not a file",
    }
    for name, reason in reasons.items():
        message = refusal(tmp_path / name)
        assert message.startswith(f"{tmp_path / name}: ")
        assert reason in message


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_file_with_several_frames_is_refused(tmp_path: Path, photo: np.ndarray, kind: str) -> None:
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    frames[0].save(tmp_path / "film", kind, save_all=True, append_images=frames[1:])
    word = "pages" if kind == "TIFF" else "frames"
    assert f"film: has 2 {word}; only " in refusal(tmp_path / "film")


def test_reduced_versions_after_an_image_are_ignored(tmp_path: Path, photo: np.ndarray) -> None:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(photo, photometric="rgb", metadata=None)
        file.write(photo[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    assert np.array_equal(read_image(tmp_path / "pyramid.tif").colour, photo)
    Image.fromarray(photo).save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[Image.fromarray(photo)])
    image = read_image(tmp_path / "phone.jpg")
    assert (image.format, image.colour.shape) == ("JPEG", photo.shape)


def test_a_camera_raw_file_is_refused_instead_of_restoring_its_preview(tmp_path: Path, photo: np.ndarray) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.nef", photo, photometric="rgb", subfiletype=1, metadata=None)
    dng = (50706, 1, 4, b"\1\4\0\0", True)
    tifffile.imwrite(tmp_path / "a.dng", photo, photometric="rgb", extratags=[dng], metadata=None)
    for name in ("a.nef", "a.dng"):
        assert "a camera raw file" in refusal(tmp_path / name)


def png_of(width: int, height: int, pixels: bytes, *more: tuple[bytes, bytes], bits: int = 8, kind: int = 2) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)),
        *more,
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    ]
    encoded = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(encoded)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png_of(30000, 30000, bytes(1000)))
    (tmp_path / "dense.png").write_bytes(png_of(15000, 15000, bytes(10**6)))
    assert refusal(tmp_path / "huge.png").endswith("huge.png: has more than 250 megapixels")
    assert "declares 225 megapixels in a file of " in refusal(tmp_path / "dense.png")
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "sheet.png").write_bytes(png_of(6000, 6000, bytes(1000)))  # large, but not too large to be read
    assert "truncated" in refusal(tmp_path / "sheet.png")
    assert before == Image.MAX_IMAGE_PIXELS


def tiff_of(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 0}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


WITHOUT_PIXELS = {
    "wide.tif": tiff_of(0, 4),
    "high.tif": tiff_of(4, 0),
    "a.pam": b"P7\nWIDTH 0\nHEIGHT 3\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n",
    "negative.pam": b"P7\nWIDTH -2\nHEIGHT -2\nDEPTH 1\nMAXVAL 255\nENDHDR\n1234",
    "a.pfm": b"PF\n0 0\n-1.0\n",
}


@pytest.mark.parametrize("name", WITHOUT_PIXELS)
def test_an_image_without_pixels_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WITHOUT_PIXELS[name])
    assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: has no pixels")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_grey_value_that_means_transparent_becomes_alpha(tmp_path: Path, bits: int) -> None:
    white = (1 << bits) - 1
    pixels = np.array([[0, white, white, 0, 0, 0, 0, white]])
    packed = b"\0" + (pixels.astype(">u2").tobytes() if bits == 16 else _packed(pixels[0], bits))
    (tmp_path / "a.png").write_bytes(png_of(8, 1, packed, (b"tRNS", struct.pack(">H", white)), bits=bits, kind=0))
    image = read_image(tmp_path / "a.png")
    maximum = 65535 if bits == 16 else 255
    assert image.colour.tolist() == (pixels * maximum // white).tolist()
    assert image.alpha is not None
    assert image.alpha.tolist() == np.where(pixels == white, 0, maximum).tolist()


def _packed(values: np.ndarray, bits: int) -> bytes:
    return np.packbits(np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"photometric": "miniswhite"}, lambda stored: 65535 - stored[..., 0]),
        ({"photometric": "minisblack", "byteorder": ">"}, lambda stored: stored[..., 0]),
        ({"photometric": "rgb", "tile": (16, 16), "compression": "adobe_deflate"}, lambda stored: stored),
        ({"photometric": "rgb", "bigtiff": True}, lambda stored: stored),
    ],
    ids=["white is zero", "grey, big-endian", "tiles", "BigTIFF"],
)
def test_sixteen_bit_tiffs_are_read_in_every_layout(
    tmp_path: Path, options: dict[str, object], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    tifffile = pytest.importorskip("tifffile")
    stored = np.random.default_rng(0).integers(0, 65536, (37, 53, 3), dtype=np.uint16)
    samples = stored if options["photometric"] == "rgb" else stored[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", samples, metadata=None, **options)
    assert np.array_equal(read_image(tmp_path / "a.tif").colour, expected(stored))


def test_the_meaning_of_a_fourth_channel_is_respected(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    stored = np.random.default_rng(0).integers(0, 65536, (37, 53, 4), dtype=np.uint16)
    stored[..., :3] = np.minimum(stored[..., :3], stored[..., 3:])
    for meaning in ("unassalpha", "assocalpha", "unspecified"):
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[meaning], metadata=None)
        image = read_image(tmp_path / "a.tif")
        if meaning == "unspecified":
            assert image.alpha is None
            continue
        assert np.array_equal(image.alpha, stored[..., 3])
        unmultiplied = 65535 * stored[..., :3].astype(float) / np.maximum(stored[..., 3:], 1)
        assert np.array_equal(image.colour, np.rint(unmultiplied) if meaning == "assocalpha" else stored[..., :3])


@pytest.mark.parametrize("kind", ["int16", "uint32", "complex64"])
def test_samples_that_would_be_misread_are_refused(tmp_path: Path, kind: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    stored = np.random.default_rng(0).integers(0, 65536, (37, 53), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored.astype(kind), metadata=None)
    refusal(tmp_path / "a.tif")


def test_a_bmp_with_4_bit_run_length_encoding_is_decoded(tmp_path: Path) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (16, 4), dtype=np.uint8)  # blue, green, red, unused
    palette[:, 3] = 0
    # A run and three literal pixels; a run; end.
    rows = bytes([5, 0x12, 0, 3, 0x34, 0x50, 0, 0]) + bytes([8, 0x77, 0, 1])
    header = struct.pack("<IiiHHIIiiII", 40, 8, 2, 1, 4, 2, len(rows), 2835, 2835, 16, 16)
    start = 14 + len(header) + palette.nbytes
    file = struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
    (tmp_path / "a.bmp").write_bytes(file + header + palette.tobytes() + rows)
    indices = np.array([[7] * 8, [1, 2, 1, 2, 1, 3, 4, 5]])  # the lowest row is stored first
    assert np.array_equal(read_image(tmp_path / "a.bmp").colour, palette[indices][..., 2::-1])


@pytest.mark.parametrize("white", [1023, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_samples_of_a_16_bit_pnm_are_scaled_to_white(tmp_path: Path, magic: str, white: int) -> None:
    shape = (5, 7, 3) if magic in ("P3", "P6") else (5, 7)
    stored = np.random.default_rng(0).integers(0, white + 1, shape)
    plain = " ".join(map(str, stored.ravel())).encode()
    body = stored.astype(">u2").tobytes() if magic in ("P5", "P6") else plain
    (tmp_path / "a.ppm").write_bytes(f"{magic} # of a test\n7 5\n{white}\n".encode() + body)
    image = read_image(tmp_path / "a.ppm")
    assert image.colour.dtype == np.uint16
    assert np.array_equal(image.colour, np.rint(stored * (65535 / white)))
    assert SAME_AS_INPUT.suffix(image, ".ppm") == ".png"


def test_a_16_bit_jpeg_2000_keeps_its_bits(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 65536, (64, 64), dtype=np.uint16)
    Image.fromarray(stored).save(tmp_path / "a.jp2")
    assert np.array_equal(read_image(tmp_path / "a.jp2").colour, stored)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_sgi_of_16_bits_is_read_with_8_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    high = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), dtype=np.uint8)
    header = struct.pack(">HBBHHHH", 474, 0, 2, 2 if channels == 1 else 3, 7, 5, channels).ljust(512, b"\0")
    (tmp_path / "a.sgi").write_bytes(header + (high.astype(">u2") * 256 + 7).astype(">u2").tobytes())
    image = read_image(tmp_path / "a.sgi")
    assert np.array_equal(np.atleast_3d(image.colour), high[:3, ::-1].transpose(1, 2, 0))
    assert f"{tmp_path / 'a.sgi'}: only 8 of its 16 bits per sample could be read" in caplog.text


def test_lab_and_cmyk_become_srgb_through_their_profiles(tmp_path: Path, photo: np.ndarray) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(Image.fromarray(photo), srgb, lab, outputMode="LAB")
    assert stored is not None
    stored.save(tmp_path / "a.tif")
    assert np.abs(read_image(tmp_path / "a.tif").colour.astype(int) - photo).mean() < 2
    broken = Image.fromarray(photo).convert("CMYK")
    broken.save(tmp_path / "b.jpg", quality=100, icc_profile=b"no profile")
    again = read_image(tmp_path / "b.jpg")
    assert np.array_equal(again.colour, np.array(Image.open(tmp_path / "b.jpg").convert("RGB")))


@with_hostile_files
def test_every_file_of_the_png_suite_is_read_as_opencv_reads_it() -> None:
    files = [file for file in sorted((HOSTILE / "pngsuite").glob("*.png")) if file.name[0] != "x"]  # broken on purpose
    assert len(files) > 150
    for file in files:
        image = read_image(file)
        expected = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        grey = expected.ndim == 2
        colour = np.dstack([image.colour] * 3) if image.colour.ndim == 2 and not grey else image.colour
        assert np.array_equal(colour, expected if grey else expected[..., 2::-1]), file.name
        if grey or expected.shape[2] == 3:  # OpenCV ignores the transparency of grey images, which is tested above
            assert image.alpha is None or image.colour.ndim == 2, file.name
        else:
            assert np.array_equal(image.alpha, expected[..., 3]), file.name


@with_hostile_files
def test_photographs_of_all_orientations_are_read_as_opencv_reads_them() -> None:
    files = sorted((HOSTILE / "exif_orientation").glob("*.jpg"))
    assert len(files) == 9
    for file in files:
        difference = np.abs(read_image(file).colour.astype(int) - cv2.imread(str(file), cv2.IMREAD_COLOR)[..., ::-1])
        assert difference.max() <= 2, file.name  # two builds of libjpeg


@with_hostile_files
def test_tiffs_are_read_as_tifffile_reads_them() -> None:
    tifffile = pytest.importorskip("tifffile")
    compared = 0
    for file in sorted((HOSTILE / "pillow").glob("*.tif*")):
        try:
            image = read_image(file)
            with tifffile.TiffFile(file) as stored:
                page = stored.pages[0]
                pixels = page.asarray()
        except Exception:  # only files that both can read are compared
            continue
        if (
            getattr(page.photometric, "name", "") in ("RGB", "MINISBLACK")
            and pixels.ndim == image.colour.ndim
            and pixels.dtype != bool
        ):
            colours = pixels[..., :3] if pixels.ndim == 3 else pixels
            if page.bitspersample < 8:
                colours = colours * (255 // (2**page.bitspersample - 1))
            if colours.shape == image.colour.shape and page.planarconfig == 1 and 1 not in page.extrasamples:
                assert np.array_equal(image.colour, colours), file.name
                compared += 1
    assert compared >= 8


_READ_ALL = """
import json, resource, sys, time
from pathlib import Path
from dynet.errors import ImageError
from dynet.inference.images import read_image

resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
for file in sorted(Path(sys.argv[1]).rglob("*")):
    if file.is_file():
        try:
            height, width = read_image(file).colour.shape[:2]
            result = f"{width}x{height}"
        except ImageError as error:
            result = str(error)
        print(json.dumps([str(file), result]), flush=True)
# getrusage would include the peak of the parent process.
status = Path("/proc/self/status").read_text().splitlines()
print(json.dumps(next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))))
"""


@with_hostile_files
def test_no_file_causes_a_crash_a_traceback_or_output_on_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _READ_ALL, str(HOSTILE)], capture_output=True, text=True, timeout=120, check=False
    )
    *lines, peak = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(lines) == sum(file.is_file() for file in HOSTILE.rglob("*"))
    refusals = [(file, message) for file, message in lines if ":" in message]
    assert 400 < len(refusals) < len(lines) - 400
    for file, message in refusals:
        assert message.startswith(f"{file}: ")
        assert "\n" not in message
    assert peak < 1_000_000  # kilobytes
    known = ("bits per sample could be read", "is damaged, and parts of it may be grey")
    warnings = [line for line in done.stderr.splitlines() if not any(text in line for text in known)]
    assert len(warnings) <= 1, warnings  # "More samples per pixel", which Pillow itself prints
