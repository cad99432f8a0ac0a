"""Formats of plain samples that Pillow does not read, or not all of: PAM, PFM, and BMP with masks for its colours."""

import re
import struct
from pathlib import Path

import numpy as np

from dynet.errors import ImageError
from dynet.inference.decoded_image import DecodedImage, Samples
from dynet.inference.decoding import require_file, require_pixels
from dynet.inference.image_metadata import ImageMetadata, read_bmp_profile
from dynet.inference.pillow_samples import float_range, scale_to_16_bits

_PAM_FIELD = re.compile(rb"(?:#[^\n]*|[ \t]*(WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE|ENDHDR)[ \t]*([^\n]*?)[ \t\r]*)\n")
_PAM_CHANNELS = {b"BLACKANDWHITE": 1, b"GRAYSCALE": 1, b"RGB": 3}
_PFM_HEADER = re.compile(rb"P[fF]\s+(\d{1,9})\s+(\d{1,9})\s+([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)\s")
_BITFIELDS = frozenset({3, 6})
_INFO_HEADER = 40
_PER_METRE = 0.0254


def read_plain(path: Path) -> DecodedImage | None:
    """Read a PAM, a PFM or a BMP with masks; return None for any other file.

    Raises:
        ImageError: It is truncated, too large, or its samples are of a kind that is not read.
    """
    require_file(path)
    with path.open("rb") as file:
        head = file.read(54)
    if head.startswith(b"P7\n"):
        return _read_pam(path.read_bytes(), str(path))
    if head[:2] in (b"Pf", b"PF") and head[2:3].isspace():
        return _read_pfm(path.read_bytes(), str(path))
    if head[:2] == b"BM" and len(head) == 54:
        size, bits, compression = *struct.unpack_from("<I", head, 14), *struct.unpack_from("<HI", head, 28)
        if size >= _INFO_HEADER and compression in _BITFIELDS and bits in (16, 32):
            return _read_masked_bmp(path.read_bytes(), str(path))
    return None


def _read_pam(encoded: bytes, name: str) -> DecodedImage:
    fields: dict[bytes, bytes] = {}
    position = 3
    while b"ENDHDR" not in fields:
        line = _PAM_FIELD.match(encoded, position)
        if line is None:
            raise ImageError("the header of the PAM is damaged")
        if line[1] is not None:
            fields[line[1]] = line[2]
        position = line.end()
    try:
        width, height, channels, white = (int(fields[key]) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError) as error:
        raise ImageError("the header of the PAM is damaged") from error
    kind, has_alpha = (
        fields.get(b"TUPLTYPE", b"").removesuffix(b"_ALPHA"),
        fields.get(b"TUPLTYPE", b"").endswith(b"_ALPHA"),
    )
    colours = _PAM_CHANNELS.get(kind, {1: 1, 2: 1, 3: 3, 4: 3}.get(channels, 0) if not kind else 0)
    if not kind:
        has_alpha = channels in (2, 4)
    if not colours or channels != colours + has_alpha or not 1 <= white <= 65535:
        raise ImageError(f"a PAM of {channels} channels, {kind.decode('ascii', 'replace') or 'without a type'}")
    require_pixels(width, height, 1, len(encoded))
    stored = _take(encoded, position, (height, width, channels), np.dtype(">u2" if white > 255 else "u1"))
    if stored.max(initial=0) > white:
        raise ImageError("has samples above its own maximum")
    if white > 255:
        samples = scale_to_16_bits(stored.astype(np.uint16), white)
    else:
        samples = np.rint(stored * (255 / white)).astype(np.uint8)
    colour = samples[..., 0] if colours == 1 else samples[..., :3]
    alpha = np.ascontiguousarray(samples[..., -1]) if has_alpha else None
    return DecodedImage(colour=np.ascontiguousarray(colour), alpha=alpha, format="PPM", name=name)


def _read_pfm(encoded: bytes, name: str) -> DecodedImage:
    """Read floating-point samples, the lowest row first; the scale's sign is the byte order."""
    header = _PFM_HEADER.match(encoded)
    if header is None:
        raise ImageError("the header of the PFM is damaged")
    width, height = int(header[1]), int(header[2])
    require_pixels(width, height, 1, len(encoded))
    shape = (height, width, 3) if encoded[1:2] == b"F" else (height, width)
    order = "<f4" if float(header[3]) < 0 else ">f4"
    colour = _take(encoded, header.end(), shape, np.dtype(order))[::-1].astype(np.float32)
    if not np.isfinite(colour).all():
        raise ImageError("has samples that are infinite or not a number")
    return DecodedImage(colour=colour, alpha=None, format="PPM", name=name, float_range=float_range(colour, {}))


def _read_masked_bmp(encoded: bytes, name: str) -> DecodedImage:
    """Read pixels of 16 or 32 bits whose header has a mask for each colour, and perhaps for alpha, as 8 bits."""
    (start,) = struct.unpack_from("<I", encoded, 10)
    size, width, height = struct.unpack_from("<Iii", encoded, 14)
    bits, compression = struct.unpack_from("<HI", encoded, 28)
    dots = struct.unpack_from("<2i", encoded, 38)
    has_mask = compression == 6 or size > _INFO_HEADER + 12
    masks = struct.unpack_from("<4I" if has_mask else "<3I", encoded, 14 + _INFO_HEADER)
    if width <= 0 or height == 0 or any(not mask for mask in masks[:3]):
        raise ImageError("the header of the BMP is damaged")
    require_pixels(width, abs(height), 1, len(encoded))
    per_row = -(-width * bits // 32) * 32 // bits  # rows end at whole words of 32 bits
    stored = _take(encoded, start, (abs(height), per_row), np.dtype(f"<u{bits // 8}"))[:, :width].astype(np.uint32)
    rows = stored[::-1] if height > 0 else stored
    channels = [_masked(rows, mask) for mask in masks if mask]
    metadata = ImageMetadata(dpi=(dots[0] * _PER_METRE, dots[1] * _PER_METRE)) if min(dots) > 0 else ImageMetadata()
    if profile := read_bmp_profile(encoded):
        metadata["icc_profile"] = profile
    return DecodedImage(
        colour=np.dstack(channels[:3]),
        alpha=channels[3] if len(channels) == 4 else None,
        format="BMP",
        metadata=metadata,
        name=name,
    )


def _masked(pixels: Samples, mask: int) -> Samples:
    shift = (mask & -mask).bit_length() - 1
    levels = (pixels & np.uint32(mask)) >> np.uint32(shift)
    scaled: Samples = np.rint(levels * (255 / (mask >> shift))).astype(np.uint8)
    return scaled


def _take(encoded: bytes, start: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Samples:
    count = int(np.prod(shape))
    if len(encoded) - start < count * dtype.itemsize:
        raise ImageError("the file is truncated")
    return np.frombuffer(encoded, dtype, count, start).reshape(shape)
