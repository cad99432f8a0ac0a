"""The only place that encodes images."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 RGB as PNG, without loss and without metadata."""
    return _encode_with_opencv(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])


def encode_webp(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 RGB as lossless WebP, without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, quality=0, method=0)
    return buffer.getvalue()


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Encode (H, W, 3) uint8 RGB as JPEG: for thumbnails in the report, never for data."""
    return _encode_with_opencv(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])


def _encode_with_opencv(suffix: str, pixels: NDArray[np.uint8], options: list[int]) -> bytes:
    success, buffer = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not success:
        raise ValueError(f"OpenCV did not encode {pixels.shape} as {suffix}")
    return bytes(buffer)
