"""Embedded ICC profiles: whether one can be used, and conversion of 8-bit images by LittleCMS."""

import functools
import io
import logging
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from million_ird.images.colour_spaces import read_profile
from million_ird.images.distinct_colours import convert_distinct

log = logging.getLogger(__name__)

_SPACES = {"grey": "GRAY", "rgb": "RGB", "palette": "RGB", "ycbcr": "RGB", "cmyk": "CMYK"}
_MAX_ERROR = 2
_MANY = 1 << 17
"""Pixels from which on it pays to convert each distinct colour once."""
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


def classify_profile(profile: bytes | None, model: str) -> str:
    """Return what is to be done about the embedded ICC profile of an image.

    Args:
        profile: the profile, if there is one.
        model: the image's colour model, as in `ColourLayout`.

    Returns:
        `none`, `srgb`, `icc` (it is to be converted from) or `broken` (damaged, or for another colour model).
    """
    if not profile:
        return "none"
    return _classify(bytes(profile), _SPACES.get(model, ""))


def convert_8_bits(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an L, RGB or CMYK image to sRGB, mode RGB, from a profile that `classify_profile` calls `icc`."""
    profile = bytes(profile)
    if image.mode == "L" and (table := _exact_grey(profile)) is not None:
        grey = Image.fromarray(table[np.asarray(image)])
        return Image.merge("RGB", (grey, grey, grey))
    if image.mode == "RGB" and image.width * image.height >= _MANY:
        return Image.fromarray(convert_rgb(np.asarray(image), profile))
    return _transform(profile, image.mode).apply(image)


def convert_rgb(pixels: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Convert (H, W, 3) uint8 RGB to sRGB, as `convert_8_bits` does."""
    profile = bytes(profile)

    def convert(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(_transform(profile, "RGB").apply(Image.fromarray(colours)), np.uint8)

    return convert_distinct(pixels, convert) if pixels.size >= 3 * _MANY else convert(pixels)


@functools.lru_cache(maxsize=4)
def _classify(profile: bytes, space: str) -> str:
    try:
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        if parsed.xcolor_space.strip() != space:
            return "broken"
        description = parsed.profile_description or ""
        if "srgb" in description.lower() and "linear" not in description.lower():
            return "srgb"
        _transform(profile, _MODES[space])
    except (ImageCms.PyCMSError, OSError, ValueError, struct.error) as error:
        log.debug("ICC profile ignored: %s", error)
        return "broken"
    return "icc"


@functools.lru_cache(maxsize=4)
def _exact_grey(profile: bytes) -> NDArray[np.uint8] | None:
    """Return the 8-bit sRGB of all 256 levels of a grey profile where LittleCMS is off by more than 2 levels.

    It computes a grey curve by few points: of linear light it makes 6 instead of 13.
    """
    space = read_profile(profile)
    if space is None:
        return None
    ramp = np.arange(256, dtype=np.uint8)
    exact = np.rint(space.to_srgb(ramp[:, None].astype(np.float32) / np.float32(255))[:, 0] * 255)
    theirs = np.asarray(_transform(profile, "L").apply(Image.fromarray(ramp[None])))[0, :, 1]
    return exact.astype(np.uint8) if np.abs(exact - theirs).max() > _MAX_ERROR else None


@functools.lru_cache(maxsize=4)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(parsed, ImageCms.createProfile("sRGB"), mode, "RGB")
