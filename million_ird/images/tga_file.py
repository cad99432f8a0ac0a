"""TGA: what its header and extension area say of alpha, which Pillow does not ask."""

import struct

import numpy as np
from PIL import Image

from million_ird.images.colour_rules import Alpha, ColourLayout
from million_ird.images.samples import Samples

_FOOTER = b"TRUEVISION-XFILE.\0"
_NO_ALPHA, _STRAIGHT, _PREMULTIPLIED = frozenset({0, 1, 2}), 3, 4


def readable_by_pillow(encoded: bytes) -> bytes:
    """Return a TGA in which 15 bits are called 16, as Pillow expects it: the sixteenth bit is unused in both."""
    if len(encoded) < 18 or 15 not in {encoded[7], encoded[16]}:
        return encoded
    changed = bytearray(encoded)
    for position in (7, 16):
        changed[position] = 16 if encoded[position] == 15 else encoded[position]
    return bytes(changed)


def read_tga_colours(encoded: bytes) -> ColourLayout:
    """Read how a TGA that Pillow has identified stores its colours."""
    kind, depth = encoded[2] & 7, encoded[16]
    stored = encoded[7] if kind == 1 and encoded[1] else depth
    model = "palette" if kind == 1 and encoded[1] else "grey" if kind in {1, 3} else "rgb"
    has_fourth = stored in {16, 32} if model != "grey" else depth == 16
    alpha = _alpha(encoded) if has_fourth else "none"
    return ColourLayout(container="TGA", model=model, bits=8, alpha=alpha)


def has_fourth_value(encoded: bytes, image: Image.Image) -> bool:
    """Return whether Pillow's pixels of a TGA have a value besides colour or grey."""
    return image.mode in {"RGBA", "LA"} or (image.mode == "P" and encoded[7] in {16, 32})


def read_tga_samples(encoded: bytes, image: Image.Image, layout: ColourLayout) -> Samples:
    """Return the pixels of a TGA with a fourth value, as Pillow decoded them, with alpha only where there is one."""
    depth = encoded[7] if image.mode == "P" else encoded[16]
    if image.mode == "P":
        image = image.convert("RGBA")
    levels = np.array(image)
    model = "grey" if image.mode == "LA" else "rgb"
    if model == "rgb" and depth == 16:
        levels[..., 3] = 255 - levels[..., 3]  # a set bit is opaque, as for ImageMagick and GIMP
    channels = levels.shape[2] if layout.alpha != "none" else levels.shape[2] - 1
    return Samples(levels=levels[..., :channels], model=model, alpha=layout.alpha)


def _alpha(encoded: bytes) -> Alpha:
    """Return what the fourth value is, by the extension area, or else by the header's number of alpha bits."""
    if encoded.endswith(_FOOTER) and len(encoded) > 26 + 495:
        (area,) = struct.unpack_from("<I", encoded, len(encoded) - 26)
        if area and area + 495 <= len(encoded):
            kind = encoded[area + 494]
            if kind in _NO_ALPHA:
                return "none"
            if kind == _PREMULTIPLIED:
                return "premultiplied"
            if kind == _STRAIGHT:
                return "straight"
    return "straight" if encoded[17] & 15 else "none"
