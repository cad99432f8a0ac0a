"""HEIC and JPEG XL, which the extra `formats` reads: at the depth that they are stored with, and upright.

HEIC is read by libheif (pillow-heif), of several images the primary one. JPEG XL is read by libjxl (imagecodecs):
pillow-jxl-plugin, which reads its profile and Exif, gives 8 bits of colours. Both libraries turn images upright.
"""

import importlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dynet.errors import ImageError
from dynet.extras import INSTALL
from dynet.inference.decoded_image import DecodedImage, Samples
from dynet.inference.decoding import require_pixels
from dynet.inference.image_metadata import ImageMetadata, code_points, read_metadata
from dynet.inference.jxl_header import read_jxl_size
from dynet.inference.pillow_samples import ColourAndAlpha, float_range, scale_to_16_bits, unmultiply

_MODULES = {"HEIC": "pillow_heif", "JPEG XL": "pillow_jxl"}
_JXL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEAD_BYTES = 512


def extra_format(path: Path) -> str | None:
    """Return `HEIC` or `JPEG XL` for a file that begins as one; None for any other, also for one that is missing."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_JXL_STARTS):
        return "JPEG XL"
    if head[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[at : at + 4] for at in (8, *range(16, end - 3, 4))}
    return "HEIC" if brands & _HEIC_BRANDS and not brands & _AVIF_BRANDS else None


def read_extra_size(path: Path, name: str) -> tuple[int, int]:
    """Return width and height of a file of the format `name`, without decoding it. Raises as `read_extra`."""
    library, encoded = _library(name), path.read_bytes()
    width, height = read_jxl_size(encoded) if name == "JPEG XL" else library.open_heif(encoded).size
    require_pixels(width, height, 1, len(encoded))
    return int(width), int(height)


def read_extra(path: Path, name: str) -> DecodedImage:
    """Read a file of the format `name`, HEIC or JPEG XL.

    Raises:
        ImageError: The extra `formats` is not installed, or the image is too large or an animation.
    """
    library = _library(name)
    read_extra_size(path, name)
    encoded = path.read_bytes()
    if name == "JPEG XL":
        plugin, (colour, alpha) = "JXL", _decode_jxl(encoded)
    else:
        plugin, (colour, alpha) = "HEIF", _decode_heic(library, encoded)
    with Image.open(io.BytesIO(encoded), formats=[plugin]) as image:
        metadata = _upright_metadata(image, encoded)
    return DecodedImage(
        colour=colour,
        alpha=alpha,
        format=plugin,
        metadata=metadata,
        lossy=True,
        name=str(path),
        float_range=float_range(colour, metadata) if colour.dtype.kind == "f" else (0.0, 1.0),
    )


def _library(name: str) -> Any:
    module = _MODULES[name]
    if find_spec(module) is None:
        raise ImageError(f"unsupported: {name} (pip install {INSTALL[module]})")
    library = importlib.import_module(module)
    if module == "pillow_heif":
        library.register_heif_opener(thumbnails=False)
    return library


def _decode_heic(library: Any, encoded: bytes) -> ColourAndAlpha:
    file = library.open_heif(encoded, convert_hdr_to_8bit=False)
    samples, bits = np.atleast_3d(np.asarray(file)), int(file.info.get("bit_depth", 8))
    if samples.dtype == np.uint16:  # pillow-heif stores 10 and 12 bits as the upper ones of 16
        samples = scale_to_16_bits(samples >> (16 - bits), (1 << bits) - 1)
    colour, alpha = _split(samples)
    return (colour if alpha is None or not file.premultiplied_alpha else unmultiply(colour, alpha)), alpha


def _decode_jxl(encoded: bytes) -> ColourAndAlpha:
    import imagecodecs

    samples = imagecodecs.jpegxl_decode(encoded)
    if samples.ndim > 3:
        raise ImageError(f"has {len(samples)} frames, whose timing cannot be read; convert it to PNG or WebP first")
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise ImageError("has samples that are infinite or not a number")
    return _split(np.atleast_3d(samples))


def _split(samples: Samples) -> ColourAndAlpha:
    """Split (H, W, 1 to 4) samples into colour and alpha."""
    channels = samples.shape[2]
    if channels > 4:
        raise ImageError(f"has {channels} channels; grey or RGB with at most one more are supported")
    colour = np.ascontiguousarray(samples[..., 0] if channels <= 2 else samples[..., :3])
    return colour, np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None


def _upright_metadata(image: Image.Image, encoded: bytes) -> ImageMetadata:
    metadata = read_metadata(image, encoded, sideways=False)
    nclx = image.info.get("nclx_profile") or {}
    if nclx and "icc_profile" not in metadata:
        points = code_points(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))
        if points:
            metadata["cicp"] = points
    return metadata
