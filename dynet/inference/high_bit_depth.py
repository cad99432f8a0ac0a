"""Decoding images of 9 to 16 bits per sample but TIFF; Pillow drops the lower bits of colour images."""

import logging
import re

import numpy as np
from PIL import Image

from dynet.errors import ImageError
from dynet.inference.decoded_image import Samples
from dynet.inference.pillow_samples import ColourAndAlpha, scale_to_16_bits
from dynet.inference.png_chunks import without_unreadable_chunks

logger = logging.getLogger(__name__)
_PNM_HEADER = re.compile(rb"P[2356]" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)")
_PNG_GREY_WITH_ALPHA = 4


def decode_high_bit_depth(image: Image.Image, encoded: bytes, name: str) -> ColourAndAlpha | None:
    """Decode an image with 9 to 16 bits per sample to 16 bits, scaled so that white is 65535.

    Args:
        image: the file as Pillow opened it.
        encoded: the bytes of the file.
        name: the file's name, for warnings.

    Returns:
        Colour and alpha, as stored; None for an image of up to 8 bits.

    Raises:
        ImageError: the samples are floating-point or of more than 16 bits, or cannot be decoded.
    """
    bits = bits_per_sample(image, encoded)
    if bits > 16:
        raise ImageError(f"has samples of {bits} bits or floating-point samples; at most 16 bits are supported")
    if bits <= 8 or image.mode == "CMYK":  # CMYK becomes sRGB of 8 bits
        return None
    if image.format == "PPM":
        return _decode_pnm(encoded), None
    samples = _decode_with_opencv(without_unreadable_chunks(encoded))
    if samples is None:
        if image.mode not in ("L", "RGB", "RGBA"):
            raise ImageError(f"has samples of {bits} bits that cannot be decoded")
        logger.warning("%s: only 8 of its %d bits per sample could be read", name, bits)
        return None
    colour, alpha = _split_alpha(samples)
    if image.format == "PNG":
        if encoded[25] == _PNG_GREY_WITH_ALPHA:
            colour = colour[..., 0]
        elif (key := image.info.get("transparency")) is not None:
            alpha = _alpha_from_key(colour, key)
    white = (1 << bits) - 1
    return scale_to_16_bits(colour, white), None if alpha is None else scale_to_16_bits(alpha, white)


def bits_per_sample(image: Image.Image, encoded: bytes) -> int:
    """Return how many bits a sample has; 32 for floating-point numbers, and for integers of more than 16 bits."""
    match image.format:
        case "PNG":
            return encoded[24]
        case "SGI":
            return 8 * encoded[3]
        case "PPM" if (header := _PNM_HEADER.match(encoded)) is not None:
            return int(header[3]).bit_length()
        case "AVIF":
            # AV1CodecConfigurationRecord: its third byte holds high_bitdepth and twelve_bit.
            record = encoded.find(b"av1C") + 4
            flags = encoded[record + 2] if 4 <= record < len(encoded) - 2 else 0
            return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
        case "JPEG2000":
            # The marker SIZ follows SOC: Ssiz of the first component is 40 bytes after it.
            size = encoded.find(b"\xff\x4f\xff\x51")
            return (encoded[size + 42] & 0x7F) + 1 if 0 <= size < len(encoded) - 42 else 8
        case _:
            return {"I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)


def _decode_pnm(encoded: bytes) -> Samples:
    """Decode grey or RGB in two bytes each, the higher byte first, or in decimal numbers (P2 and P3)."""
    header = _PNM_HEADER.match(encoded)
    assert header is not None  # otherwise `bits_per_sample` would have returned 8
    width, height, white = map(int, header.groups())
    shape = (height, width, 3) if encoded[1:2] in b"36" else (height, width)
    count = int(np.prod(shape))
    if encoded[1:2] in b"56":
        stored = np.frombuffer(encoded[header.end() + 1 :][: 2 * count], ">u2")
    else:
        stored = np.array(encoded[header.end() :].split(maxsplit=count)[:count], np.uint32)
    if stored.size < count or stored.max() > white:
        raise ImageError("the file is truncated, or has samples above its own maximum")
    return scale_to_16_bits(stored.reshape(shape).astype(np.uint16), white)


def _decode_with_opencv(encoded: bytes) -> Samples | None:
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our own message reports the error
    try:
        flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        samples = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return samples.astype(np.uint16, copy=False) if samples is not None and samples.dtype == np.uint16 else None


def _split_alpha(samples: Samples) -> ColourAndAlpha:
    """Split OpenCV's channels, B, G, R and perhaps alpha, into RGB and alpha."""
    if samples.ndim == 2:
        return samples, None
    return np.ascontiguousarray(samples[..., 2::-1]), samples[..., 3] if samples.shape[2] == 4 else None


def _alpha_from_key(colour: Samples, key: int | tuple[int, ...]) -> Samples:
    """Return the alpha of an image in which one colour means transparent."""
    same = colour == np.asarray(key, np.uint16)
    return np.where(same if colour.ndim == 2 else same.all(axis=2), 0, 65535).astype(np.uint16)
