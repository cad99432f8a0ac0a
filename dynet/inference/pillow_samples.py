"""Samples of up to 8 bits, decoded by Pillow, and by others where Pillow is wrong."""

import io
import logging

import numpy as np
from PIL import Image, ImageCms

from dynet.errors import ImageError
from dynet.inference.decoded_image import Samples, opaque_value
from dynet.inference.image_metadata import ImageMetadata

logger = logging.getLogger(__name__)

_FILLER = bytes(range(1, 251)) * 4
"""Any bytes without a marker; as coefficients of a JPEG they are no flat grey."""
ColourAndAlpha = tuple[Samples, Samples | None]
"""Colour, (H, W, 3) or (H, W), and alpha, (H, W) or None."""


def decode_8_bits(image: Image.Image, name: str) -> ColourAndAlpha:
    """Decode an image that Pillow has opened to colour and alpha of 8 bits; CMYK and Lab become sRGB."""
    transparent = image.mode in ("PA", "RGBa", "La") or ("transparency" in image.info and image.mode != "LA")
    if image.mode in ("CMYK", "LAB"):
        image = _to_srgb(image, name)
    elif image.mode in ("1", "La"):
        image = image.convert("LA" if transparent else "L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA") or transparent:
        image = image.convert("RGBA" if transparent else "RGB")
    samples = np.array(image)
    if samples.ndim == 2:
        return samples, None
    alpha = samples[..., -1] if image.mode.endswith("A") else None
    return (samples[..., 0] if image.mode == "LA" else samples[..., :3]), alpha


def grey_with_transparent_value(image: Image.Image, bits: int) -> ColourAndAlpha:
    """Decode grey of 1 to 8 bits in which one value means transparent; Pillow looks for it among 8-bit values."""
    grey = np.array(image.convert("L"))
    value = int(image.info["transparency"])
    value = 255 * bool(value) if bits == 1 else value * 255 // ((1 << bits) - 1)
    return grey, np.where(grey == value, 0, 255).astype(np.uint8)


def open_jpeg_without_end(encoded: bytes) -> Image.Image:
    """Return a JPEG that lacks only its end marker, decoded.

    Whether its last pixels are there shows by what is put behind them: it changes pixels only if some are missing.

    Raises:
        ImageError: pixels are missing, too.
    """
    images = []
    for filler in (b"", _FILLER):
        with Image.open(io.BytesIO(encoded + filler + b"\xff\xd9"), formats=["JPEG", "MPO"]) as image:
            image.load()
            images.append(image)
    if images[0].tobytes() != images[1].tobytes():
        raise ImageError("the file is truncated")
    return images[0]


def decode_rle4_bmp(encoded: bytes) -> ColourAndAlpha:
    """Decode a BMP with 4-bit run-length encoding, which Pillow decodes to noise."""
    import cv2

    samples = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if samples is None:
        raise ImageError("its 4-bit run-length encoding cannot be decoded")
    return np.ascontiguousarray(samples[..., ::-1]).astype(np.uint8, copy=False), None


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    if image.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif profile := image.info.get("icc_profile"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        except (OSError, ImageCms.PyCMSError):
            return _to_srgb_without_profile(image, name)
    else:
        return image.convert("RGB")
    try:
        return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB") or _to_srgb_without_profile(image, name)
    except ImageCms.PyCMSError:
        return _to_srgb_without_profile(image, name)


def _to_srgb_without_profile(image: Image.Image, name: str) -> Image.Image:
    logger.warning("%s: its CMYK profile cannot be used; converted to sRGB without it", name)
    return image.convert("RGB")


def scale_to_16_bits(samples: Samples, white: int) -> Samples:
    """Scale samples of uint16, of which `white` is the largest, so that 65535 is."""
    if white == 65535:
        return samples
    return np.rint(np.minimum(samples, white) * (65535 / white)).astype(np.uint16)


def unmultiply(colour: Samples, alpha: Samples) -> Samples:
    """Divide colours by their alpha; where that is 0 they stay as they are."""
    white = opaque_value(alpha.dtype)
    divisor = np.where(alpha == 0, white, alpha).astype(np.float64)
    quotient = colour / (divisor[..., None] if colour.ndim == 3 else divisor)
    if alpha.dtype.kind == "f":
        return quotient.astype(colour.dtype)
    rounded: Samples = np.rint(np.minimum(quotient, 1) * white).astype(colour.dtype)
    return rounded


def float_range(samples: Samples, metadata: ImageMetadata) -> tuple[float, float]:
    """Return the values that are shown to the network as black and white; see the module."""
    smallest, largest = float(samples.min()), float(samples.max())
    stated = metadata.get("sample_range")
    if stated is not None and stated[0] <= smallest and largest <= stated[1]:
        return stated
    black, white = min(0.0, smallest), max(1.0, largest)
    if not np.isfinite(white - black):
        raise ImageError(f"has samples from {smallest:g} to {largest:g}, a range that is too large")
    return black, white
