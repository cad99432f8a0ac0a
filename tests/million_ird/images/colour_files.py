"""Files of every colour layout with their expected pixels, from formulas and writers that the package does not use."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from tests.million_ird.images.profiles import P3, REC709, grey_profile, make_profile, srgb_decoded, srgb_encoded, to_xyz

HEIGHT, WIDTH = 6, 11


@dataclass(frozen=True)
class ColourFile:
    """A file and what it shows, (H, W, 3) of 0 to 255, before rounding; None where it must be refused."""

    name: str
    encoded: bytes
    expected: np.ndarray | None
    tolerance: float = 0.51
    icc: str | None = None
    refusal: str = ""
    judged: bool = False
    """Whether ImageMagick, which leaves profiles and gamma alone, shows the same.

    Version 6 does not invert grey of 2, 4, 10 and 12 bits, and errs about the alpha of a PAM.
    """


def shown(
    values: np.ndarray, cover: np.ndarray | None = None, *, primaries: Any = None, gamma: float | None = None
) -> np.ndarray:
    """Return what (H, W, 1 or 3) stored values show over white, 0 to 255.

    Args:
        values: 0 to 1.
        cover: (H, W), 0 to 1.
        primaries: of their space; None for those of sRGB.
        gamma: light = value ** gamma; None for sRGB's curve.
    """
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    if primaries is not None or gamma is not None:
        light = srgb_decoded(values) if gamma is None else values**gamma
        light = light @ np.linalg.solve(to_xyz(REC709), to_xyz(primaries or REC709)).T
        values = srgb_encoded(light)
    if cover is not None:
        values = values * cover[..., None] + (1 - cover[..., None])
    return 255 * values


def png(kind: int, bits: int, levels: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """Write a PNG of colour type `kind` from (H, W, C) levels."""
    height, width, _ = levels.shape
    head = struct.pack(">2I5B", width, height, bits, kind, 0, 0, 0)
    rows = b"".join(b"\0" + packed(row.reshape(-1), bits) for row in levels)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def packed(levels: np.ndarray, bits: int) -> bytes:
    """Return a row of levels in bits, the highest first, padded to bytes."""
    ones = (levels.astype(np.uint64)[:, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint64)) & np.uint64(1)
    return np.packbits(ones.astype(np.uint8).reshape(-1)).tobytes()


def tiff(levels: np.ndarray, photometric: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels, photometric=photometric, metadata=None, **options)
    return buffer.getvalue()


def random_levels(seed: int, channels: int, bits: int) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 1 << bits, (HEIGHT, WIDTH, channels))
    levels[0, 0], levels[0, 1] = 0, (1 << bits) - 1
    return levels.astype(np.uint16 if bits > 8 else np.uint8)


PNG_SPACES: tuple[tuple[str, tuple[tuple[bytes, bytes], ...], dict[str, Any]], ...] = (
    ("none", (), {}),
    ("srgb", ((b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))), {}),
    ("near-srgb", ((b"gAMA", struct.pack(">I", 45455)),), {}),
    ("gama", ((b"gAMA", struct.pack(">I", 100000)),), {"gamma": 1.0}),
    (
        "chrm",
        ((b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),),
        {"primaries": P3},
    ),
    ("cicp-p3", ((b"cICP", bytes([12, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100000))), {"primaries": P3}),
    ("cicp-srgb", ((b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100000))), {}),
    (
        "icc-p3",
        ((b"iCCP", b"p\0\0" + zlib.compress(make_profile(P3, 2.2, "P3"))),),
        {"primaries": P3, "gamma": 563 / 256},
    ),
    ("icc-grey", ((b"iCCP", b"p\0\0" + zlib.compress(grey_profile(1.0))),), {"gamma": 1.0}),
)


def png_files() -> Iterator[ColourFile]:
    """Yield PNGs of every colour type, depth, transparency and colour space."""
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    for kind, bits in ((kind, bits) for kind, some in depths.items() for bits in some):
        for number, (space, chunks, options) in enumerate(PNG_SPACES):
            grey = kind in {0, 4}
            mismatch = space == ("icc-p3" if grey else "icc-grey")
            used = {} if mismatch else {k: v for k, v in options.items() if not (grey and k == "primaries")}
            if space == "icc-p3" and not mismatch:
                used["gamma"] = round(2.2 * 256) / 256
            icc = "broken" if mismatch else "converted" if used else None
            by_table_of_8_bits = space.startswith("icc") and not mismatch and bits <= 8
            for keyed in (False, True) if kind in {0, 2, 3} else (False,):
                levels = random_levels(kind * 100 + bits + number, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind], bits)
                more, values, cover = _png_colours(kind, bits, levels, keyed)
                name = f"png-{kind}-{bits}-{space}-{'trns' if keyed else 'plain'}"
                encoded = png(kind, bits, levels, *chunks, *more)
                tolerance = 2.1 if by_table_of_8_bits else 1.01 if cover is not None and bits <= 8 else 0.51
                judged = space == "none"
                yield ColourFile(name, encoded, shown(values, cover, **used), tolerance, icc, judged=judged)


def _png_colours(
    kind: int, bits: int, levels: np.ndarray, keyed: bool
) -> tuple[list[tuple[bytes, bytes]], np.ndarray, np.ndarray | None]:
    """Return PLTE and tRNS, and values and cover of 0 to 1."""
    white = (1 << bits) - 1
    if kind in {4, 6}:
        return [], levels[..., :-1] / white, levels[..., -1] / white
    if kind == 3:
        entries = np.random.default_rng(bits).integers(0, 256, (1 << bits, 3))
        chunks = [(b"PLTE", entries.astype(np.uint8).tobytes())]
        alphas = np.random.default_rng(bits + 1).integers(0, 256, 1 << bits)
        if keyed:
            chunks.append((b"tRNS", alphas.astype(np.uint8).tobytes()))
        cover = alphas[levels[..., 0]] / 255
        return chunks, entries[levels[..., 0]] / 255, cover if keyed else None
    values = levels / white
    if not keyed:
        return [], values, None
    key = levels[2, 3]
    cover = 1.0 - (levels == key).all(axis=2)
    return [(b"tRNS", key.astype(">u2").tobytes())], values, cover


def tiff_files() -> Iterator[ColourFile]:
    """Yield TIFFs of every depth, colour model, alpha, polarity, layout and compression."""
    yield from _tiff_grey()
    yield from _tiff_colours()
    yield from _tiff_floats()
    yield from _tiff_layouts()
    yield from _tiff_refused()


def _tiff_grey() -> Iterator[ColourFile]:
    for bits in (1, 2, 4, 8, 10, 12, 14, 16):
        levels = random_levels(bits, 1, bits)
        values = levels / ((1 << bits) - 1)
        depth = {} if bits in {8, 16} else {"bitspersample": bits}
        stored = levels[..., 0]
        for photometric, meant in (("minisblack", values), ("miniswhite", 1 - values)):
            encoded = _bits_tiff(stored, photometric, bits) if bits < 8 else tiff(stored, photometric, **depth)
            yield ColourFile(
                f"tiff-{photometric}-{bits}",
                encoded,
                shown(meant),
                judged=photometric == "minisblack" or bits in {1, 8, 16},
            )
        if bits in {8, 16}:
            for gamma in (1.0, 2.5):
                profile = {"iccprofile": grey_profile(gamma)}
                for photometric, meant in (("minisblack", values), ("miniswhite", 1 - values)):
                    name = f"tiff-{photometric}-{bits}-icc-grey-{gamma}"
                    expected = shown(meant, gamma=gamma)
                    tolerance = 2.1 if bits == 8 else 0.51
                    yield ColourFile(name, tiff(stored, photometric, **profile), expected, tolerance, "converted")
        if bits >= 8 and not depth:
            yield from _tiff_alpha("minisblack", bits, 1)


def _bits_tiff(levels: np.ndarray, photometric: str, bits: int) -> bytes:
    """Write a grey TIFF of less than 8 bits by hand."""
    data = b"".join(packed(row, bits) for row in levels)
    tags = {256: levels.shape[1], 257: levels.shape[0], 258: bits, 259: 1, 262: int(photometric == "minisblack")}
    tags |= {273: 8, 277: 1, 278: levels.shape[0], 279: len(data)}
    data += bytes(len(data) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def _tiff_alpha(photometric: str, bits: int, n_colours: int) -> Iterator[ColourFile]:
    white = (1 << bits) - 1
    levels = random_levels(bits + n_colours, n_colours + 1, bits)
    levels[0, :2, -1] = 0, white
    cover = levels[..., -1] / white
    yield ColourFile(
        f"tiff-{photometric}-{bits}-straight",
        tiff(levels, photometric, extrasamples=["unassalpha"], planarconfig="contig"),
        shown(levels[..., :-1] / white, cover),
        1.01 if bits == 8 else 0.51,
        judged=True,
    )
    levels[..., :-1] = np.minimum(levels[..., :-1], levels[..., -1:])
    values = levels[..., :-1] / np.maximum(levels[..., -1:], 1)
    for keyword in ("assocalpha",):
        encoded = tiff(levels, photometric, extrasamples=[keyword], planarconfig="contig")
        expected = shown(values, cover)
        yield ColourFile(f"tiff-{photometric}-{bits}-premultiplied", encoded, expected, 1.01, judged=True)
    unknown = tiff(levels, photometric, extrasamples=["unspecified"], planarconfig="contig")
    yield ColourFile(f"tiff-{photometric}-{bits}-unspecified", unknown, shown(levels[..., :-1] / white))


def _tiff_colours() -> Iterator[ColourFile]:
    for bits in (8, 10, 12, 14, 16):
        levels = random_levels(bits, 3, bits)
        values = levels / ((1 << bits) - 1)
        depth = {} if bits in {8, 16} else {"bitspersample": bits}
        yield ColourFile(f"tiff-rgb-{bits}", tiff(levels, "rgb", **depth), shown(values), judged=bits in {8, 12, 16})
        if depth:
            continue
        yield from _tiff_alpha("rgb", bits, 3)
        profile = make_profile(P3, 2.2, "P3")
        expected = shown(values, primaries=P3, gamma=round(2.2 * 256) / 256)
        encoded = tiff(levels, "rgb", iccprofile=profile)
        yield ColourFile(f"tiff-rgb-{bits}-icc-p3", encoded, expected, 2.1 if bits == 8 else 0.55, "converted")
        ink = random_levels(bits, 4, bits)
        light = 1 - ink / ((1 << bits) - 1)
        expected = shown(light[..., :3] * light[..., 3:])
        tolerance = 1.51 if bits == 8 else 0.51
        yield ColourFile(f"tiff-cmyk-{bits}", tiff(ink, "separated"), expected, tolerance, judged=True)
        yield ColourFile(f"tiff-lab-{bits}", tiff(levels, "cielab"), _lab(levels, bits), 0.6)
        table = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    indices = random_levels(3, 1, 8)[..., 0]
    expected = 255 * (table >> 8).T[indices] / 255
    encoded = tiff(indices, "palette", colormap=table)
    yield ColourFile("tiff-palette-8", encoded, expected)
    small = (table >> 8).astype(np.uint16)
    yield ColourFile("tiff-palette-of-8-bit-entries", tiff(indices, "palette", colormap=small), small.T[indices] * 1.0)


def _lab(levels: np.ndarray, bits: int) -> np.ndarray:
    signed = levels.astype(np.int64)
    signed = np.where(signed >= 1 << (bits - 1), signed - (1 << bits), signed) / (1 << (bits - 8))
    light = levels[..., 0] * 100.0 / ((1 << bits) - 1)
    y = (light + 16) / 116
    curved = np.stack([y + signed[..., 1] / 500, y, y - signed[..., 2] / 200], axis=2)
    xyz = np.where(curved > 6 / 29, curved**3, 3 * (6 / 29) ** 2 * (curved - 4 / 29)) * [0.9642, 1.0, 0.8249]
    # To linear sRGB from XYZ under D50, Bradford, as brucelindbloom.com has it.
    matrix = np.array(
        [
            [3.1338561, -1.6168667, -0.4906146],
            [-0.9787684, 1.9161415, 0.0334540],
            [0.0719453, -0.2289914, 1.4052427],
        ]
    )
    return 255 * srgb_encoded(xyz @ matrix.T)


def _tiff_floats() -> Iterator[ColourFile]:
    for dtype in (np.float16, np.float32, np.float64):
        for channels, photometric in ((1, "minisblack"), (3, "rgb")):
            values = np.random.default_rng(channels).random((HEIGHT, WIDTH, channels)).astype(dtype)
            stored = values[..., 0] if channels == 1 else values
            name = f"tiff-{np.dtype(dtype).name}-{photometric}"
            yield ColourFile(name, tiff(stored, photometric), shown(values.astype(np.float64)))
            if dtype != np.float64:
                encoded = tiff(stored, photometric, compression="zlib", predictor=True)
                yield ColourFile(f"{name}-predicted", encoded, shown(values.astype(np.float64)))
            wide = tiff(stored * dtype(300), photometric)
            yield ColourFile(f"{name}-wide", wide, None, refusal=r"float samples from .* to .*, outside \[0, 1\]")
        nan = np.full((4, 4), np.nan, dtype)
        yield ColourFile(f"tiff-nan-{np.dtype(dtype).name}", tiff(nan, "minisblack"), None, refusal="not numbers")


def _tiff_layouts() -> Iterator[ColourFile]:
    big = np.random.default_rng(0).integers(0, 65536, (50, 70, 3)).astype(np.uint16)
    linear = make_profile(REC709, 1.0, "Linear")
    for name, levels, white in (("16", big, 65535), ("float", (big / 65535).astype(np.float32), 1)):
        expected = shown(levels / white, gamma=1.0)
        yield ColourFile(f"tiff-linear-{name}", tiff(levels, "rgb", iccprofile=linear), expected, 0.55, "converted")
    yield from _tiff_cuts(big)
    yield from _tiff_cuts((big >> 8).astype(np.uint8))


def _tiff_cuts(big: np.ndarray) -> Iterator[ColourFile]:
    expected = shown(big / np.iinfo(big.dtype).max)
    for compression in (None, "zlib", "lzw", "packbits", "lzma"):
        for options in (
            {"rowsperstrip": 7},
            {"tile": (16, 32)},
            {"planarconfig": "separate", "rowsperstrip": 9},
            {"planarconfig": "separate", "tile": (16, 16)},
            {"rowsperstrip": 7, "byteorder": ">"},
            {"rowsperstrip": 50, "bigtiff": True},
            {"tile": (16, 32), "predictor": True, "byteorder": ">"},
        ):
            if "predictor" in options and compression in {None, "packbits"}:
                continue
            stored = big.transpose(2, 0, 1) if options.get("planarconfig") == "separate" else big
            name = f"tiff-{big.dtype}-{compression}-" + "-".join(f"{k}={v}" for k, v in options.items())
            encoded = tiff(np.ascontiguousarray(stored), "rgb", compression=compression, **options)
            yield ColourFile(name, encoded, expected)


def _tiff_refused() -> Iterator[ColourFile]:
    signed, wide = np.zeros((4, 4), np.int16), np.zeros((4, 4), np.uint32)
    yield ColourFile("tiff-signed", tiff(signed, "minisblack"), None, refusal="signed integers")
    yield ColourFile("tiff-32-bits", tiff(wide, "minisblack"), None, refusal="32-bit grey")
    both = np.zeros((4, 4, 2), np.uint16)
    encoded = tiff(both, "miniswhite", extrasamples=["assocalpha"], planarconfig="contig")
    yield ColourFile("tiff-white-is-zero-premultiplied", encoded, None, refusal="white is zero")
    mosaic = tiff(np.zeros((4, 4), np.uint16), "cfa")
    yield ColourFile("tiff-mosaic", mosaic, None, refusal="raw mosaic")


def pillow(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
