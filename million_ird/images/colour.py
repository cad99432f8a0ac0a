"""Conversion of any mode, depth and ICC profile to 8-bit sRGB, by the rules at the top of `decode.py`."""

import contextlib
import io
import logging
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

log = logging.getLogger(__name__)

DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
"""Pillow's modes with 16 bits."""


def classify_profile(image: Image.Image) -> str:
    """Return the kind of the embedded ICC profile.

    Returns:
        `none`, `srgb`, `converted` (it has to be converted to sRGB) or `broken`.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return "none"
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, struct.error):
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = parsed.profile.xcolor_space.strip()
        expected = {"CMYK": "CMYK", "L": "GRAY", "LA": "GRAY", "1": "GRAY"}.get(image.mode, "RGB")
        if space == expected:
            description = parsed.profile.profile_description or ""
            is_srgb = "srgb" in description.lower() and "linear" not in description.lower()
            return "srgb" if is_srgb else "converted"
    return "broken"


def to_eight_bits(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Convert 16-bit levels of any shape to 8 bits: v·255/65535, rounded."""
    scaled: NDArray[np.uint8] = np.rint(levels.astype(np.float32) * np.float32(255 / 65535)).astype(np.uint8)
    return scaled


def to_srgb(image: Image.Image, *, alpha: bool, profile: bytes | None) -> Image.Image:
    """Convert any mode to 8-bit RGB: alpha over white, profile applied.

    Args:
        image: decoded, of any mode but F and I.
        alpha: whether it has transparency, in a channel or as a colour.
        profile: an embedded ICC profile to convert from; a broken one is ignored.
    """
    if image.mode in DEEP_MODES:
        image = Image.fromarray(to_eight_bits(np.asarray(image)))
    if image.mode == "P":
        image = image.convert("RGBA" if alpha else "RGB")
    elif alpha and image.mode in {"L", "LA", "RGB", "PA", "La", "RGBa", "1"}:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        mask = image.getchannel("A")
        flat = Image.new("RGB", image.size, (255, 255, 255))
        flat.paste(_apply_profile(image.convert("RGB"), profile), mask=mask)
        return flat
    if image.mode == "1":
        image = image.convert("L")
    colour = _apply_profile(image, profile)
    return colour if colour.mode == "RGB" else colour.convert("RGB")  # convert copies even an RGB image


def _apply_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is None or image.mode not in {"L", "RGB", "CMYK"}:
        return image
    try:
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and parsed.profile.xcolor_space.strip() == "GRAY":
            return image
        converted = ImageCms.profileToProfile(image, parsed, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        log.debug("ICC profile ignored: %s", error)
        return image
    return converted if converted is not None else image
