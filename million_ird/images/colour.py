"""Any mode, depth and ICC profile to sRGB of 8 bits, by the rules at the top of images.py, which alone calls this."""

import contextlib
import io
import logging
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

log = logging.getLogger(__name__)

DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
"""Pillow's modes of 16 bits."""


def icc_kind(picture: Image.Image) -> str:
    """What its embedded profile is: `none`, `srgb`, `converted` (to be converted from) or `broken`."""
    profile = picture.info.get("icc_profile")
    if not profile:
        return "none"
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, struct.error):
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        wanted = {"CMYK": "CMYK", "L": "GRAY", "LA": "GRAY", "1": "GRAY"}.get(picture.mode, "RGB")
        if space == wanted:
            description = opened.profile.profile_description or ""
            known = "srgb" in description.lower() and "linear" not in description.lower()
            return "srgb" if known else "converted"
    return "broken"


def eight_bits(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Levels of 16 bits in 8, v·255/65535 rounded."""
    scaled: NDArray[np.uint8] = np.rint(levels.astype(np.float32) * np.float32(255 / 65535)).astype(np.uint8)
    return scaled


def to_srgb(picture: Image.Image, *, alpha: bool, profile: bytes | None) -> Image.Image:
    """Any mode to RGB of 8 bits: alpha over white, profile applied.

    Args:
        picture: decoded, of any mode but F and I.
        alpha: whether it has transparency, in a channel or as a colour.
        profile: an embedded ICC profile to convert from; a broken one is passed over.
    """
    if picture.mode in DEEP_MODES:
        picture = Image.fromarray(eight_bits(np.asarray(picture)))
    if picture.mode == "P":
        picture = picture.convert("RGBA" if alpha else "RGB")
    elif alpha and picture.mode in {"L", "LA", "RGB", "PA", "La", "RGBa", "1"}:
        picture = picture.convert("RGBA")
    if picture.mode == "RGBA":
        cover = picture.getchannel("A")
        flat = Image.new("RGB", picture.size, (255, 255, 255))
        flat.paste(_with_profile(picture.convert("RGB"), profile), mask=cover)
        return flat
    if picture.mode == "1":
        picture = picture.convert("L")
    colour = _with_profile(picture, profile)
    return colour if colour.mode == "RGB" else colour.convert("RGB")  # convert would copy what is RGB already


def _with_profile(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is None or picture.mode not in {"L", "RGB", "CMYK"}:
        return picture
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if picture.mode == "RGB" and opened.profile.xcolor_space.strip() == "GRAY":
            return picture
        converted = ImageCms.profileToProfile(picture, opened, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        log.debug("ICC profile ignored: %s", error)
        return picture
    return converted if converted is not None else picture
