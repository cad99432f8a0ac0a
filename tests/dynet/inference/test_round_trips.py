"""A network that changes nothing gives the input's samples back, in every depth, layout, page and frame.

The files are written here by tifffile, Pillow or by hand, and the results are read by tifffile and Pillow.
"""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from dynet import DyNet
from dynet.errors import ImageError
from dynet.inference.images import read_file, read_image, write_file

Command = Callable[..., tuple[int, str, str]]
HEIGHT, WIDTH = 9, 13
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def restore(tiny: DyNet, tmp_path: Path, dynet_command: Command) -> Callable[..., Path]:
    """Restores the folder `in` by a network that changes nothing; returns the folder of the results."""
    torch.nn.init.zeros_(tiny.output.weight)
    tiny.save(tmp_path / "identity.safetensors")

    def run(*options: str) -> Path:
        out = tmp_path / "out"
        weights = ("--weights", tmp_path / "identity.safetensors", "--precision", "fp32", "--device", "cpu")
        code, _, err = dynet_command("restore", tmp_path / "in", "--out", out, *weights, "--overwrite", *options)
        assert code == 0, err
        return out

    (tmp_path / "in").mkdir()
    return run


def random_samples(bits: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng([seed, abs(bits), *shape])
    if bits > 16 or bits == -16:
        return generator.normal(0.4, 0.7, shape).astype({-16: np.float16, 32: np.float32, 64: np.float64}[bits])
    return generator.integers(0, 1 << bits, shape).astype(np.uint8 if bits <= 8 else np.uint16)


def stored_again(samples: np.ndarray, bits: int) -> np.ndarray:
    """Return whole numbers of any depth as 8 or 16 bits of the same share of white; floating point as it is."""
    if samples.dtype.kind == "f":
        return samples
    white = 255 if bits <= 8 else 65535
    return np.rint(samples.astype(np.float64) * white / ((1 << bits) - 1)).astype(samples.dtype)


HALF = -16
DEPTHS = (1, 2, 4, 7, 8, 10, 12, 14, 16, HALF, 32, 64)
LAYOUTS = (
    {"compression": "lzw"},
    {"compression": "zlib", "predictor": True},
    {"tile": (16, 16), "compression": "packbits"},
    {"byteorder": ">"},
    {"bigtiff": True, "byteorder": ">"},
    {"rowsperstrip": 2, "compression": "zstd"},
)


def _tiff_cases() -> Iterator[tuple[str, np.ndarray, int, dict[str, object]]]:
    layouts = itertools.cycle(LAYOUTS)
    for bits, model, alpha, planes in itertools.product(
        DEPTHS, ("grey", "white is zero", "rgb"), (None, "unassalpha", "assocalpha"), ("contig", "separate")
    ):
        channels = (3 if model == "rgb" else 1) + (alpha is not None)
        if (bits == 1 and channels > 1) or (channels == 1 and planes == "separate"):
            continue  # tifffile writes no such file, or the two are the same
        if model == "white is zero" and alpha == "assocalpha":
            continue  # what it means is not defined
        samples = random_samples(bits, (HEIGHT, WIDTH, channels))
        if alpha == "assocalpha":
            opacity = np.abs(samples[..., -1:]) + (0.25 if samples.dtype.kind == "f" else 0)
            samples = np.concatenate([np.minimum(samples[..., :-1], opacity), opacity], axis=2).astype(samples.dtype)
        options: dict[str, object] = {
            "photometric": {"grey": "minisblack", "white is zero": "miniswhite", "rgb": "rgb"}[model],
            "extrasamples": [alpha] if alpha else None,
            "planarconfig": planes if channels > 1 else None,
            **(next(layouts) if bits in (8, 16, HALF, 32, 64) else {"bitspersample": bits}),
        }
        if "predictor" in options and bits == HALF:
            options["predictor"] = False
        yield f"{bits} {model} {alpha} {planes}", samples, bits, options


def _write_tiff(path: Path, samples: np.ndarray, bits: int, options: dict[str, object]) -> None:
    stored = samples.astype(bool) if bits == 1 else samples
    stored = stored[..., 0] if stored.shape[2] == 1 else stored
    if options.get("planarconfig") == "separate":
        stored = np.moveaxis(stored, 2, 0)
    of_file = {name: options[name] for name in ("byteorder", "bigtiff") if name in options}
    of_page = {name: value for name, value in options.items() if name not in of_file}
    with tifffile.TiffWriter(path, **of_file) as file:
        file.write(stored, metadata=None, **of_page)


def _expected(samples: np.ndarray, bits: int, options: dict[str, object]) -> np.ndarray:
    """Return (H, W, channels) of 8 or 16 bits or floating point, black as zero, alpha not premultiplied."""
    scaled = stored_again(samples, bits)
    extra = options["extrasamples"]
    colour, alpha = (scaled[..., :-1], scaled[..., -1:]) if extra else (scaled, scaled[..., :0])
    if options["photometric"] == "miniswhite":
        low, high = (
            (min(0.0, colour.min()), max(1.0, colour.max()))
            if bits in (HALF, 32, 64)
            else (0, np.iinfo(colour.dtype).max)
        )
        colour = (low + high - colour).astype(colour.dtype)
    if extra == ["assocalpha"]:
        white = 1 if colour.dtype.kind == "f" else np.iinfo(colour.dtype).max
        divisor = np.where(alpha == 0, white, alpha).astype(np.float64)
        colour = colour / divisor if white == 1 else np.rint(np.minimum(colour / divisor, 1) * white)
    return np.concatenate([colour.astype(scaled.dtype), alpha], axis=2)


def _unchanged(path: Path, result: Path) -> None:
    """Write what a network that changes nothing makes of a file, without the time for the network."""
    decoded = read_file(path)
    write_file(result, replace(decoded, images=tuple(image.with_rgb(image.as_rgb()) for image in decoded.images)))


def test_every_depth_and_layout_of_tiff_comes_back_exactly(tmp_path: Path) -> None:
    cases = list(_tiff_cases())
    for name, samples, bits, options in cases:
        _write_tiff(tmp_path / "a.tif", samples, bits, options)
        _unchanged(tmp_path / "a.tif", tmp_path / "b.tif")
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            page = file.pages[0]
            stored = np.atleast_3d(page.asarray())
            alpha = [kind.name for kind in page.extrasamples]
        expected = _expected(samples, bits, options)
        assert stored.dtype == expected.dtype, name
        assert alpha == (["UNASSALPHA"] if options["extrasamples"] else []), name
        assert np.array_equal(stored, expected), name
    assert len(cases) > 120


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("low", "high", "stated"),
    [(0, 1, None), (-2, 1, None), (0, 255, None), (0.1, 0.2, None), (-3, 4000, None), (0, 200, (0, 255))],
)
def test_floating_point_samples_keep_their_range(
    tmp_path: Path, dtype: str, low: float, high: float, stated: tuple[float, float] | None
) -> None:
    samples = np.linspace(low, high, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(dtype)
    tags = [(code, "d", 3, [value] * 3, True) for code, value in zip((340, 341), stated or (), strict=False)]
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extratags=tags, metadata=None)
    image = read_image(tmp_path / "a.tif")
    black, white = stated or (min(0.0, float(samples.min())), max(1.0, float(samples.max())))
    assert image.float_range == (black, white)
    rgb = image.as_rgb()
    assert 0 <= rgb.min() <= rgb.max() <= 1
    np.testing.assert_allclose(rgb, (samples.astype(np.float64) - black) / (white - black), atol=1e-6)
    assert np.array_equal(image.with_rgb(rgb).colour, samples)
    brighter = image.with_rgb(rgb + np.float32(0.25)).colour
    expected = np.minimum(samples.astype(np.float64) + (white - black) / 4, white)
    np.testing.assert_allclose(brighter, expected, rtol=2e-3 if dtype == "float16" else 1e-6, atol=1e-6)


