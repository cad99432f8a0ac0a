"""TGA: what its header and its extension area say of the fourth value of a pixel, which Pillow takes for alpha."""

import struct

import numpy as np
from PIL import Image

from dynet.inference.pillow_samples import ColourAndAlpha, unmultiply

_FOOTER = b"TRUEVISION-XFILE.\0"
_AREA = 495
_NONE, _STRAIGHT, _PREMULTIPLIED = frozenset({0, 1, 2}), 3, 4


def readable_by_pillow(encoded: bytes) -> bytes:
    """Return a TGA in which 15 bits are called 16, as Pillow expects it; the sixteenth bit is unused in both."""
    if len(encoded) < 18 or 15 not in (encoded[7], encoded[16]):
        return encoded
    changed = bytearray(encoded)
    for position in (7, 16):
        changed[position] += encoded[position] == 15
    return bytes(changed)


def decode_tga(image: Image.Image, encoded: bytes) -> ColourAndAlpha:
    """Decode colour, and alpha only where the file says that there is one."""
    is_palette = image.mode == "P"
    depth = encoded[7] if is_palette else encoded[16]
    if is_palette and depth == 32 and image.palette is not None:
        image.palette.mode = "RGBA"  # which Pillow forgets, and then cannot load the image
    image.load()
    if image.mode not in ("RGBA", "LA") and not (is_palette and depth in (16, 32)):
        samples = np.array(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        return samples, None
    samples = np.array(image.convert("RGBA") if is_palette else image)
    alpha = samples[..., -1]
    if depth == 16 and samples.shape[2] == 4:
        alpha = 255 - alpha  # a set bit is opaque
    colour = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
    kind = _alpha_kind(encoded)
    if kind in _NONE:
        return colour, None
    return (unmultiply(colour, alpha) if kind == _PREMULTIPLIED else colour), alpha


def _alpha_kind(encoded: bytes) -> int:
    """Return the kind by the extension area, or else by the header's number of bits of alpha."""
    if encoded.endswith(_FOOTER) and len(encoded) > 26 + _AREA:
        (area,) = struct.unpack_from("<I", encoded, len(encoded) - 26)
        if area and area + _AREA <= len(encoded) and encoded[area + 494] <= _PREMULTIPLIED:
            return int(encoded[area + 494])
    return _STRAIGHT if encoded[17] & 15 else 0
