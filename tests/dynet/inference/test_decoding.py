"""Files are read as others read them, or refused in one line."""

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

from dynet.errors import PictureError
from dynet.inference.encoding import LIKE_INPUT
from dynet.inference.images import read_picture, upright

SHARED = Path(os.environ.get("MILLION_IRD_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
HOSTILE = SHARED / "hostile"
with_hostile_files = pytest.mark.skipif(not HOSTILE.is_dir(), reason=f"needs the odd and broken files of {HOSTILE}")


@pytest.fixture
def photo(photographs: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(photographs[1][:37, :53])


def refused(path: Path) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["colour 8", "grey 16", "colour 16"])
@pytest.mark.parametrize("orientation", range(1, 9))
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
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(photo)
        image.info["exif"] = exif.tobytes()
        assert np.array_equal(upright(photo, orientation), np.array(ImageOps.exif_transpose(image)))


def test_what_cannot_be_read_is_named_in_one_line(tmp_path: Path, photo: np.ndarray) -> None:
    (tmp_path / "noise.png").write_bytes(b"noise")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(photo).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:400])
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "folder.png").mkdir()
    told = {
        "noise.png": "not a picture that can be read",
        "empty.png": "the file is empty",
        "cut.png": "truncated",
        "float.tif": "signed or floating-point samples",
        "missing.png": "No such file",
        "phone.heic": "a HEIC picture, which cannot be read; convert it",
        "folder.png": "is not a file",
    }
    for name, said in told.items():
        message = refused(tmp_path / name)
        assert message.startswith(f"{tmp_path / name}: ")
        assert said in message


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_file_with_several_frames_is_refused(tmp_path: Path, photo: np.ndarray, kind: str) -> None:
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    frames[0].save(tmp_path / "film", kind, save_all=True, append_images=frames[1:])
    word = "pages" if kind == "TIFF" else "frames"
    assert f"film: has 2 {word}; only " in refused(tmp_path / "film")


