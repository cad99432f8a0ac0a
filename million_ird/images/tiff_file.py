"""TIFF: the tags that say how its colours are stored.

Read by ourselves, not by Pillow, which refuses many layouts and takes others for what they are not.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

from million_ird.errors import ReadError
from million_ird.images.colour_rules import Alpha, ColourLayout, Numbers, Space
from million_ird.images.icc import classify_profile

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, CHANNELS, ROWS_PER_STRIP, STRIP_SIZES, PLANES = 273, 274, 277, 278, 279, 284
PREDICTOR, COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 317, 320, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING, PROFILE, DNG_VERSION = 338, 339, 530, 34675, 50706
JPEG_TABLES = 347
_MODELS = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "ycbcr", 8: "lab"}
_NAMES = {4: "transparency mask", 9: "ICC Lab", 10: "ITU Lab", 32803: "raw mosaic of a camera", 34892: "linear raw"}
_N_COLOURS = {"grey": 1, "palette": 1, "rgb": 3, "lab": 3, "ycbcr": 3, "cmyk": 4}
BYTE_CODECS = frozenset({1, 5, 8, 32946, 32773, 34925, 50000})
"""Compressions of bytes, whatever they mean: none, LZW, deflate twice, PackBits, LZMA, Zstandard."""
_MAX_VALUES = 1 << 20
_READ = frozenset({*range(WIDTH, FILL_ORDER + 1), STRIP_OFFSETS, ORIENTATION, CHANNELS, ROWS_PER_STRIP, STRIP_SIZES})
_READ |= {PLANES, PREDICTOR, COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES, EXTRA_SAMPLES}
_READ |= {SAMPLE_FORMAT, SUBSAMPLING, PROFILE, DNG_VERSION, JPEG_TABLES}
"""Tags that are read; a crafted file may point with thousands of others at the same megabytes."""
_MAX_PAGES = 100_000
_MAX_CHANNELS = 16


class TiffLayout(NamedTuple):
    """Byte order and field widths."""

    order: str
    big: bool


@dataclass(frozen=True, slots=True)
class TiffColours:
    """The first page of a TIFF by its tags."""

    layout: ColourLayout
    order: str
    """`<` or `>`."""
    tags: dict[int, tuple[int, ...]]
    """Those of integers."""
    width: int
    height: int
    channels: int
    pages: int
    profile: bytes | None

    @property
    def by_pillow(self) -> bool:
        """Whether Pillow decodes it to what it is: up to 8 bits in a layout that it knows."""
        it, extra = self.layout, self.tags.get(EXTRA_SAMPLES, ())
        if it.numbers != "unsigned" or it.bits not in {1, 2, 4, 8}:
            return False
        if self.one(COMPRESSION, 1) not in BYTE_CODECS:
            return True
        if it.model == "ycbcr":
            return self.one(COMPRESSION, 1) != 1
        if it.model == "palette":
            return self.channels == 1 and max(self.tags.get(COLOUR_MAP, (0,))) > 255
        if it.bits < 8:
            return it.model == "grey" and self.channels == 1
        plain = {"grey": 2, "rgb": 4, "cmyk": 4}.get(it.model, 0)
        return self.channels <= plain and (it.model != "grey" or self.channels == 1 or extra == (2,))

    def require_readable(self) -> None:
        """Make sure, before anything is decoded, that one of the two readers can decode it.

        Raises:
            ReadError: `unsupported` for a compression or predictor that is not read at this depth.
        """
        bits, compression, predictor = self.layout.bits, self.one(COMPRESSION, 1), self.one(PREDICTOR, 1)
        if self.by_pillow:
            return
        if self.layout.model == "ycbcr":
            raise ReadError("unsupported", "a TIFF of YCbCr that is not compressed")
        if compression not in BYTE_CODECS:
            raise ReadError("unsupported", f"a TIFF of {bits} bits in compression {compression}")
        known = {1} | ({2} if bits in {8, 16, 32, 64} else set()) | ({3} if self.layout.numbers == "float" else set())
        if compression != 1 and predictor not in known:
            raise ReadError("unsupported", f"a TIFF of {bits}-bit {self.layout.numbers} with predictor {predictor}")

    def one(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        values = self.tags.get(tag, ())
        return values[0] if values else default


def read_tiff_colours(encoded: bytes) -> TiffColours:
    """Read how the first page of a TIFF or BigTIFF stores its colours.

    Raises:
        ReadError: `truncated` or `undecodable` where there is no such page, `unsupported` where its channels differ.
    """
    layout = read_tiff_layout(encoded)
    try:
        first = _offset(encoded, layout, 8 if layout.big else 4)
        tags, profile = _read_directory(encoded, layout, first)
    except struct.error as error:
        raise ReadError("truncated", "a TIFF whose tags reach past its end") from error
    if not tags.get(WIDTH) or not tags.get(HEIGHT):
        raise ReadError("undecodable", "a TIFF without a size")
    bits, channels = tags.get(BITS, (1,)), (tags.get(CHANNELS) or (1,))[0]
    formats = tags.get(SAMPLE_FORMAT, (1,))
    if len({*bits[:channels]}) != 1 or len({*formats[:channels]}) > 1:
        raise ReadError("unsupported", f"a TIFF with channels of {', '.join(map(str, bits[:8]))} bits")
    if channels > _MAX_CHANNELS:
        raise ReadError("unsupported", f"a TIFF of {channels} channels")
    photometric = (tags.get(PHOTOMETRIC) or (_usual_photometric(channels),))[0]
    model = _MODELS.get(photometric) or _NAMES.get(photometric, f"colours of kind {photometric}")
    if DNG_VERSION in tags:
        model = "camera raw (DNG)"
    colours = ColourLayout(
        container="TIFF",
        model=model,
        bits=bits[0],
        numbers=_numbers(formats[0] if formats else 1),
        alpha=_alpha(channels, model, tags.get(EXTRA_SAMPLES)),
        white_is_zero=photometric == 0,
        space=_space(profile, model),
    )
    if channels < _N_COLOURS.get(model, 0):
        raise ReadError("undecodable", f"a TIFF of {model} with {channels} channels")
    pages = _count_pages(encoded, layout, first)
    return TiffColours(colours, layout.order, tags, tags[WIDTH][0], tags[HEIGHT][0], channels, pages, profile)


def read_tiff_layout(encoded: bytes) -> TiffLayout:
    """Return byte order and widths; the two bytes after the order may be swapped, as Pillow allows.

    Raises:
        ReadError: `truncated`.
    """
    if len(encoded) < 8:
        raise ReadError("truncated", "a TIFF of less than 8 bytes")
    return TiffLayout("<" if encoded[:2] == b"II" else ">", b"+" in encoded[2:4])


def _offset(encoded: bytes, layout: TiffLayout, position: int) -> int:
    return int(struct.unpack_from(layout.order + ("Q" if layout.big else "I"), encoded, position)[0])


def _read_directory(encoded: bytes, layout: TiffLayout, start: int) -> tuple[dict[int, tuple[int, ...]], bytes | None]:
    """Return the tags of integers, and the ICC profile."""
    (count,) = struct.unpack_from(layout.order + ("Q" if layout.big else "H"), encoded, start)
    fields = struct.Struct(layout.order + ("HHQ" if layout.big else "HHI"))
    word, width, start = (8, 20, start + 8) if layout.big else (4, 12, start + 2)
    places = {}  # of a tag that is there twice, the last one counts, as for Pillow
    for position in range(start, min(start + count * width, len(encoded) - width + 1), width):
        tag, kind, n_values = fields.unpack_from(encoded, position)
        if tag in _READ:
            places[tag] = kind, n_values, position + fields.size
    tags: dict[int, tuple[int, ...]] = {}
    profile = None
    for tag, (kind, n_values, place) in places.items():
        size = n_values * _SIZES.get(kind, 0)
        place = place if size <= word else _offset(encoded, layout, place)
        if tag == PROFILE:
            profile = encoded[place : place + size]
        elif kind in _INTEGERS and n_values <= _MAX_VALUES and place + size <= len(encoded):
            tags[tag] = struct.unpack_from(f"{layout.order}{n_values}{_INTEGERS[kind]}", encoded, place)
    return tags, profile


def _count_pages(encoded: bytes, layout: TiffLayout, first: int) -> int:
    """Return the number of directories in the chain; a link back to an earlier one ends it."""
    seen: set[int] = set()
    while first and first not in seen and len(seen) < _MAX_PAGES:
        seen.add(first)
        try:
            (count,) = struct.unpack_from(layout.order + ("Q" if layout.big else "H"), encoded, first)
            first = _offset(encoded, layout, first + (8 + count * 20 if layout.big else 2 + count * 12))
        except struct.error:
            break
    return max(1, len(seen))


def _usual_photometric(channels: int) -> int:
    return 2 if channels >= 3 else 1


def _numbers(sample_format: int) -> Numbers:
    """Return what the tag SampleFormat means; numbers of an undefined format (4) are read as unsigned."""
    if sample_format == 3:
        return "float"
    return "unsigned" if sample_format in {1, 4} else "signed"


def _alpha(channels: int, model: str, extra: tuple[int, ...] | None) -> Alpha:
    """Return what the first channel after the colours is; one without a meaning is no alpha."""
    more = channels - _N_COLOURS.get(model, channels)
    if more <= 0:
        return "none"
    if extra is None:
        # Not allowed, but common: a fourth channel of which nothing is said is alpha to every reader.
        return "straight" if model == "rgb" and more == 1 else "none"
    return "premultiplied" if extra[:1] == (1,) else "straight" if extra[:1] == (2,) else "none"


def _space(profile: bytes | None, model: str) -> Space:
    kind = classify_profile(profile, model)
    return "icc" if kind == "icc" else "srgb" if kind == "srgb" else "broken" if kind == "broken" else "none"
