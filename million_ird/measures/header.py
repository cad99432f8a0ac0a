"""The header: size, shape, frames, compression. No pixel is decoded.

- `short_side`, `long_side` (px), `megapixels` (10⁶ px), `aspect` (long/short, ≥ 1), `frames` (count): as
  displayed.
- `bits_per_pixel`: encoded bytes · 8 / pixels; up is better. Null for lossless formats (PNG, TIFF, GIF, BMP,
  lossless WebP), where the number depends on the content and not on damage, and for files of more than one
  frame.
- `jpeg_quality`: 1–100, up is better. The quality of the Independent JPEG Group's scale (jcparam.c,
  `jpeg_set_quality`) whose luma table does as much harm to photographs as the file's own (jpeg_tables.py), so that
  tables of cameras, of Photoshop and of MozJPEG have a quality, too. Null for other formats than JPEG. It tells how the
  file was saved last, not what was done to it before: see `jpeg_trace` in artefacts.py.
- `webp_quality`: 0–100, up is better. The quality setting of libwebp (VP8 coder, quant_enc.c) at which the whole image
  has the mean quantizer that the header of a lossy WebP states for its segments. With its default settings libwebp
  codes parts more coarsely: a file saved with 30 has 20 to 35, with 50 37 to 55, with 75 62 to 76, with 90 88 to 91.
  WebP of quality 30 is about as far from the original as JPEG of quality 40. Null for all other files.
- `avif_quality`: 0–100, up is better. 100 (1 − i / 255) for the base quantizer index i that an AVIF's first frame
  states. libavif 1.4 has 23 for a quality of 30, 33 for 40, 42 for 50, 53 for 60, 70 for 75, 87 for 90 and 100 for
  lossless files. AVIF of quality 44 is about as far from the original as JPEG of quality 40. Null for all other files.
- `camera`: 1 if the file's EXIF names the maker or the model of a camera, else 0. Of copies that are equal otherwise,
  the one with it stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from million_ird.images.av1_header import read_quantizer
from million_ird.images.encoded_image import EncodedImage
from million_ird.images.vp8_header import find_vp8, read_quantizers
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures.jpeg_tables import jpeg_quality

SIZES = ("short_side", "long_side", "megapixels", "aspect")
_WEBP, _JPEG_OF_WEBP = (8, 26, 45, 69, 84, 90, 95, 100), (18, 39, 64, 78, 88, 92, 95, 97)
_AVIF, _JPEG_OF_AVIF = (15, 23, 33, 42, 53, 70, 81, 94, 100), (12, 18, 29, 59, 77, 89, 93, 97, 100)
_UNTOLD_QUALITY = 75.0
_LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JXL", "JPEG2000"})


@dataclass(frozen=True, slots=True)
class HeaderMeasure:
    """Size, shape and compression as the header declares them."""

    fields: ClassVar[tuple[str, ...]] = MEASURE_SPECS["header"].fields
    tier: ClassVar[Tier] = MEASURE_SPECS["header"].tier

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure the header only."""
        header = image.header
        return {
            **size_numbers(header.width, header.height),
            "frames": float(header.frames),
            "bits_per_pixel": bits_per_pixel(image),
            "jpeg_quality": jpeg_quality(header.quantisation),
            "webp_quality": webp_quality(image.encoded),
            "avif_quality": avif_quality(image.encoded),
            "camera": float(header.camera),
        }


def size_numbers(width: int, height: int) -> dict[str, float]:
    """Return the numbers in `SIZES` of a width and height in pixels."""
    short, long = sorted((width, height))
    return dict(zip(SIZES, (float(short), float(long), width * height / 1e6, long / short), strict=True))


def bits_per_pixel(image: EncodedImage) -> float | None:
    """Return encoded bits per pixel; None for a lossless format or several frames."""
    header = image.header
    if header.format not in _LOSSY or header.frames > 1:
        return None
    if header.format == "WEBP" and find_vp8(image.encoded) is None:
        return None
    return len(image.encoded) * 8 / header.pixels


def webp_quality(encoded: bytes) -> float | None:
    """Return the libwebp quality of a lossy WebP's mean quantizer, 0–100; None for other files."""
    quantizers = read_quantizers(encoded)
    if quantizers is None:
        return None
    fineness = (1 - sum(quantizers) / len(quantizers) / 127) ** 3
    return 100 * (fineness * 1.5 if fineness < 0.5 else (fineness + 1) / 2)


def avif_quality(encoded: bytes) -> float | None:
    """Return how fine an AVIF's base quantizer is, 0–100; None for other files."""
    quantizer = read_quantizer(encoded)
    return None if quantizer is None else 100 * (1 - quantizer / 255)


def quality_of_coding(image: EncodedImage) -> float:
    """Return the quality of the JPEG that is as far from the original as a WebP or AVIF, 1–100; 100 for others.

    A WebP or AVIF with a broken header, and HEIF, count as 75.
    """
    form, encoded = image.header.format, image.encoded
    if form not in {"AVIF", "HEIF"} and (form != "WEBP" or find_vp8(encoded) is None):
        return 100.0
    webp, avif = (np.asarray(one, np.float64) for one in (webp_quality(encoded), avif_quality(encoded)))
    return float(np.nan_to_num(equal_jpeg_quality(webp, avif), nan=_UNTOLD_QUALITY))


def equal_jpeg_quality(webp: NDArray[np.float64], avif: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the qualities of JPEGs that are as far from the original.

    As far by PSNR of luma, in the median of ten photographs (`python benchmarks/coding_quality.py`).

    Args:
        webp: `webp_quality` of images; NaN for other files.
        avif: `avif_quality` of the same; NaN for other files.
    """
    return np.fmin(np.interp(webp, _WEBP, _JPEG_OF_WEBP), np.interp(avif, _AVIF, _JPEG_OF_AVIF))
