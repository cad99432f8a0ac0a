"""BMP, TGA, PNM, PAM, ICO, GIF and coded files of every layout, written by hand where Pillow does not write them."""

import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
from PIL import Image

from tests.million_ird.images.colour_files import (
    HEIGHT,
    WIDTH,
    ColourFile,
    packed,
    pillow,
    png,
    random_levels,
    shown,
)
from tests.million_ird.images.profiles import P3, grey_profile, make_profile


def smooth(height: int = 32, width: int = 48) -> np.ndarray:
    """Return (H, W, 3) that lossy formats hardly change."""
    y, x = np.mgrid[:height, :width]
    return np.stack([100 + x, 160 - y, 90 + x // 2 + y], axis=2).astype(np.uint8)


def pnm_files() -> Iterator[ColourFile]:
    for maxval in (1, 3, 100, 255, 256, 1023, 4095, 65535):
        dtype = "u1" if maxval < 256 else ">u2"
        for channels, binary, plain in ((1, b"P5", b"P2"), (3, b"P6", b"P3")):
            levels = np.random.default_rng(maxval).integers(0, maxval + 1, (HEIGHT, WIDTH, channels))
            expected = shown(levels / maxval)
            head = b"\n# a comment\n%d %d\n%d\n" % (WIDTH, HEIGHT, maxval)
            text = b" ".join(b"%d" % level for level in levels.reshape(-1))
            name = f"{channels}-{maxval}"
            yield ColourFile(f"pnm-{name}", binary + head + levels.astype(dtype).tobytes(), expected, judged=True)
            yield ColourFile(f"pnm-text-{name}", plain + head + text + b"\n", expected, judged=True)
        for kind, channels, n_colours in (
            ("GRAYSCALE", 1, 1),
            ("RGB", 3, 3),
            ("GRAYSCALE_ALPHA", 2, 1),
            ("RGB_ALPHA", 4, 3),
            ("BLACKANDWHITE", 1, 1),
            ("", 4, 3),
        ):
            if kind == "BLACKANDWHITE" and maxval != 1:
                continue
            levels = np.random.default_rng(maxval).integers(0, maxval + 1, (HEIGHT, WIDTH, channels))
            cover = levels[..., -1] / maxval if channels != n_colours else None
            line = f"TUPLTYPE {kind}\n" if kind else ""
            head = f"P7\n# by hand\nWIDTH {WIDTH}\nHEIGHT {HEIGHT}\nDEPTH {channels}\nMAXVAL {maxval}\n{line}ENDHDR\n"
            encoded = head.encode() + levels.astype(dtype).tobytes()
            expected = shown(levels[..., :n_colours] / maxval, cover)
            yield ColourFile(f"pam-{kind}-{maxval}", encoded, expected, judged=bool(kind) and cover is None)
    ink = b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 5\nMAXVAL 255\nTUPLTYPE STRANGE\nENDHDR\n12345"
    yield ColourFile("pam-strange", ink, None, refusal="5 channels called STRANGE")
    bits = random_levels(1, 1, 1)[..., 0]
    rows = b"".join(packed(row, 1) for row in bits)
    yield ColourFile("pbm", b"P4 %d %d\n" % (WIDTH, HEIGHT) + rows, shown(1.0 - bits[..., None]), judged=True)
    for kind, channels in ((b"Pf", 1), (b"PF", 3)):
        for order, scale in (("<f4", b"-1.0"), (">f4", b"1.0")):
            values = np.random.default_rng(3).random((HEIGHT, WIDTH, channels)).astype(np.float32)
            head = kind + b"\n%d %d\n" % (WIDTH, HEIGHT) + scale + b"\n"
            yield ColourFile(f"pfm-{channels}-{order}", head + values[::-1].astype(order).tobytes(), shown(values))
            wide = head + (values * 9).astype(order).tobytes()
            yield ColourFile(f"pfm-{channels}-{order}-wide", wide, None, refusal="outside")


def bmp(
    rows: bytes, bits: int, compression: int, *, header: int = 40, palette: bytes = b"", masks: tuple[int, ...] = (),
    height: int = HEIGHT, profile: bytes = b"",
) -> bytes:  # fmt: skip
    """Write a BMP by hand; `rows` are from the bottom up unless `height` is negative."""
    mask_bytes = struct.pack(f"<{len(masks)}I", *masks)
    info = struct.pack(
        "<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0
    )
    info = (info + mask_bytes).ljust(header, b"\0")
    if header == 124:
        start = len(info) + len(palette) + len(rows)
        info = info[:56] + (b"DEBM" if profile else b"BGRs") + info[60:112] + struct.pack("<2I", start, len(profile))
        info = info.ljust(124, b"\0")
    offset = 14 + len(info) + len(palette)
    body = info + palette + rows + profile
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, offset) + body


FIELDS: tuple[tuple[str, int, tuple[int, ...]], ...] = (
    ("565", 16, (0xF800, 0x7E0, 0x1F)),
    ("555", 16, (0x7C00, 0x3E0, 0x1F)),
    ("1555", 16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    ("4444", 16, (0xF00, 0xF0, 0xF, 0xF000)),
    ("rgba4444", 16, (0xF000, 0xF00, 0xF0, 0xF)),
    ("bgrx", 32, (0xFF0000, 0xFF00, 0xFF)),
    ("bgra", 32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    ("rgba", 32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    ("abgr", 32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    ("1010102", 32, (0x3FF00000, 0xFFC00, 0x3FF)),
    ("888-shifted", 32, (0x7F800000, 0x7F8000, 0x7F80)),
)


def bmp_files() -> Iterator[ColourFile]:
    for name, bits, masks in FIELDS:
        channels = [
            np.random.default_rng(n).integers(0, (mask >> _shift(mask)) + 1, (HEIGHT, WIDTH))
            for n, mask in enumerate(masks)
        ]
        words = sum(c.astype(np.uint64) << np.uint64(_shift(m)) for c, m in zip(channels, masks, strict=True))
        parts = [c / (m >> _shift(m)) for c, m in zip(channels, masks, strict=True)]
        expected = shown(np.stack(parts[:3], axis=2), parts[3] if len(parts) == 4 else None)
        stored = np.asarray(words).astype(f"<u{bits // 8}")
        padded = np.zeros((HEIGHT, -(-WIDTH * bits // 32) * 4), np.uint8)
        padded[:, : WIDTH * bits // 8] = stored.view(np.uint8).reshape(HEIGHT, -1)
        # Pillow takes the lower number of two for 5 and 6 bits.
        tolerance = 1.01 if bits == 16 or len(masks) == 4 else 0.51
        for header in (40, 108, 124) if len(masks) == 3 else (56, 108, 124):
            fields = masks if header > 40 else ()
            rows = struct.pack("<3I", *masks) if header == 40 else b""
            encoded = bmp(padded[::-1].tobytes(), bits, 3, header=header, masks=fields)
            if rows:  # masks that follow the header
                encoded = encoded[:10] + struct.pack("<I", 14 + 40 + 12) + encoded[14:54] + rows + encoded[54:]
            yield ColourFile(
                f"bmp-{name}-{header}", encoded, expected, tolerance, judged=bits == 32 and name != "1010102"
            )
        upside = bmp(padded.tobytes(), bits, 3, header=108, masks=masks, height=-HEIGHT)
        yield ColourFile(f"bmp-{name}-top-down", upside, expected, tolerance)
    yield from _bmp_palettes()


def _shift(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _bmp_palettes() -> Iterator[ColourFile]:
    for bits in (1, 2, 4, 8):
        table = np.random.default_rng(bits).integers(0, 256, (1 << bits, 3)).astype(np.uint8)
        palette = b"".join(bytes([*entry[::-1], 0]) for entry in table)
        indices = random_levels(bits, 1, bits)[..., 0]
        rows = [packed(row, bits) for row in indices]
        rows = [row.ljust(-(-len(row) // 4) * 4, b"\0") for row in rows]
        raw = bmp(b"".join(rows[::-1]), bits, 0, palette=palette)
        yield ColourFile(f"bmp-palette-{bits}", raw, table[indices] * 1.0, judged=bits != 2)
        if bits >= 4:
            coded = b"".join(_runs(row, bits) for row in indices[::-1]) + b"\0\1"
            encoded = bmp(coded, bits, 1 if bits == 8 else 2, palette=palette)
            yield ColourFile(f"bmp-rle{bits}", encoded, table[indices] * 1.0, judged=True)
    levels = random_levels(1, 3, 8)
    rows24 = b"".join(row[:, ::-1].tobytes().ljust(36, b"\0") for row in levels[::-1])
    encoded = bmp(rows24, 24, 0, header=124, profile=make_profile(P3, 2.2, "P3"))
    gamma = round(2.2 * 256) / 256
    yield ColourFile("bmp-icc", encoded, shown(levels / 255, primaries=P3, gamma=gamma), 2.1, "converted")
    yield ColourFile("bmp-24", bmp(rows24, 24, 0), levels * 1.0, judged=True)
    x = random_levels(2, 4, 8)
    rows32 = x[::-1][..., [2, 1, 0, 3]].tobytes()
    yield ColourFile("bmp-32-without-alpha", bmp(rows32, 32, 0), x[..., :3] * 1.0)
    yield ColourFile("bmp-jpeg", bmp(b"\xff\xd8\xff", 24, 4), None, refusal="holds a JPEG")


def _runs(row: np.ndarray, bits: int) -> bytes:
    """Return a row as an absolute run of five and encoded runs for the rest."""
    first = packed(row[:5], bits)
    coded = b"\0\x05" + first + bytes(len(first) % 2)
    for index in row[5:]:
        coded += bytes([1, int(index) << 4 if bits == 4 else int(index)])
    return coded + b"\0\0"


def tga_files() -> Iterator[ColourFile]:
    for flags in (0x00, 0x10, 0x20, 0x30):
        for runs in (0, 8):
            for kind, depth, alpha_bits in (
                (2, 24, 0),
                (2, 32, 8),
                (2, 32, 0),
                (2, 16, 0),
                (2, 16, 1),
                (2, 15, 0),
                (3, 8, 0),
                (3, 16, 8),
            ):
                yield _tga(kind, depth, alpha_bits, flags, runs)
            for map_depth, alpha_bits in ((15, 0), (16, 1), (24, 0), (32, 8), (32, 0)):
                yield _tga_palette(map_depth, alpha_bits, flags, runs)
    levels = random_levels(9, 4, 8)
    levels[..., :3] = np.minimum(levels[..., :3], levels[..., 3:])
    cover = levels[..., 3] / 255
    values = levels[..., :3] / np.maximum(levels[..., 3:], 1)
    for kind, expected in (
        (0, shown(levels[..., :3] / 255)),
        (2, shown(levels[..., :3] / 255)),
        (3, shown(levels[..., :3] / 255, cover)),
        (4, shown(values, cover)),
    ):
        plain = _tga_bytes(levels[..., [2, 1, 0, 3]].tobytes(), 2, 32, 0x28)
        area = bytes(494) + bytes([kind])
        encoded = plain + area + struct.pack("<II", len(plain), 0) + b"TRUEVISION-XFILE.\0"
        yield ColourFile(f"tga-extension-{kind}", encoded, expected, 1.01)


def _five(levels: np.ndarray, alpha: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return 16-bit words, and values and cover of 0 to 1; a set bit is opaque, as for ImageMagick."""
    red, green, blue, top = (levels[..., n].astype(np.uint16) for n in range(4))
    words = (red >> 3) << 10 | (green >> 3) << 5 | blue >> 3 | (top >> 7) << 15
    return words, np.stack([red >> 3, green >> 3, blue >> 3], axis=-1) / 31, (top >> 7) / 1.0 if alpha else None


def _tga(kind: int, depth: int, alpha_bits: int, flags: int, runs: int) -> ColourFile:
    levels = random_levels(depth + kind, 4, 8)
    if kind == 3:
        stored = levels[..., :1] if depth == 8 else levels[..., [0, 3]]
        values, cover = levels[..., :1] / 255, levels[..., 3] / 255 if depth == 16 else None
    elif depth in {15, 16}:
        words, values, cover = _five(levels, alpha_bits > 0)
        stored = words.astype("<u2").view(np.uint8).reshape(HEIGHT, WIDTH, 2)
    else:
        stored = levels[..., [2, 1, 0, 3][: depth // 8]]
        values, cover = levels[..., :3] / 255, levels[..., 3] / 255 if alpha_bits else None
    name = f"tga-{kind + runs}-{depth}-{alpha_bits}-{flags:02x}"
    encoded = _tga_bytes(_ordered(stored, flags, runs), kind + runs, depth, flags | alpha_bits)
    judged = kind == 2 and depth != 15 and flags in {0, 0x20} and not (depth == 32 and not alpha_bits)
    return ColourFile(name, encoded, shown(values, cover), 1.01, judged=judged)


def _tga_palette(map_depth: int, alpha_bits: int, flags: int, runs: int) -> ColourFile:
    table = np.random.default_rng(map_depth).integers(0, 256, (256, 4)).astype(np.uint8)
    indices = random_levels(map_depth, 1, 8)
    words, values, cover = _five(table, alpha_bits > 0)
    if map_depth in {15, 16}:
        coded = words.astype("<u2").tobytes()
    else:
        coded = table[:, [2, 1, 0, 3][: map_depth // 8]].tobytes()
        values, cover = table[:, :3] / 255, table[:, 3] / 255 if alpha_bits else None
    expected = shown(values[indices[..., 0]], None if cover is None else cover[indices[..., 0]])
    pixels = _ordered(indices, flags, runs)
    head = struct.pack("<3B2HB4H2B", 0, 1, 1 + runs, 0, 256, map_depth, 0, 0, WIDTH, HEIGHT, 8, flags | alpha_bits)
    return ColourFile(f"tga-palette-{map_depth}-{alpha_bits}-{flags:02x}-{runs}", head + coded + pixels, expected, 1.01)


def _ordered(stored: np.ndarray, flags: int, runs: int) -> bytes:
    """Return pixels in the order that the flags say, in packets if there are runs."""
    stored = stored if flags & 0x20 else stored[::-1]
    stored = stored[:, ::-1] if flags & 0x10 else stored
    if not runs:
        return np.ascontiguousarray(stored).tobytes()
    packets = b""
    for row in stored:
        packets += bytes([3]) + row[:4].tobytes() + b"".join(b"\x80" + pixel.tobytes() for pixel in row[4:])
    return packets


def _tga_bytes(pixels: bytes, kind: int, depth: int, flags: int) -> bytes:
    return struct.pack("<3B2HB4H2B", 0, 0, kind, 0, 0, 0, 0, 0, WIDTH, HEIGHT, depth, flags) + pixels


def ico_files() -> Iterator[ColourFile]:
    levels = random_levels(5, 4, 8)
    cover = levels[..., 3] / 255
    picture = png(6, 8, levels)
    yield ColourFile("ico-png", _ico(picture, 32), shown(levels[..., :3] / 255, cover), 1.01)
    deep = random_levels(6, 4, 16)
    picture = png(6, 16, deep)
    yield ColourFile("ico-png-16", _ico(picture, 32), shown(deep[..., :3] / 65535, deep[..., 3] / 65535))
    mask = np.random.default_rng(1).integers(0, 2, (HEIGHT, WIDTH))
    mask_rows = b"".join(packed(row, 1).ljust(4, b"\0") for row in mask[::-1])
    pixels = levels[::-1][..., [2, 1, 0, 3]].tobytes()
    yield ColourFile("ico-32", _ico(_dib(32, pixels + mask_rows), 32), shown(levels[..., :3] / 255, cover), 1.01)
    bare = levels[::-1][..., [2, 1, 0, 3]].copy()
    bare[..., 3] = 0
    expected = shown(levels[..., :3] / 255, 1.0 - mask)
    yield ColourFile("ico-32-mask-alone", _ico(_dib(32, bare.tobytes() + mask_rows), 32), expected)
    rows24 = b"".join(row[:, 2::-1].tobytes().ljust(36, b"\0") for row in levels[::-1])
    yield ColourFile("ico-24", _ico(_dib(24, rows24 + mask_rows), 24), expected)
    table = np.random.default_rng(8).integers(0, 256, (16, 3)).astype(np.uint8)
    palette = b"".join(bytes([*entry[::-1], 0]) for entry in table)
    indices = random_levels(4, 1, 4)[..., 0]
    rows4 = b"".join(packed(row, 4).ljust(8, b"\0") for row in indices[::-1])
    expected = shown(table[indices] / 255, 1.0 - mask)
    yield ColourFile("ico-4", _ico(_dib(4, palette + rows4 + mask_rows), 4), expected)


def _dib(bits: int, body: bytes) -> bytes:
    return struct.pack("<IiiHHIIiiII", 40, WIDTH, 2 * HEIGHT, 1, bits, 0, 0, 0, 0, 0, 0) + body


def _ico(picture: bytes, bits: int) -> bytes:
    small = png(6, 8, random_levels(1, 4, 8)[:2, :2])
    entries = struct.pack("<4BHHII", 2, 2, 0, 0, 1, 32, len(small), 38)
    entries += struct.pack("<4BHHII", WIDTH, HEIGHT, 0, 0, 1, bits, len(picture), 38 + len(small))
    return struct.pack("<3H", 0, 1, 2) + entries + small + picture


def coded_files() -> Iterator[ColourFile]:
    """Yield JPEG, WebP, GIF, AVIF, HEIF and JPEG XL."""
    colour, grey = smooth(), smooth()[..., 1]
    p3, gamma = make_profile(P3, 2.2, "P3"), round(2.2 * 256) / 256
    wide = shown(colour / 255, primaries=P3, gamma=gamma)
    for format, options in (("JPEG", {"quality": 100, "subsampling": 0}), ("WEBP", {"lossless": True})):
        image = Image.fromarray(colour)
        slack = 4 if format == "JPEG" else 0.51
        yield ColourFile(f"{format}-rgb", pillow(image, format, **options), colour * 1.0, slack, judged=True)
        yield ColourFile(f"{format}-p3", pillow(image, format, icc_profile=p3, **options), wide, slack + 3, "converted")
    linear = shown(grey[..., None] / 255, gamma=1.0)
    encoded = pillow(Image.fromarray(grey), "JPEG", quality=100, icc_profile=grey_profile(1.0))
    yield ColourFile("JPEG-grey-linear", encoded, linear, 4, "converted")
    mismatch = pillow(Image.fromarray(grey), "JPEG", quality=100, icc_profile=p3)
    yield ColourFile("JPEG-grey-with-a-profile-of-rgb", mismatch, shown(grey[..., None] / 255), 2, "broken")
    ink = Image.fromarray(np.dstack([colour, np.zeros_like(grey)]), "CMYK")
    yield ColourFile("JPEG-cmyk", pillow(ink, "JPEG", quality=100, subsampling=0), 255.0 - colour, 5)
    yield ColourFile(
        "JPEG-12-bits",
        imagecodecs.jpeg_encode(grey.astype(np.uint16) * 16, bitspersample=12),
        None,
        refusal="of 12 bits",
    )
    alpha = np.dstack([colour, random_alpha(grey.shape)])
    expected = shown(colour / 255, alpha[..., 3] / 255)
    yield ColourFile("WEBP-alpha", pillow(Image.fromarray(alpha), "WEBP", lossless=True, exact=True), expected, 1.01)
    yield from _gifs()
    yield from _avifs()
    yield _webp_smaller_than_its_canvas()


def _webp_smaller_than_its_canvas() -> ColourFile:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ((200, 10, 10), (10, 200, 10))]
    encoded = bytearray(pillow(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    place = encoded.index(b"VP8X") + 12
    encoded[place : place + 6] = (WIDTH + 4).to_bytes(3, "little") + (HEIGHT + 2).to_bytes(3, "little")
    canvas = np.full((HEIGHT + 3, WIDTH + 5, 3), 255.0)
    canvas[:HEIGHT, :WIDTH] = (200, 10, 10)
    return ColourFile("WEBP-smaller-than-its-canvas", bytes(encoded), canvas)


def random_alpha(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, shape).astype(np.uint8)


def _gifs() -> Iterator[ColourFile]:
    indices = random_levels(8, 1, 2)[..., 0]
    table = np.array([[250, 10, 10], [10, 240, 10], [10, 10, 230], [90, 90, 90]], np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette(table.reshape(-1).tolist())
    whole = pillow(image, "GIF")
    yield ColourFile("GIF", whole, table[indices] * 1.0, judged=True)
    keyed = pillow(image, "GIF", transparency=2)
    yield ColourFile("GIF-key", keyed, shown(table[indices] / 255, (indices != 2) * 1.0), judged=True)
    place = whole.index(b"\x2c")  # the image descriptor
    canvas = np.full((HEIGHT + 5, WIDTH + 7, 3), 255.0)
    canvas[3 : 3 + HEIGHT, 4 : 4 + WIDTH] = table[indices]
    grown = bytearray(whole)
    grown[6:10] = struct.pack("<2H", WIDTH + 7, HEIGHT + 5)
    grown[place + 1 : place + 5] = struct.pack("<2H", 4, 3)
    yield ColourFile("GIF-smaller-than-its-canvas", bytes(grown), canvas)


def _avifs() -> Iterator[ColourFile]:
    colour = smooth(64, 80)
    encoded = pillow(Image.fromarray(colour), "AVIF", quality=100, subsampling="4:4:4")
    yield ColourFile("AVIF", encoded, colour * 1.0, 3)
    place = encoded.index(b"nclx") + 4

    def coded(primaries: int, transfer: int) -> bytes:
        return encoded[:place] + struct.pack(">2H", primaries, transfer) + encoded[place + 4 :]

    yield ColourFile("AVIF-p3", coded(12, 13), shown(colour / 255, primaries=P3), 6, "converted")
    yield ColourFile("AVIF-video", coded(1, 1), colour * 1.0, 3)
    yield ColourFile("AVIF-pq", coded(9, 16), None, refusal="PQ or HLG")
    yield ColourFile("AVIF-hlg", coded(9, 18), None, refusal="PQ or HLG")
    yield ColourFile("AVIF-unknown", coded(99, 13), None, refusal="unknown colour space")
    yield ColourFile("AVIF-clap", _with_clap(encoded, (40, 32, 4, -6)), colour[10:42, 24:64] * 1.0, 3)


def _with_clap(avif: bytes, aperture: tuple[int, int, int, int]) -> bytes:
    """Return an AVIF of Pillow's with a clean aperture: width, height, and the offset of its middle."""
    width, height, across, down = aperture
    box = struct.pack(">I4s4IiIiI", 40, b"clap", width, 1, height, 1, across, 1, down, 1)
    ipco = avif.index(b"ipco") - 4
    ipco_size = struct.unpack_from(">I", avif, ipco)[0]
    kinds, at = [], ipco + 8
    while at < ipco + ipco_size:
        kinds.append(avif[at + 4 : at + 8])
        at += struct.unpack_from(">I", avif, at)[0]
    changed = bytearray(avif[: ipco + ipco_size] + box + avif[ipco + ipco_size :])
    ipma = changed.index(b"ipma") - 4
    count_at = ipma + 8 + 4 + 4 + 2
    number = changed[count_at]
    changed[count_at] = number + 1
    changed[count_at + 1 + number : count_at + 1 + number] = bytes([0x80 | (len(kinds) + 1)])
    for name in (b"ipco", b"ipma", b"iprp", b"meta"):
        start = changed.index(name) - 4
        more = {b"ipco": 40, b"ipma": 1}.get(name, 41)
        changed[start : start + 4] = struct.pack(">I", struct.unpack_from(">I", changed, start)[0] + more)
    iloc = changed.index(b"iloc") + 4
    data = struct.unpack_from(">I", changed, iloc + 14)[0]
    changed[iloc + 14 : iloc + 18] = struct.pack(">I", data + 41)
    return bytes(changed)
