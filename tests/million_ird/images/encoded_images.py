"""Encoded images for the tests of decoding: known pixels, odd headers, depths and orientations."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.decode import decode
from million_ird.images.header import ORIENTATION_TAG, read_header

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners() -> np.ndarray:
    """Return 60 × 40 pixels with another colour in each corner, so that all eight orientations differ."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[20:, 30:], pixels[:20, 30:] = RED, GREEN, BLUE
    return pixels


def wave_image(height: int = 96, width: int = 128) -> np.ndarray:
    """Return smooth colours with some detail, which survive JPEG."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + k) + np.cos(y / 7 - k) for k in range(3)]
    return np.clip(128 + 50 * np.stack(waves, axis=2), 0, 255).astype(np.uint8)


def encode_image(image: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    pil_image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    pil_image.save(buffer, format, **options)
    return buffer.getvalue()


def encode_16_bits(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    """Encode 16-bit levels, RGB(A) or grey, as PNG or TIFF."""
    order = [2, 1, 0, 3][: pixels.shape[2]] if pixels.ndim == 3 else None
    stored = pixels if order is None else np.ascontiguousarray(pixels[..., order])
    return bytes(cv2.imencode(suffix, stored)[1])


def with_chunk(png: bytes, kind: bytes, data: bytes, *, last: bool = False) -> bytes:
    """Return a PNG with one more chunk, after IHDR or before IEND."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    position = len(png) - 12 if last else 33
    return png[:position] + chunk + png[position:]


def exif_orientation(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION_TAG] = orientation
    return tags


def tiff16_with_orientation(pixels: np.ndarray, orientation: int) -> bytes:
    """Encode a 16-bit TIFF with an orientation tag, which OpenCV does not write."""
    raw = bytearray(cv2.imencode(".tiff", pixels[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1])
    (start,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, start)
    entries = [bytes(raw[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(count)]
    entries = [entry for entry in entries if entry[:2] != struct.pack("<H", 274)]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    struct.pack_into("<I", raw, 4, len(raw))
    return bytes(raw + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))


def decode_bytes(content: bytes) -> np.ndarray:
    return decode(content, read_header(content))


def failure_class(content: bytes, **limits: int) -> str:
    with pytest.raises(ReadError) as caught:
        decode(content, read_header(content, **limits))
    return caught.value.failure_class


def decompression_bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header declares a huge size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    png += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = zlib.compress(bytes(1000))
    png += struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    return png + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