def test_floating_point_results_are_read_by_other_programs(tmp_path: Path) -> None:
    samples = random_samples(32, (700, 500, 1))[..., 0]  # many strips
    tags = [(340, "f", 1, -9.0, True), (341, "f", 1, 9.0, True)]
    tifffile.imwrite(tmp_path / "a.tif", samples, extratags=tags, metadata=None, iccprofile=ICC)
    write_file(tmp_path / "b.tif", read_file(tmp_path / "a.tif"))
    with Image.open(tmp_path / "b.tif") as image:  # libtiff
        assert image.mode == "F"
        assert np.array_equal(np.array(image), samples)
        assert image.info["icc_profile"] == ICC
        assert (image.tag_v2[340], image.tag_v2[341]) == ((-9.0,), (9.0,))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    samples = np.zeros((4, 4), np.float32)
    samples[1, 2] = value
    tifffile.imwrite(tmp_path / "a.tif", samples, metadata=None)
    with pytest.raises(ImageError, match="samples that are infinite or not a number"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("target", ["png", "jpeg", "webp", "avif", "bmp"])
def test_a_format_without_floating_point_is_refused_with_the_option_that_keeps_it(
    tmp_path: Path, tiny_weights: Path, dynet_command: Command, target: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.float32), metadata=None)
    arguments = ("restore", tmp_path / "a.tif", "--out", tmp_path / "out", "--weights", tiny_weights)
    code, out, err = dynet_command(*arguments, "--format", target)
    assert (code, out) == (1, "")
    assert "a.tif: has floating-point samples, which only TIFF stores; use --format tiff" in err


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_page_comes_back_with_its_own_kind_and_metadata(
    tmp_path: Path, restore: Callable[..., Path], byteorder: str
) -> None:
    pages = [
        (random_samples(16, (HEIGHT, WIDTH, 3)), "rgb"),
        (random_samples(8, (5, 7)), "minisblack"),
        (random_samples(32, (11, 6)), "minisblack"),
        (random_samples(HALF, (11, 6, 3)), "rgb"),
        (random_samples(8, (40, 30, 3)), "rgb"),
    ]
    with tifffile.TiffWriter(tmp_path / "in" / "a.tif", byteorder=byteorder) as file:
        for number, (samples, kind) in enumerate(pages):
            title = f"page {number} é".encode() + b"\0"
            tags = [(270, 2, len(title), title, True), (274, 3, 1, 1, True)]
            file.write(
                samples,
                photometric=kind,
                metadata=None,
                description=None,
                software=False,
                extratags=tags,
                iccprofile=ICC if number == 1 else None,
                resolution=(100 + number, 300),
                resolutionunit="INCH",
                contiguous=False,
            )
            if number == 0:  # a smaller version of it, which is no page
                file.write(samples[::2, ::2], photometric=kind, subfiletype=1, metadata=None)
    with tifffile.TiffFile(restore() / "a.tif") as file:
        assert len(file.pages) == len(pages)
        for number, (page, (samples, _)) in enumerate(zip(file.pages, pages, strict=True)):
            assert page.dtype == samples.dtype
            assert np.array_equal(page.asarray(), samples)
            assert page.tags[270].value == f"page {number} é"
            assert page.tags[282].value == (100 + number, 1)
            assert (34675 in page.tags) == (number == 1)


