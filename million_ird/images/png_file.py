"""PNG: the chunks that say how its colours are meant, and samples that Pillow would cut or confuse."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.colour_rules import Alpha, ColourLayout, Space
from million_ird.images.colour_spaces import ColourSpace, from_code_points, from_gamma, read_profile
from million_ird.images.icc import classify_profile
from million_ird.images.samples import Samples, eight_bit_levels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_WITH_ORIENTATION = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"exif\0")
"""Texts in which Pillow looks for an orientation; the others are not read."""
_MAX_TEXT, _MAX_TEXTS = 1 << 20, 1 << 23
_MODELS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey", 6: "rgb"}
_PIXELS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


class PngChunk(NamedTuple):
    """One chunk of a PNG: its length, type, body and checksum."""

    kind: bytes
    start: int
    """Of the length, which comes first."""
    stop: int


@dataclass(frozen=True, slots=True)
class PngColours:
    """The colours of a PNG by its chunks."""

    layout: ColourLayout
    key: tuple[int, ...] | None
    """The stored value or colour that is transparent."""
    space: ColourSpace | None
    """What gAMA, cHRM, cICP or, at 16 bits, a profile of curves say, where that is not sRGB."""

    @property
    def by_pillow(self) -> bool:
        """Whether Pillow's 8 bits are all that there is."""
        small_key = self.key is not None and self.layout.model == "grey" and self.layout.bits < 8
        return self.layout.bits <= 8 and not small_key and self.space is None


def without_faulty_chunks(encoded: bytes) -> bytes:
    """Return a PNG without what no decoder needs: texts, and ancillary chunks with a wrong checksum.

    Pillow refuses a file for one of these. Texts that may hold an orientation stay, up to a megabyte.

    Returns:
        The same object where there is nothing to leave out.
    """
    kept, complete = [(0, len(SIGNATURE))], True
    end = len(SIGNATURE)
    room = _MAX_TEXTS
    for chunk in iter_chunks(encoded):
        end = chunk.stop
        text = _text_length(encoded, chunk) if chunk.kind in _TEXTS else 0
        if text <= room and _is_needed(encoded, chunk):
            room -= text
            kept.append((chunk.start, chunk.stop))
        else:
            complete = False
    if complete:
        return encoded
    return b"".join([*(encoded[start:stop] for start, stop in kept), encoded[end:]])


def read_png_colours(encoded: bytes, profile: bytes | None) -> PngColours:
    """Read how a PNG stores its colours.

    Args:
        encoded: the file, as `without_faulty_chunks` returns it.
        profile: the ICC profile that Pillow found.

    Raises:
        ReadError: `undecodable` where IHDR is not what it must be.
    """
    if encoded[12:16] != b"IHDR" or len(encoded) < 29 or encoded[25] not in _MODELS:
        raise ReadError("undecodable", "a PNG without a usable IHDR")
    bits, kind = encoded[24], encoded[25]
    bodies: dict[bytes, bytes] = {}
    for chunk in iter_chunks(encoded):
        if chunk.kind == b"IDAT":
            break
        bodies.setdefault(chunk.kind, encoded[chunk.start + 8 : chunk.stop - 4])
    space_name, space = _colour_space(bodies, profile, _MODELS[kind])
    if space_name == "icc" and profile and bits == 16:
        space = read_profile(profile)
    key = _key(bodies.get(b"tRNS", b""), kind, bits)
    alpha: Alpha = "straight" if kind in {4, 6} or (kind == 3 and b"tRNS" in bodies) else "none"
    layout = ColourLayout(
        container="PNG", model=_MODELS[kind], bits=bits, alpha="key" if key else alpha, space=space_name
    )
    return PngColours(layout, key, space)


