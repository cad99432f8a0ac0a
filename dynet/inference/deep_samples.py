"""Pictures of 9 to 16 bits per sample, whose lower bits Pillow drops where there is colour."""

import logging
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dynet.errors import PictureError

logger = logging.getLogger(__name__)
Samples = npt.NDArray[np.unsignedinteger[Any]]
Decoded = tuple[Samples, Samples | None]
"""Colour, (H, W, 3) or (H, W), and alpha, (H, W) or None."""

_PNM_HEADER = re.compile(rb"P[2356]" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)")
_BITS, _PHOTOMETRIC, _PLANES, _EXTRA, _SAMPLE_FORMAT = 258, 262, 284, 338, 339  # tags of TIFF
_WHITE_IS_ZERO, _IN_PLANES, _MULTIPLIED, _UNMULTIPLIED, _UNSIGNED = 0, 2, 1, 2, 1
_PNG_GREY_WITH_ALPHA = 4


def read_deep(image: Image.Image, encoded: bytes, name: str) -> Decoded | None:
    """A picture with 9 to 16 bits per sample, in 16 bits; None for one that has 8 or fewer.

    Samples are stretched so that white is 65535. A TIFF's come upright, all others' as they are stored. Raises
    PictureError for samples that are signed, floating-point, of more than 16 bits, or that nothing here decodes.
    """
    bits = _bits(image, encoded)
    if bits > 16:
        raise PictureError(f"has samples of {bits} bits, or of floating-point numbers; up to 16 bits are restored")
    if bits <= 8 or image.mode == "CMYK":  # which becomes sRGB of 8 bits
        return None
    if image.format == "TIFF":
        return _read_tiff(image, encoded, bits)
    if image.format == "PPM":
        return _read_pnm(encoded), None
    samples = _with_opencv(encoded)
    if samples is None:
        if image.mode not in ("RGB", "RGBA"):
            raise PictureError(f"has samples of {bits} bits that cannot be decoded")
        logger.warning("%s: of %d bits per sample only 8 could be read", name, bits)
        return None
    colour, alpha = _parted(samples)
    if image.format == "PNG":
        if encoded[25] == _PNG_GREY_WITH_ALPHA:
            colour = colour[..., 0]
        elif (key := image.info.get("transparency")) is not None:
            alpha = _where_not(colour, key)
    white = (1 << bits) - 1
    return _stretched(colour, white), None if alpha is None else _stretched(alpha, white)


def _bits(image: Image.Image, encoded: bytes) -> int:
    """How many bits a sample has; 32 for floating-point numbers, and for whole ones of any size above 16."""
    match image.format:
        case "PNG":
            return encoded[24]
        case "TIFF":
            tags = getattr(image, "tag_v2", {})
            if any(kind != _UNSIGNED for kind in np.atleast_1d(tags.get(_SAMPLE_FORMAT, _UNSIGNED))):
                raise PictureError("has signed or floating-point samples, which have no fixed white")
            return int(max(np.atleast_1d(tags.get(_BITS, 1))))
        case "PPM" if (found := _PNM_HEADER.match(encoded)) is not None:
            return int(found[3]).bit_length()
        case "AVIF":
            # AV1CodecConfigurationRecord: in its third byte, high_bitdepth and twelve_bit.
            record = encoded.find(b"av1C") + 4
            flags = encoded[record + 2] if 4 <= record < len(encoded) - 2 else 0
            return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
        case "JPEG2000":
            # The marker SIZ right after SOC: Ssiz of the first component is 40 bytes behind it.
            size = encoded.find(b"\xff\x4f\xff\x51")
            return (encoded[size + 42] & 0x7F) + 1 if 0 <= size < len(encoded) - 42 else 8
        case _:
            return {"I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)


def _read_tiff(image: Image.Image, encoded: bytes, bits: int) -> Decoded:
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        grey = _stretched(np.array(image).astype(np.uint16), (1 << bits) - 1)
        return (65535 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey), None
    if image.mode not in ("RGB", "RGBA") or bits != 16 or tags.get(_PLANES, 1) == _IN_PLANES:
        raise PictureError(f"samples of {bits} bits stored in this way cannot be read; save it as a plain 16-bit TIFF")
    samples = _with_opencv(encoded)
    if samples is None or samples.ndim != 3:
        raise PictureError("has samples of 16 bits that cannot be decoded")
    colour, alpha = _parted(samples)
    extra = np.atleast_1d(tags.get(_EXTRA, _UNMULTIPLIED))[0]
    if alpha is None or extra not in (_MULTIPLIED, _UNMULTIPLIED):  # a fourth channel that is something else
        return colour, None
    if extra == _MULTIPLIED:
        whole = np.maximum(alpha, 1)[..., None].astype(np.float64)
        colour = np.rint(np.minimum(colour / whole, 1) * 65535).astype(np.uint16)
    return colour, alpha


def _read_pnm(encoded: bytes) -> Samples:
    """Grey or RGB in two bytes each, the higher first, or in decimal numbers (P2 and P3)."""
    header = _PNM_HEADER.match(encoded)
    assert header is not None  # or its samples would not have been deep
    width, height, white = map(int, header.groups())
    shape = (height, width, 3) if encoded[1:2] in b"36" else (height, width)
    number = int(np.prod(shape))
    if encoded[1:2] in b"56":
        stored = np.frombuffer(encoded[header.end() + 1 :][: 2 * number], ">u2")
    else:
        stored = np.array(encoded[header.end() :].split(maxsplit=number)[:number], np.uint32)
    if stored.size < number or stored.max() > white:
        raise PictureError("the file is cut off, or has samples above its own white")
    return _stretched(stored.reshape(shape).astype(np.uint16), white)


def _with_opencv(encoded: bytes) -> Samples | None:
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is said once, by us
    try:
        flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        samples = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return samples.astype(np.uint16, copy=False) if samples is not None and samples.dtype == np.uint16 else None


def _parted(samples: Samples) -> Decoded:
    """OpenCV's order of channels taken apart."""
    if samples.ndim == 2:
        return samples, None
    return np.ascontiguousarray(samples[..., 2::-1]), samples[..., 3] if samples.shape[2] == 4 else None


def _where_not(colour: Samples, key: int | tuple[int, ...]) -> Samples:
    """Alpha of a picture in which one colour stands for transparency."""
    same = colour == np.asarray(key, np.uint16)
    return np.where(same if colour.ndim == 2 else same.all(axis=2), 0, 65535).astype(np.uint16)


def _stretched(samples: Samples, white: int) -> Samples:
    if white == 65535:
        return samples
    return np.rint(np.minimum(samples, white) * (65535 / white)).astype(np.uint16)