def test_converted_pages_are_pages_too(tmp_path: Path, restore: Callable[..., Path]) -> None:
    photo = Image.fromarray(random_samples(8, (HEIGHT, WIDTH, 3)))
    frames = [photo.quantize(16), photo.convert("CMYK"), photo.convert("1"), photo.convert("L")]
    frames[0].save(tmp_path / "in" / "a.tif", save_all=True, append_images=frames[1:])
    with tifffile.TiffFile(restore() / "a.tif") as file:
        stored = [page.asarray() for page in file.pages]
    for page, frame in zip(stored, frames, strict=True):
        assert np.array_equal(page, np.array(frame.convert("L" if frame.mode in "1L" else "RGB")))


def test_pages_fit_no_other_format_and_the_line_names_the_option(
    tmp_path: Path, tiny_weights: Path, dynet_command: Command
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", random_samples(8, (3, 8, 8)), photometric="minisblack", metadata=None)
    arguments = ("restore", tmp_path / "a.tif", "--out", tmp_path / "out", "--weights", tiny_weights)
    for target in ("png", "jpeg", "webp", "avif", "bmp"):
        code, out, err = dynet_command(*arguments, "--format", target)
        assert (code, out) == (1, "")
        assert "a.tif: has 3 pages, which only TIFF stores; use --format tiff" in err
    code, out, _ = dynet_command(*arguments, "--format", "tiff", "--json")
    assert code == 0
    assert '"images": 3' in out


STACK = {"photometric": "minisblack", "metadata": None}


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 8, 8), {"imagej": True}, None),
        ((8, 8), {**STACK, "extratags": [(270, 2, 23, b"ImageJ=1.54f\nimages=5\n\0", True)]}, "an ImageJ stack of 5"),
        ((8, 8), {**STACK, "extratags": [(254, 4, 1, 4, True)]}, "page 1 is a mask of transparency"),
        ((2, 16, 16), {**STACK, "volumetric": True, "tile": (2, 16, 16)}, "page 1 is a volume of 2 planes"),
        ((8, 8, 6), {**STACK, "planarconfig": "contig"}, "has 6 channels"),
    ],
    ids=["pages of ImageJ", "stack of ImageJ", "mask", "volume", "channels"],
)
def test_other_arrangements_are_read_as_pages_or_refused(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, object], message: str | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **options)
    if message is None:
        assert len(read_file(tmp_path / "a.tif").images) == 3
        return
    with pytest.raises(ImageError, match=message) as caught:
        read_file(tmp_path / "a.tif")
    assert "\n" not in str(caught.value)