def read_png_samples(encoded: bytes, image: Image.Image, colours: PngColours, profile: bytes | None) -> Samples:
    """Return the samples of a PNG as stored.

    Args:
        encoded: the file, as `without_faulty_chunks` returns it.
        image: the file as Pillow opened and loaded it.
        colours: as `read_png_colours` returns them.
        profile: an ICC profile to convert from after rounding to 8 bits.
    """
    layout = colours.layout
    alpha = "straight" if layout.alpha == "straight" else "none"
    model = "grey" if layout.model == "grey" else "rgb"
    key = colours.key
    levels: NDArray[np.uint8] | NDArray[np.uint16]
    if layout.bits == 16:
        levels, white = _sixteen_bits(encoded, image), 65535
    else:
        levels, white = eight_bit_levels(image), 255
    if key is not None and layout.bits < 8:  # Pillow has scaled the samples to 8 bits
        key = tuple(level * (255 // ((1 << layout.bits) - 1)) for level in key)
    return Samples(levels=levels, model=model, white=white, alpha=alpha, key=key, space=colours.space, profile=profile)


def _sixteen_bits(encoded: bytes, image: Image.Image) -> NDArray[np.uint16]:
    kind = encoded[25]
    if kind == 0:
        return np.asarray(image).astype(np.uint16)[..., None]
    if kind == 4:
        # Two samples of two bytes are filtered and packed as four samples of one byte: as 8-bit RGBA.
        header = encoded[16:24] + bytes([8, 6]) + encoded[26:29]
        with Image.open(io.BytesIO(_only_pixels(encoded, header)), formats=("PNG",)) as four:
            halves = np.asarray(four).astype(np.uint16)
        return (halves[..., ::2] << 8 | halves[..., 1::2]).astype(np.uint16, copy=False)
    raw = cv2.imdecode(np.frombuffer(_only_pixels(encoded, encoded[16:29]), np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 3:
        raise ReadError("undecodable", "a PNG of 16 bits that OpenCV does not read")
    order = [2, 1, 0, 3] if kind == 6 else [2, 1, 0]
    return np.asarray(raw[..., order]).astype(np.uint16, copy=False)


def _only_pixels(encoded: bytes, header: bytes) -> bytes:
    """Return a PNG of the coded pixels alone, with this body of IHDR."""
    parts = [SIGNATURE, _encode_chunk(b"IHDR", header)]
    parts += [encoded[it.start : it.stop] for it in iter_chunks(encoded) if it.kind in _PIXELS - {b"IHDR"}]
    return b"".join(parts)


def _colour_space(bodies: dict[bytes, bytes], profile: bytes | None, model: str) -> tuple[Space, ColourSpace | None]:
    if b"cICP" in bodies and len(bodies[b"cICP"]) == 4:
        primaries, transfer, matrix, full_range = bodies[b"cICP"]
        if (primaries, transfer) != (2, 2):
            if (matrix, full_range) != (0, 1):
                return "unknown", None
            return code_point_space(primaries, transfer)
    if b"iCCP" in bodies:
        kind = classify_profile(profile, model) if profile else "broken"
        return ("srgb" if kind == "srgb" else "icc" if kind == "icc" else "broken"), None
    if b"sRGB" in bodies:
        return "none", None
    gamma, chromaticities = bodies.get(b"gAMA", b""), bodies.get(b"cHRM", b"")
    space = from_gamma(
        struct.unpack(">I", gamma)[0] / 100_000 if len(gamma) == 4 else None,
        tuple(v / 100_000 for v in struct.unpack(">8I", chromaticities))
        if len(chromaticities) == 32 and model != "grey"
        else None,
    )
    return ("none" if space is None else "gamma"), space


def code_point_space(primaries: int, transfer: int) -> tuple[Space, ColourSpace | None]:
    """Return what code points of ITU-T H.273 mean, and the space to convert from, if any."""
    try:
        space = from_code_points(primaries, transfer)
    except LookupError as error:
        return ("hdr" if error.args == ("hdr",) else "unknown"), None
    return ("srgb" if space is None else "cicp"), space


def _key(body: bytes, kind: int, bits: int) -> tuple[int, ...] | None:
    if kind not in {0, 2} or len(body) < (2 if kind == 0 else 6):
        return None
    levels = struct.unpack_from(">H" if kind == 0 else ">3H", body)
    return tuple(level & ((1 << bits) - 1) for level in levels)


def iter_chunks(encoded: bytes) -> Iterator[PngChunk]:
    """Yield the whole chunks of a PNG up to IEND; what comes after a broken one is left out."""
    start = len(SIGNATURE)
    while start + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, start)
        if start + 12 + length > len(encoded):
            return
        yield PngChunk(kind, start, start + 12 + length)
        if kind == b"IEND":
            return
        start += 12 + length


def _is_needed(encoded: bytes, chunk: PngChunk) -> bool:
    if not chunk.kind[0] & 0x20 or chunk.kind == b"fdAT":
        return True
    body = encoded[chunk.start + 4 : chunk.stop - 4]
    if zlib.crc32(body) != struct.unpack_from(">I", encoded, chunk.stop - 4)[0]:
        return False
    if chunk.kind not in _TEXTS:
        return True
    return body[4:].startswith(_WITH_ORIENTATION)


def _text_length(encoded: bytes, chunk: PngChunk) -> int:
    """Return how long the text is that Pillow would read; more than all that it may read where that is too long."""
    body = encoded[chunk.start + 8 : chunk.stop - 4]
    _, _, rest = body.partition(b"\0")
    packed = chunk.kind == b"zTXt" or (chunk.kind == b"iTXt" and rest[:1] == b"\1")
    if not body.startswith(_WITH_ORIENTATION) or not packed:
        return len(body) if len(body) <= _MAX_TEXT else _MAX_TEXTS + 1
    data = rest[1:] if chunk.kind == b"zTXt" else b"".join(rest[2:].split(b"\0", 2)[2:])
    with contextlib.suppress(zlib.error):
        length = len(zlib.decompressobj().decompress(data, _MAX_TEXT + 1))
        return length if length <= _MAX_TEXT else _MAX_TEXTS + 1
    return _MAX_TEXTS + 1


def _encode_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
