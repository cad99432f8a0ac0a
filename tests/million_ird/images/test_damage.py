"""Damaged files of all formats: their failure classes, and that the whole photograph stays among its copies."""

import io
import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
from numpy.typing import NDArray
from PIL import Image

from million_ird import Options, build
from million_ird import ledger as ledgers
from million_ird.config.loading import parse
from million_ird.errors import ReadError
from million_ird.images.encoded_image import EncodedImage
from million_ird.images.jpeg_damage import find_shift
from million_ird.maintenance.verify import verify
from million_ird.runtime.storage import Folder

FAULTS = Path(__file__).parents[4] / "shared" / "data" / "faults"


def photographs() -> dict[str, NDArray[np.uint8]]:
    """Five photographs of 480×360 and less."""
    names = ("astronaut", "coffee", "chelsea", "rocket")
    pictures = {name: getattr(skimage.data, name)() for name in names} | {"retina": skimage.data.retina()[::3, ::3]}
    return {name: np.ascontiguousarray(picture[:300, :440]) for name, picture in pictures.items()}


PHOTOGRAPHS = photographs()
GREY, COLOUR = (1.0, 1.0, 1.0), (1.0, -0.51, 0.0)
"""Changes of red, green and blue; the second leaves the luma as it is."""


def coded(pixels: NDArray[np.uint8], format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def verdict(encoded: bytes) -> str:
    """Return the failure class, or `read`."""
    try:
        image = EncodedImage(encoded)
        _ = image.thumbnail, EncodedImage(encoded).pixels
    except ReadError as error:
        return error.failure_class if error.detail else "without a reason"
    return "read"


def scan_start(encoded: bytes) -> int:
    at = encoded.index(b"\xff\xda")
    return at + 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")


def cut_with_end(encoded: bytes) -> bytes:
    return encoded[: len(encoded) * 9 // 10].rstrip(b"\xff") + b"\xff\xd9"


def padded_with_zeros(encoded: bytes) -> bytes:
    kept = len(encoded) * 7 // 10
    return encoded[:kept] + bytes(len(encoded) - kept - 2) + b"\xff\xd9"


def bad_codes(encoded: bytes) -> bytes:
    middle = (scan_start(encoded) + len(encoded)) // 2
    return encoded[:middle] + b"\xfe" * 60 + encoded[middle + 60 :]


def extraneous(encoded: bytes) -> bytes:
    return encoded[:-2] + bytes(range(1, 200)) + b"\xff\xd9"


def marker_within(encoded: bytes) -> bytes:
    middle = (scan_start(encoded) + len(encoded)) // 2
    return encoded[:middle] + b"\xff\xd3" + encoded[middle + 2 :]


def flipped_everywhere(encoded: bytes) -> bytes:
    rng, spoilt = random.Random(5), bytearray(encoded)
    for at in rng.sample(range(scan_start(encoded), len(encoded) - 2), 40):
        spoilt[at] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


JPEG_DAMAGE: tuple[Callable[[bytes], bytes], ...] = (
    cut_with_end,
    padded_with_zeros,
    bad_codes,
    extraneous,
    marker_within,
    flipped_everywhere,
)


UNNOTICED = {
    "{}": (),
    "{'progressive': True}": (("rocket", bad_codes),),
    "{'restart_marker_rows': 1}": (
        *((name, bad_codes) for name in PHOTOGRAPHS),
        ("rocket", flipped_everywhere),
    ),
}
"""Valid streams of the right length, without a shift that goes on: nothing in the file tells that they are wrong."""


@pytest.mark.parametrize("spoil", JPEG_DAMAGE)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_a_damaged_jpeg_is_named(spoil: Callable[[bytes], bytes], options: dict[str, object]) -> None:
    for name, pixels in PHOTOGRAPHS.items():
        whole = coded(pixels, "JPEG", quality=88, **options)
        assert verdict(whole) == "read", name
        found = verdict(spoil(whole))
        assert found in {"damaged", "undecodable"} or (name, spoil) in UNNOTICED.get(str(options), ()), name


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_a_jpeg_without_its_end_is_whole(options: dict[str, object]) -> None:
    whole = coded(PHOTOGRAPHS["coffee"], "JPEG", quality=88, **options)
    expected = EncodedImage(whole).pixels
    padded = whole[:-2] + bytes(9) + whole[-2:]
    for odd in (whole[:-2], whole[:-1], whole + b"behind" * 50, whole[:-2] + bytes(40), padded):
        assert np.array_equal(EncodedImage(odd).pixels, expected)
        assert verdict(odd) == "read"
    assert verdict(whole[: len(whole) * 9 // 10]) == "truncated"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"progressive": True, "subsampling": 0}], ids=str)
@pytest.mark.parametrize("grey", [False, True])
def test_a_jpeg_that_is_cut_anywhere_is_refused_or_whole(options: dict[str, object], grey: bool) -> None:
    pixels = next(iter(PHOTOGRAPHS.values()))[:48, :64]
    encoded = coded(pixels[..., 1] if grey else pixels, "JPEG", quality=85, **options)
    whole = EncodedImage(encoded).pixels
    passed = 0
    for length in range(scan_start(encoded), len(encoded)):
        try:
            assert np.array_equal(EncodedImage(encoded[:length]).pixels, whole), length
        except ReadError:
            continue
        passed += 1
    assert passed >= 1  # only the end marker is missing


def test_grey_and_cmyk_jpegs_are_looked_at() -> None:
    for mode in ("L", "CMYK"):
        file = io.BytesIO()
        Image.fromarray(PHOTOGRAPHS["chelsea"]).convert(mode).save(file, "JPEG")
        assert verdict(file.getvalue()) == "read"
        assert verdict(cut_with_end(file.getvalue())) == "damaged"


@pytest.mark.parametrize("shift", [-40, -25, 25, 40])
def test_a_shift_without_a_warning_is_found(shift: int) -> None:
    for name, pixels in PHOTOGRAPHS.items():
        assert find_shift(pixels, 16, 16) is None, name
    spoilt = PHOTOGRAPHS["rocket"].astype(int) + 60
    spoilt[96:112, 160:] += shift
    spoilt[112:] += shift
    assert find_shift(np.clip(spoilt, 0, 255).astype(np.uint8), 16, 16) == 96
    edge = PHOTOGRAPHS["rocket"].astype(int) + 60
    edge[96:] += shift  # a horizon on the edge of a row of blocks
    assert find_shift(np.clip(edge, 0, 255).astype(np.uint8), 16, 16) is None


def sky(seed: int, grain: float) -> NDArray[np.uint8]:
    """A soft gradient of brightness and colour, (H, W, 3); grain: standard deviation in levels."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers((160, 300), (400, 700))
    down, across = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    slopes = rng.normal(0, 60, (3, 3)) * [[1], [0.2], [0.5]]
    values = rng.uniform(60, 200, 3) + slopes[0] * down + slopes[1] * across + slopes[2] * down**2
    values += rng.normal(0, grain, values.shape)
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.mark.full
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("quality", [5, 10, 20, 35])
@pytest.mark.parametrize("seeds", [range(5), range(5, 25)])
def test_the_blocks_of_a_strong_compression_are_no_shift(quality: int, subsampling: int, seeds: range) -> None:
    skies = [sky(seed, grain) for seed in seeds for grain in (0.0, 1.0)]
    for number, pixels in enumerate([*PHOTOGRAPHS.values(), *skies]):
        once = coded(pixels, "JPEG", quality=quality, subsampling=subsampling)
        again = coded(EncodedImage(once).pixels, "JPEG", quality=95, subsampling=0)
        assert (verdict(once), verdict(again)) == ("read", "read"), number


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("shift", [-24, -12, 12, 24])
@pytest.mark.parametrize("colour", [GREY, COLOUR])
def test_a_shift_in_a_plain_sky_is_found(shift: int, colour: tuple[float, ...], subsampling: int) -> None:
    change = np.rint(shift * np.array(colour)).astype(int)
    quality = 97 if subsampling else 88  # keeps some grain of the colours
    for seed in range(10):
        pixels = np.clip(sky(seed, 3.0), 40, 215).astype(int)
        below = 80 if subsampling else 72  # one row of units below the 64th
        pixels[64:below, 160:] += change
        pixels[below:] += change
        encoded = coded(pixels.astype(np.uint8), "JPEG", quality=quality, subsampling=subsampling)
        assert verdict(encoded) == "damaged", seed


def stair(offset: float, fall: float, rise: int, softness: int, change: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A wall with a beam, whose soft edge is lower in the left two thirds than to the right of it: (H, W, 3)."""
    height, width = 400, 640
    across = np.arange(width)
    edge = 144 + offset + fall * (across / width - 0.5) - np.where(across < 432, 0, rise)
    below = np.clip((np.arange(height)[:, None] - edge) / softness + 0.5, 0, 1)
    grain = np.random.default_rng(3).normal(0, 2, (height, width))
    return ((150 + grain)[..., None] - change * below[..., None]).astype(np.uint8)


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("colour", [GREY, COLOUR])
@pytest.mark.parametrize("depth", [12, 20, 40, -30])
def test_a_stair_in_a_scene_is_no_shift(depth: int, colour: tuple[float, ...], subsampling: int) -> None:
    rise = 16 if subsampling else 8
    softness = 9 if subsampling and colour == COLOUR else 5  # softer than what upsampling blurs itself
    for offset, fall in product((-2.5, -1.5, 1, 2), (-3, -1, 1, 3)):
        scene = stair(offset, fall, rise, softness, depth * np.array(colour))
        encoded = coded(scene, "JPEG", quality=88, subsampling=subsampling)
        assert verdict(encoded) == "read", (offset, fall)


@pytest.mark.parametrize("tint", [-24, 24])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_horizon_that_changes_its_colours_is_no_shift(tint: int, subsampling: int) -> None:
    """A dark strip as high as a row of blocks: colours change at its upper edge here, at its lower one there."""
    random = np.random.default_rng(3)
    height = 16 if subsampling else 8
    scene = np.full((12 * height, 320, 3), 170.0) + random.normal(0, 4, (12 * height, 320, 3))
    red = np.array([1.0, -0.5, 0.0])  # a difference of colours that leaves luma about as it is
    scene[6 * height : 7 * height] -= 100
    scene[7 * height :, :160] += tint * red
    scene[6 * height :, 160:] += tint * red
    whole = coded(
        np.clip(scene, 0, 255).astype(np.uint8), "JPEG", quality=97 if subsampling else 92, subsampling=subsampling
    )
    assert verdict(whole) == "read"
    without_strip = scene.copy()
    without_strip[6 * height : 7 * height] += 100
    shifted = np.clip(without_strip, 0, 255).astype(np.uint8)
    assert verdict(coded(shifted, "JPEG", quality=97 if subsampling else 92, subsampling=subsampling)) == "damaged"


@pytest.mark.parametrize("height", range(8, 64))
def test_images_of_few_rows_of_blocks_are_looked_at(height: int) -> None:
    for rows in (8, 16):
        pixels = np.full((height, 320, 3), 90, np.uint8)
        pixels[rows:, 160:] += 30
        pixels[2 * rows :, :160] += 30
        assert find_shift(pixels, rows, 16) is None


def png_of(chunks: list[tuple[bytes, bytes]], wrong: bytes = b"") -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        checksum = zlib.crc32(kind + body) ^ (kind == wrong)
        parts += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)]
    return b"".join(parts)


@pytest.mark.parametrize("palette", [False, True])
def test_a_damaged_png_is_named(palette: bool) -> None:
    image = Image.fromarray(PHOTOGRAPHS["chelsea"])
    file = io.BytesIO()
    (image.quantize(64) if palette else image).save(file, "PNG")
    encoded, chunks, at = file.getvalue(), [], 8
    while at < len(encoded):
        (length,) = struct.unpack_from(">I", encoded, at)
        chunks.append((encoded[at + 4 : at + 8], encoded[at + 8 : at + 8 + length]))
        at += 12 + length
    head = [chunk for chunk in chunks if chunk[0] in {b"IHDR", b"PLTE"}]
    packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
    rows = zlib.decompress(packed)

    def png(data: bytes, wrong: bytes = b"") -> str:
        return verdict(png_of([*head, (b"tEXt", b"a\0b"), (b"IDAT", data), (b"IEND", b"")], wrong))

    flipped = packed[:-9] + bytes([packed[-9] ^ 1]) + packed[-8:]
    assert [png(packed), png(packed, b"tEXt"), png(packed, b"IEND"), png(packed[:-4])] == ["read"] * 4
    assert verdict(png_of([*head, (b"IDAT", packed)])) == "read"
    assert png(zlib.compress(rows + bytes(50))) == "read"
    broken = [packed[:-1] + bytes([packed[-1] ^ 1]), zlib.compress(rows[:-900]), packed[:-2000], flipped]
    assert [png(data) for data in broken] == ["damaged"] * 4
    assert [png(packed, wrong) for wrong in (b"IDAT", *[kind for kind, _ in head])] == ["damaged"] * (1 + len(head))
    assert verdict(encoded[: len(encoded) * 3 // 4]) == "truncated"


def test_a_damaged_webp_or_avif_is_named() -> None:
    for format, options in (("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {})):
        whole = coded(PHOTOGRAPHS["astronaut"], format, **options)
        assert verdict(whole) == "read"
        assert {verdict(whole[: len(whole) * share // 10]) for share in (5, 7, 9)} == {"truncated"}
        if format == "WEBP":
            cut = whole[: len(whole) * 7 // 10 // 2 * 2]
            cut = cut[:4] + struct.pack("<I", len(cut) - 8) + cut[8:16] + struct.pack("<I", len(cut) - 20) + cut[20:]
            assert verdict(cut) == "damaged"


def test_a_damaged_gif_is_named() -> None:
    whole = coded(PHOTOGRAPHS["coffee"], "GIF")
    assert [verdict(whole), verdict(whole[:-1])] == ["read", "read"]
    assert verdict(whole[: len(whole) // 2]) == "truncated"
    end = whole.index(b"\x2c\0\0\0\0", 13 + 3 * 256) + 11  # the first block of codes
    for _ in range(20):
        end += 1 + whole[end]
    assert verdict(whole[:end] + b"\0;") == "damaged"  # the codes end early, in a complete file


@pytest.mark.parametrize("packing", ["none", "lzw", "adobe_deflate", "packbits", "jpeg"])
def test_a_damaged_tiff_is_named(packing: str) -> None:
    names = {"none": "raw", "lzw": "tiff_lzw", "adobe_deflate": "tiff_adobe_deflate"}
    whole = coded(PHOTOGRAPHS["astronaut"], "TIFF", compression=names.get(packing, packing))
    assert verdict(whole) == "read"
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        page = file.pages[0]
        offset, size, tag = page.dataoffsets[0], page.databytecounts[0], page.tags["StripByteCounts"]
        place, many, kind = tag.valueoffset, tag.count, {3: "H", 4: "I"}[int(tag.dtype)]
    sizes = struct.unpack_from(f"<{many}{kind}", whole, place)
    short = bytearray(whole)
    struct.pack_into(f"<{many}{kind}", short, place, sizes[0] // 2, *sizes[1:])
    assert verdict(bytes(short)) == "damaged"
    half = offset + size // 2
    if packing != "none":  # nothing tells zeros from pixels there
        assert verdict(whole[:half] + bytes(offset + size - half) + whole[offset + size :]) == "damaged"
    assert verdict(whole[:half]) in {"truncated", "undecodable"}


@pytest.mark.full
def test_the_whole_photograph_stays(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, pixels in PHOTOGRAPHS.items():
        whole = coded(pixels, "JPEG", quality=88)
        (folder / f"{name}-whole.jpg").write_bytes(whole)
        for spoil in JPEG_DAMAGE:
            (folder / f"{name}-{spoil.__name__}.jpg").write_bytes(spoil(whole))
    out = tmp_path / "out"
    build([str(folder)], str(out), parse({"gates": []}, origin="test"), Options(workers=0))
    rows = ledgers.load(Folder(str(out))).to_pylist()
    kept = {row["uri"] for row in rows if row["verdict"] == "kept"}
    assert {f"{name}-whole.jpg" for name in PHOTOGRAPHS} == kept
    assert {row["failure_class"] for row in rows if "whole" not in row["uri"]} <= {"damaged", "undecodable"}


@pytest.mark.skipif(not FAULTS.is_dir(), reason="shared data is absent")
@pytest.mark.parametrize(
    ("name", "expected"),
    [("no_eoi.jpg", "read"), ("cut90_eoi.jpg", "damaged"), ("bad_crc_phys.png", "read"), ("ztxt_2mb.png", "read")],
)
def test_the_reported_files(name: str, expected: str) -> None:
    assert verdict((FAULTS / name).read_bytes()) == expected


@pytest.mark.full
@pytest.mark.parametrize("strip", ["never", "always"])
def test_a_jpeg_without_its_end_is_published_with_one(tmp_path: Path, strip: str) -> None:
    whole = coded(next(iter(PHOTOGRAPHS.values())), "JPEG", quality=90)
    (tmp_path / "padded.jpg").write_bytes(whole[:-2] + b"\0\0")
    recipe = parse({"gates": [], "patches": {"size": 64}, "privacy": {"strip_metadata": strip}}, origin="test")
    made = build(str(tmp_path / "padded.jpg"), tmp_path / "out", recipe, Options(workers=0))
    assert made.funnel.kept == 1, made.funnel
    assert verify(made.out).faults == []
    assert made.dataset()[0]["image"].size == Image.open(io.BytesIO(whole)).size


def _is_imagemagick(program: str) -> bool:
    """Return whether it is ImageMagick itself: other programs have the name, too."""
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stdout
    return said.startswith("Version: ImageMagick")


@pytest.mark.parametrize("factors", ["3x1", "4x2", "2x2,1x2,1x1", "3x2", "2x1,2x1,1x1", "1x2"])
def test_a_whole_jpeg_of_unusual_sampling_is_whole(factors: str, tmp_path: Path) -> None:
    """TurboJPEG does not read most of these, and Pillow does."""
    found = (program for name in ("magick", "convert") if (program := shutil.which(name)) is not None)
    convert = next((program for program in found if _is_imagemagick(program)), None)
    if convert is None:
        pytest.skip("ImageMagick is absent")
    Image.fromarray(next(iter(PHOTOGRAPHS.values()))).save(tmp_path / "in.png")
    command = [convert, tmp_path / "in.png", "-sampling-factor", factors, "-quality", "90", tmp_path / "out.jpg"]
    subprocess.run(command, check=True)
    assert verdict((tmp_path / "out.jpg").read_bytes()) == "read"
