"""Conversion of what Pillow decodes to 8 bits, of any mode, to sRGB; see `colour_rules.py`."""

import numpy as np
from PIL import Image

from million_ird.images.icc import convert_8_bits
from million_ird.images.samples import Samples


def to_srgb(image: Image.Image, *, alpha: bool, profile: bytes | None) -> Image.Image:
    """Convert any mode to 8-bit RGB: profile applied, alpha over white.

    Args:
        image: decoded, of any mode but F and I.
        alpha: whether it has transparency, in a channel or as a colour.
        profile: an ICC profile to convert from, of the image's own colour model.
    """
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.uint16)
        return Image.fromarray(Samples(levels=levels[..., None], model="grey", white=65535, profile=profile).to_srgb())
    if image.mode == "P":
        image = image.convert("RGBA" if alpha else "RGB")
    elif alpha and image.mode in {"L", "LA", "La", "1"}:
        image = image.convert("LA")
    elif alpha and image.mode in {"RGB", "PA", "RGBa"}:
        image = image.convert("RGBA")
    if image.mode in {"LA", "RGBA"}:
        flat = Image.new("RGB", image.size, (255, 255, 255))
        colour = image.convert("L" if image.mode == "LA" else "RGB")
        flat.paste(_to_rgb(colour, profile), mask=image.getchannel("A"))
        return flat
    return _to_rgb(image.convert("L") if image.mode == "1" else image, profile)


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is not None and image.mode in {"L", "RGB", "CMYK"}:
        return convert_8_bits(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")  # convert copies even an RGB image
