"""BMP: bit fields with alpha or of odd widths, run lengths of 4 bits, 2 bits, and embedded profiles."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.errors import ReadError
from million_ird.images.colour_rules import ColourLayout, Space
from million_ird.images.icc import classify_profile
from million_ird.images.samples import Samples

_RAW, _RLE8, _RLE4, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6
_CORE, _OS2 = 12, frozenset({16, 64})
_OF_PILLOW = {
    16: {(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0)},
    24: {(0xFF0000, 0xFF00, 0xFF, 0)},
    32: {(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0, 0, 0, 0)},
}
"""Masks of red, green, blue and alpha that Pillow decodes as they are meant."""
_WITHOUT_FIELDS = {16: (0x7C00, 0x3E0, 0x1F, 0), 24: (0xFF0000, 0xFF00, 0xFF, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


@dataclass(frozen=True, slots=True)
class BmpFile:
    """The header of a BMP."""

    layout: ColourLayout
    width: int
    height: int
    bits: int
    """Per pixel."""
    compression: int
    masks: tuple[int, int, int, int]
    """Of red, green, blue and alpha; zeros where there is a palette."""
    palette: bytes
    entry: int
    """Bytes of an entry of the palette."""
    start: int
    """Where the pixels start."""
    top_down: bool
    profile: bytes | None

    @property
    def by_pillow(self) -> bool:
        """Whether Pillow decodes it to what it is."""
        if self.compression in {_BIT_FIELDS, _ALPHA_BIT_FIELDS}:
            return self.compression == _BIT_FIELDS and self.masks in _OF_PILLOW.get(self.bits, set())
        return self.compression in {_RAW, _RLE8} and self.bits != 2 and self.entry != 2


def read_bmp(encoded: bytes) -> BmpFile:
    """Read the header.

    Raises:
        ReadError: `truncated`, `undecodable`, or `unsupported` for a compression that is not read.
    """
    try:
        return _read_header(encoded)
    except struct.error as error:
        raise ReadError("truncated", "a BMP that ends in its header") from error


def _read_header(encoded: bytes) -> BmpFile:
    start, size = struct.unpack_from("<I", encoded, 10)[0], struct.unpack_from("<I", encoded, 14)[0]
    if size == _CORE:
        width, height, _, bits = struct.unpack_from("<4H", encoded, 18)
        compression, n_entries, entry = _RAW, 0, 3
    elif size in HEADER_SIZES:
        width, height, _, bits = struct.unpack_from("<2i2H", encoded, 18)
        compression = struct.unpack_from("<I", encoded, 30)[0] if size > 16 else _RAW
        n_entries = struct.unpack_from("<I", encoded, 46)[0] if size > 16 else 0
        entry = 4
    else:
        raise ReadError("undecodable", f"a BMP with a header of {size} bytes")
    _require_known(size, bits, compression)
    if width <= 0 or height == 0:
        raise ReadError("undecodable", f"a BMP of {width}×{height}")
    masks = _read_masks(encoded, size, compression, bits)
    table = 14 + size + {_BIT_FIELDS: 12, _ALPHA_BIT_FIELDS: 16}.get(compression, 0) * (size == 40)
    n_entries = min(n_entries or 1 << bits, 1 << bits) if bits <= 8 else 0
    profile = _read_profile(encoded, size)
    # Of 1 to 8 bits are indices into the palette; the bits of a channel are counted for bit fields alone.
    depth = bits if bits <= 8 else max([8, *(mask.bit_count() for mask in masks)])
    model = "palette" if bits <= 8 else "rgb"
    kind = classify_profile(profile, model)
    space: Space = "icc" if kind == "icc" else "srgb" if kind == "srgb" else "broken" if profile else "none"
    layout = ColourLayout(
        container="BMP", model=model, bits=depth, alpha="straight" if masks[3] else "none", space=space
    )
    palette = encoded[table : table + n_entries * entry]
    start = start or table + n_entries * entry
    return BmpFile(layout, width, abs(height), bits, compression, masks, palette, entry, start, height < 0, profile)


def _require_known(size: int, bits: int, compression: int) -> None:
    if bits not in {1, 2, 4, 8, 16, 24, 32}:
        raise ReadError("unsupported" if bits == 64 else "undecodable", f"a BMP of {bits} bits a pixel")
    if size in _OS2 and compression in {3, 4}:
        raise ReadError("unsupported", "a BMP of OS/2 in Huffman codes or run lengths of 24 bits")
    if compression in {4, 5}:
        raise ReadError("unsupported", f"a BMP that holds a {'JPEG' if compression == 4 else 'PNG'}")
    known = {
        1: {_RAW},
        2: {_RAW},
        4: {_RAW, _RLE4},
        8: {_RAW, _RLE8},
        16: {_RAW, _BIT_FIELDS, _ALPHA_BIT_FIELDS},
        24: {_RAW, _BIT_FIELDS},
        32: {_RAW, _BIT_FIELDS, _ALPHA_BIT_FIELDS},
    }
    if compression not in known[bits]:
        raise ReadError("undecodable", f"a BMP of {bits} bits a pixel in compression {compression}")


def _read_masks(encoded: bytes, size: int, compression: int, bits: int) -> tuple[int, int, int, int]:
    if compression not in {_BIT_FIELDS, _ALPHA_BIT_FIELDS}:
        return _WITHOUT_FIELDS.get(bits, (0, 0, 0, 0))
    red, green, blue = struct.unpack_from("<3I", encoded, 54)
    has_alpha = size >= 56 or compression == _ALPHA_BIT_FIELDS
    return red, green, blue, struct.unpack_from("<I", encoded, 66)[0] if has_alpha else 0


def _read_profile(encoded: bytes, size: int) -> bytes | None:
    """Return the ICC profile that a header of version 5 embeds."""
    if size != 124 or encoded[70:74] != b"DEBM":
        return None
    start, length = struct.unpack_from("<2I", encoded, 14 + 112)
    return encoded[14 + start : 14 + start + length]


def read_bmp_samples(encoded: bytes, file: BmpFile) -> Samples:
    """Return the pixels of a file that `BmpFile.by_pillow` leaves to this module.

    Raises:
        ReadError: `truncated` or `undecodable`.
    """
    levels = _from_palette(encoded, file) if file.bits <= 8 else _from_masks(encoded, file)
    profile = file.profile if file.layout.space == "icc" else None
    alpha = "straight" if file.masks[3] else "none"
    return Samples(levels=levels if file.top_down else levels[::-1], model="rgb", alpha=alpha, profile=profile)


def _rows(encoded: bytes, file: BmpFile) -> NDArray[np.uint8]:
    stride = (file.width * file.bits + 31) // 32 * 4
    if len(encoded) - file.start < stride * file.height:
        raise ReadError("truncated", "a BMP that ends before its pixels")
    return np.frombuffer(encoded, np.uint8, stride * file.height, file.start).reshape(file.height, stride)


def _from_palette(encoded: bytes, file: BmpFile) -> NDArray[np.uint8]:
    if file.compression in {_RLE4, _RLE8}:
        indices = _run_lengths(encoded, file)
    else:
        parts = np.unpackbits(_rows(encoded, file), axis=1)[:, : file.width * file.bits]
        parts = parts.reshape(file.height, file.width, file.bits)
        indices = np.packbits(parts, axis=2)[..., 0] >> np.uint8(8 - file.bits)
    entries = np.frombuffer(file.palette[: len(file.palette) // file.entry * file.entry], np.uint8)
    entries = entries.reshape(-1, file.entry)[:, 2::-1]
    table = np.zeros((256, 3), np.uint8)  # an index that the palette does not have is black
    table[: len(entries)] = entries
    return table[indices]


def _from_masks(encoded: bytes, file: BmpFile) -> NDArray[np.uint8]:
    rows, n_bytes = _rows(encoded, file), file.bits // 8
    pixels = np.ascontiguousarray(rows[:, : file.width * n_bytes]).reshape(file.height, file.width, n_bytes)
    masks = file.masks[: 4 if file.masks[3] else 3]
    levels = np.empty((file.height, file.width, len(masks)), np.uint8)
    for top in range(0, file.height, 256):
        words = np.zeros(pixels[top : top + 256].shape[:2], np.uint32)
        for number in range(n_bytes):
            words |= pixels[top : top + 256, :, number].astype(np.uint32) << np.uint32(8 * number)
        for channel, mask in enumerate(masks):
            levels[top : top + 256, :, channel] = _field(words, mask)
    return levels


def _field(words: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """Return a bit field as 8 bits."""
    if not mask:
        return np.zeros(words.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    white = mask >> shift
    if white & (white + 1):
        raise ReadError("undecodable", f"a BMP whose bit field {mask:#x} has gaps")
    eight: NDArray[np.uint8] = np.rint((words >> np.uint32(shift) & np.uint32(white)) * (255 / white)).astype(np.uint8)
    return eight


def _run_lengths(encoded: bytes, file: BmpFile) -> NDArray[np.uint8]:
    """Decode runs; pixels that are skipped have index 0."""
    indices = np.zeros((file.height, file.width), np.uint8)
    position, x, y = file.start, 0, 0
    while position + 2 <= len(encoded):
        count, value = encoded[position], encoded[position + 1]
        position += 2
        if count or value > 2:
            length = count or value
            coded = bytes([value]) if count else encoded[position : position + _coded_bytes(length, file)]
            run = _run(coded, length, file.compression)
            if y < file.height:
                room = max(0, file.width - x)
                indices[y, x : x + min(length, room)] = run[:room]
            x += length
            position += 0 if count else (_coded_bytes(length, file) + 1) // 2 * 2
        elif value == 0:
            x, y = 0, y + 1
        elif value == 2 and position + 2 <= len(encoded):
            x, y, position = x + encoded[position], y + encoded[position + 1], position + 2
        else:
            return indices
    if y < file.height - 1 or (y < file.height and x < file.width):
        raise ReadError("truncated", "a BMP that ends before its pixels")
    return indices


def _coded_bytes(length: int, file: BmpFile) -> int:
    return (length + 1) // 2 if file.compression == _RLE4 else length


def _run(coded: bytes, length: int, compression: int) -> NDArray[np.uint8]:
    values = np.frombuffer(coded, np.uint8)
    if compression == _RLE4:
        values = np.stack([values >> 4, values & 15], axis=1).reshape(-1)
    return np.resize(values, length) if values.size else np.zeros(length, np.uint8)
