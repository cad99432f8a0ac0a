"""Regions of lossless WebP images, cropped by libwebp itself, which Pillow does not offer.

The library is the one that Pillow has loaded, so the pixels are the same as Pillow's. Structures and names are those of
libwebp's `src/webp/decode.h`. The crop of a lossless image decodes no row below the region, and converts only the
region. (The crop of a lossy image may differ at its edges from the whole image, so it is not offered here.)
"""

import ctypes
import functools
from typing import Any

import numpy as np
import numpy.typing as npt

Image8 = npt.NDArray[np.uint8]

_ABI = 0x0208
"""WEBP_DECODER_ABI_VERSION: libwebp rejects another first byte; these structures never change within one."""
_MODE_RGB = 0
_OK = 0


def lossless_size(encoded: bytes) -> tuple[int, int] | None:
    """Return height and width of a file with one VP8L chunk; None for any other file.

    Such a file has nothing else: no Exif, so the image is upright, and no second frame.
    """
    if encoded[:4] != b"RIFF" or encoded[8:16] != b"WEBPVP8L" or encoded[20:21] != b"\x2f" or len(encoded) < 25:
        return None
    bits = int.from_bytes(encoded[21:25], "little")
    return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1


def available() -> bool:
    """Return whether `crop` can be called; not if Pillow contains libwebp in its own module, as on Windows."""
    return _library() is not None


def crop(encoded: bytes, top: int, left: int, height: int, width: int) -> Image8 | None:
    """Return a region of a lossless image, (height, width, 3) RGB; None if libwebp finds the file damaged."""
    library, configuration = _library(), _DecoderConfig()
    assert library is not None
    library.WebPInitDecoderConfigInternal(ctypes.byref(configuration), _ABI)
    region = np.empty((height, width, 3), np.uint8)
    options, output = configuration.options, configuration.output
    options.use_cropping = 1
    options.crop_left, options.crop_top, options.crop_width, options.crop_height = left, top, width, height
    output.colorspace, output.is_external_memory = _MODE_RGB, 1
    output.u.rgb = _Rgb(region.ctypes.data, 3 * width, region.nbytes)
    return region if library.WebPDecode(encoded, len(encoded), ctypes.byref(configuration)) == _OK else None


def _ints(names: str) -> list[tuple[str, Any]]:
    return [(name, ctypes.c_int) for name in names.split()]


class _Features(ctypes.Structure):
    """WebPBitstreamFeatures of libwebp's src/webp/decode.h."""

    _fields_ = (*_ints("width height has_alpha has_animation format"), ("pad", ctypes.c_uint32 * 5))


class _Rgb(ctypes.Structure):
    """WebPRGBABuffer."""

    _fields_ = (("pixels", ctypes.c_void_p), ("stride", ctypes.c_int), ("size", ctypes.c_size_t))


class _Yuv(ctypes.Structure):
    """WebPYUVABuffer, needed for its size only."""

    _fields_ = (("planes", ctypes.c_void_p * 4), ("strides", ctypes.c_int * 4), ("sizes", ctypes.c_size_t * 4))


class _Pixels(ctypes.Union):
    """The unnamed union of WebPDecBuffer."""

    _fields_ = (("rgb", _Rgb), ("yuv", _Yuv))


class _Buffer(ctypes.Structure):
    """WebPDecBuffer."""

    _fields_ = (
        *_ints("colorspace width height is_external_memory"),
        ("u", _Pixels),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", ctypes.c_void_p),
    )


class _DecoderOptions(ctypes.Structure):
    """WebPDecoderOptions."""

    _fields_ = (
        *_ints("bypass_filtering no_fancy_upsampling use_cropping crop_left crop_top crop_width crop_height"),
        *_ints("use_scaling scaled_width scaled_height use_threads dithering_strength flip alpha_dithering_strength"),
        ("pad", ctypes.c_uint32 * 5),
    )


class _DecoderConfig(ctypes.Structure):
    """WebPDecoderConfig."""

    _fields_ = (("input", _Features), ("output", _Buffer), ("options", _DecoderOptions))


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        from PIL import _webp

        library = ctypes.CDLL(_webp.__file__)  # symbols are also looked up in the libraries that it depends on
        library.WebPDecode.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(_DecoderConfig))
        ready = library.WebPInitDecoderConfigInternal(ctypes.byref(_DecoderConfig()), _ABI)
    except (ImportError, OSError, AttributeError):
        return None
    return library if ready else None