def test_the_small_views_behind_a_picture_do_not_hinder(tmp_path: Path, photo: np.ndarray) -> None:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(photo, photometric="rgb", metadata=None)
        file.write(photo[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    assert np.array_equal(read_picture(tmp_path / "pyramid.tif").colour, photo)
    Image.fromarray(photo).save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[Image.fromarray(photo)])
    picture = read_picture(tmp_path / "phone.jpg")
    assert (picture.format, picture.colour.shape) == ("JPEG", photo.shape)


def test_a_cameras_raw_file_is_refused_not_its_small_view_restored(tmp_path: Path, photo: np.ndarray) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.nef", photo, photometric="rgb", subfiletype=1, metadata=None)
    dng = (50706, 1, 4, b"\1\4\0\0", True)
    tifffile.imwrite(tmp_path / "a.dng", photo, photometric="rgb", extratags=[dng], metadata=None)
    for name in ("a.nef", "a.dng"):
        assert "a camera's raw file" in refused(tmp_path / name)


def png_of(width: int, height: int, pixels: bytes, *more: tuple[bytes, bytes], bits: int = 8, kind: int = 2) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)),
        *more,
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    ]
    told = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png_of(30000, 30000, bytes(1000)))
    (tmp_path / "dense.png").write_bytes(png_of(15000, 15000, bytes(10**6)))
    assert refused(tmp_path / "huge.png").endswith("huge.png: has more than 250 megapixels")
    assert "says that 225 megapixels are in its " in refused(tmp_path / "dense.png")
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "sheet.png").write_bytes(png_of(6000, 6000, bytes(1000)))  # large, but not too large to be tried
    assert "truncated" in refused(tmp_path / "sheet.png")
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_one_grey_that_stands_for_transparency_becomes_alpha(tmp_path: Path, bits: int) -> None:
    white = (1 << bits) - 1
    pixels = np.array([[0, white, white, 0, 0, 0, 0, white]])
    packed = b"\0" + (pixels.astype(">u2").tobytes() if bits == 16 else _packed(pixels[0], bits))
    (tmp_path / "a.png").write_bytes(png_of(8, 1, packed, (b"tRNS", struct.pack(">H", white)), bits=bits, kind=0))
    picture = read_picture(tmp_path / "a.png")
    most = 65535 if bits == 16 else 255
    assert picture.colour.tolist() == (pixels * most // white).tolist()
    assert picture.alpha is not None
    assert picture.alpha.tolist() == np.where(pixels == white, 0, most).tolist()


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
def test_sixteen_bits_of_a_tiff_however_they_are_stored(
    tmp_path: Path, options: dict[str, object], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    tifffile = pytest.importorskip("tifffile")
    stored = np.random.default_rng(0).integers(0, 65536, (37, 53, 3), dtype=np.uint16)
    given = stored if options["photometric"] == "rgb" else stored[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", given, metadata=None, **options)
    assert np.array_equal(read_picture(tmp_path / "a.tif").colour, expected(stored))


def test_what_a_fourth_channel_means_is_heeded(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    stored = np.random.default_rng(0).integers(0, 65536, (37, 53, 4), dtype=np.uint16)
    stored[..., :3] = np.minimum(stored[..., :3], stored[..., 3:])
    for meaning in ("unassalpha", "assocalpha", "unspecified"):
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[meaning], metadata=None)
        picture = read_picture(tmp_path / "a.tif")
        if meaning == "unspecified":
            assert picture.alpha is None
            continue
        assert np.array_equal(picture.alpha, stored[..., 3])
        whole = 65535 * stored[..., :3].astype(float) / np.maximum(stored[..., 3:], 1)
        assert np.array_equal(picture.colour, np.rint(whole) if meaning == "assocalpha" else stored[..., :3])


@pytest.mark.parametrize("kind", ["planes", "int16", "half", "uint32"])
def test_samples_that_would_be_misread_are_refused(tmp_path: Path, kind: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    stored = np.random.default_rng(0).integers(0, 65536, (3, 37, 53), dtype=np.uint16)
    if kind == "planes":
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig="separate", metadata=None)
    else:
        tifffile.imwrite(tmp_path / "a.tif", stored[0].astype(kind.replace("half", "float16")), metadata=None)
    refused(tmp_path / "a.tif")


def test_a_bmp_of_four_bit_run_lengths_is_no_noise(tmp_path: Path) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (16, 4), dtype=np.uint8)  # blue, green, red, nothing
    palette[:, 3] = 0
    rows = bytes([5, 0x12, 0, 3, 0x34, 0x50, 0, 0]) + bytes([8, 0x77, 0, 1])  # a run, three by themselves; a run; end
    header = struct.pack("<IiiHHIIiiII", 40, 8, 2, 1, 4, 2, len(rows), 2835, 2835, 16, 16)
    start = 14 + len(header) + palette.nbytes
    file = struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
    (tmp_path / "a.bmp").write_bytes(file + header + palette.tobytes() + rows)
    indices = np.array([[7] * 8, [1, 2, 1, 2, 1, 3, 4, 5]])  # the lowest row is stored first
    assert np.array_equal(read_picture(tmp_path / "a.bmp").colour, palette[indices][..., 2::-1])


@pytest.mark.parametrize("white", [1023, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_deep_pnm_is_stretched_to_white(tmp_path: Path, magic: str, white: int) -> None:
    shape = (5, 7, 3) if magic in ("P3", "P6") else (5, 7)
    stored = np.random.default_rng(0).integers(0, white + 1, shape)
    plain = " ".join(map(str, stored.ravel())).encode()
    body = stored.astype(">u2").tobytes() if magic in ("P5", "P6") else plain
    (tmp_path / "a.ppm").write_bytes(f"{magic} # of a test\n7 5\n{white}\n".encode() + body)
    picture = read_picture(tmp_path / "a.ppm")
    assert picture.colour.dtype == np.uint16
    assert np.array_equal(picture.colour, np.rint(stored * (65535 / white)))
    assert LIKE_INPUT.suffix(picture, ".ppm") == ".png"


def test_a_deep_jpeg_2000_keeps_its_bits(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 65536, (64, 64), dtype=np.uint16)
    Image.fromarray(stored).save(tmp_path / "a.jp2")
    assert np.array_equal(read_picture(tmp_path / "a.jp2").colour, stored)


def test_lab_and_cmyk_become_srgb_through_their_profiles(tmp_path: Path, photo: np.ndarray) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(Image.fromarray(photo), srgb, lab, outputMode="LAB")
    assert stored is not None
    stored.save(tmp_path / "a.tif")
    assert np.abs(read_picture(tmp_path / "a.tif").colour.astype(int) - photo).mean() < 2
    broken = Image.fromarray(photo).convert("CMYK")
    broken.save(tmp_path / "b.jpg", quality=100, icc_profile=b"no profile")
    again = read_picture(tmp_path / "b.jpg")
    assert np.array_equal(again.colour, np.array(Image.open(tmp_path / "b.jpg").convert("RGB")))


@with_hostile_files
def test_every_file_of_the_png_suite_is_read_as_opencv_reads_it() -> None:
    files = [file for file in sorted((HOSTILE / "pngsuite").glob("*.png")) if file.name[0] != "x"]  # broken on purpose
    assert len(files) > 150
    for file in files:
        picture = read_picture(file)
        seen = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        grey = seen.ndim == 2
        colour = np.dstack([picture.colour] * 3) if picture.colour.ndim == 2 and not grey else picture.colour
        assert np.array_equal(colour, seen if grey else seen[..., 2::-1]), file.name
        if grey or seen.shape[2] == 3:  # OpenCV overlooks transparency of grey, which is tested above
            assert picture.alpha is None or picture.colour.ndim == 2, file.name
        else:
            assert np.array_equal(picture.alpha, seen[..., 3]), file.name


@with_hostile_files
def test_photographs_of_all_orientations_are_read_as_opencv_reads_them() -> None:
    files = sorted((HOSTILE / "exif_orientation").glob("*.jpg"))
    assert len(files) == 9
    for file in files:
        difference = np.abs(read_picture(file).colour.astype(int) - cv2.imread(str(file), cv2.IMREAD_COLOR)[..., ::-1])
        assert difference.max() <= 2, file.name  # two builds of libjpeg


@with_hostile_files
def test_tiffs_are_read_as_tifffile_reads_them() -> None:
    tifffile = pytest.importorskip("tifffile")
    compared = 0
    for file in sorted((HOSTILE / "pillow").glob("*.tif*")):
        try:
            picture = read_picture(file)
            with tifffile.TiffFile(file) as stored:
                page = stored.pages[0]
                pixels = page.asarray()
        except Exception:  # of either: what both can read is compared
            continue
        if (
            page.photometric.name in ("RGB", "MINISBLACK")
            and pixels.ndim == picture.colour.ndim
            and pixels.dtype != bool
        ):
            colours = pixels[..., :3] if pixels.ndim == 3 else pixels
            if colours.shape == picture.colour.shape and page.planarconfig == 1 and 1 not in page.extrasamples:
                assert np.array_equal(picture.colour, colours), file.name
                compared += 1
    assert compared >= 8


_READ_ALL = """
import json, resource, sys, time
from pathlib import Path
from dynet.errors import PictureError
from dynet.inference.images import read_picture

resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
for file in sorted(Path(sys.argv[1]).rglob("*")):
    if file.is_file():
        try:
            height, width = read_picture(file).colour.shape[:2]
            said = f"{width}x{height}"
        except PictureError as error:
            said = str(error)
        print(json.dumps([str(file), said]), flush=True)
# What getrusage says began with the peak of the process that started this one.
status = Path("/proc/self/status").read_text().splitlines()
print(json.dumps(next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))))
"""


@with_hostile_files
def test_no_file_brings_a_crash_a_traceback_or_noise_on_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _READ_ALL, str(HOSTILE)], capture_output=True, text=True, timeout=120, check=False
    )
    *lines, peak = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(lines) == sum(file.is_file() for file in HOSTILE.rglob("*"))
    refusals = [(file, said) for file, said in lines if ":" in said]
    assert 400 < len(refusals) < len(lines) - 400
    for file, said in refusals:
        assert said.startswith(f"{file}: ")
        assert "\n" not in said
    assert peak < 1_000_000  # kilobytes
    warnings = [line for line in done.stderr.splitlines() if "bits per sample only 8 could be read" not in line]
    assert len(warnings) <= 1, warnings  # "More samples per pixel", which Pillow prints itself