def test_the_pages_of_a_file_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynet.inference.decoding.MAX_PIXELS", 150)
    monkeypatch.setattr("dynet.inference.images.MAX_PIXELS", 150)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack", metadata=None)
    with pytest.raises(ImageError, match="has more than 0 megapixels"):
        read_file(tmp_path / "a.tif")


def _png16(samples: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """Encode (H, W, channels) of 16 bits by hand."""
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    parts = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_comes_back_as_png_and_as_tiff(
    tmp_path: Path, restore: Callable[..., Path], channels: int
) -> None:
    samples = random_samples(16, (HEIGHT, WIDTH, channels))
    (tmp_path / "in" / "a.png").write_bytes(_png16(samples))
    out = restore()
    again = read_image(out / "a.png")
    joined = np.dstack([again.colour] if again.alpha is None else [again.colour, again.alpha])
    assert np.array_equal(joined, samples)
    assert np.array_equal(np.atleast_3d(tifffile.imread(restore("--format", "tiff") / "a.tif")), samples)


def test_chunks_beside_the_image_do_not_keep_a_png_from_being_read(tmp_path: Path) -> None:
    samples = random_samples(16, (HEIGHT, WIDTH, 3))
    whole = _png16(samples, (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)), (b"tEXt", b"Author\0me"))
    spoilt = whole.replace(struct.pack(">I", zlib.crc32(b"pHYs" + struct.pack(">IIB", 2835, 2835, 1))), b"\0\0\0\0")
    long = zlib.compress(bytes(3 << 20))
    for encoded in (
        spoilt,
        _png16(samples, (b"zTXt", b"Comment\0\0" + long)),
        _png16(samples, (b"iTXt", b"Comment\0\1\0\0\0" + long)),
        _png16(samples, (b"zTXt", b"Comment\0\0not compressed")),
        whole[:-12],
    ):
        (tmp_path / "a.png").write_bytes(encoded)
        assert np.array_equal(read_image(tmp_path / "a.png").colour, samples)
    assert spoilt != whole
