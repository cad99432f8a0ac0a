"""The format and the quality in which a restored image is stored.

| format | stores | quality without `--quality` |
|---|---|---|
| PNG | everything: 8 and 16 bits, alpha, profile, Exif, XMP, resolution, texts | lossless |
| TIFF | the same, texts in Exif; floating-point samples | lossless |
| JPEG | 8 bits, no alpha; colour at full resolution | the input's, but at least 95 |
| WebP | 8 bits, no grey, no resolution | lossless, but 95 if the input was a lossy file |
| AVIF | 8 bits, no grey, no resolution; colour at full resolution | 95 |
| BMP | 8 bits, no alpha, no metadata but the resolution | lossless |

Without `--format` the format is the input's, but PNG where the input's is none of these or cannot store the image (a
BMP with alpha or a profile, an AVIF of 10 bits), and TIFF for floating-point samples. A quality below 95 would lose
again what was restored, so only `--quality` gives one. The input's quality is known for a JPEG only, estimated from its
quantisation tables: lossy WebP and AVIF do not record theirs.

An image with transparency is refused where the chosen format has no alpha; it is not blended with a background. Where
the format has 8 bits only, 16 bits become 8 with a warning. A colour profile that is lost gives a warning too: BMP
stores none, and WebP none of grey.
"""

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dynet.errors import ImageError, UsageError, reason_of
from dynet.inference.decoded_image import DecodedImage, Samples
from dynet.inference.image_metadata import ImageMetadata, add_texts_to_exif, has_grey_profile
from dynet.inference.lossless_files import encode_png, encode_tiff
from dynet.inference.png_chunks import insert_png_chunks, metadata_chunks

logger = logging.getLogger(__name__)

FORMATS = ("png", "jpeg", "webp", "tiff", "bmp", "avif")
_ALIASES = {"jpg": "jpeg", "tif": "tiff"}
_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "AVIF": (".avif",),
}
_WITH_QUALITY = ("jpeg", "webp", "avif")
_WITH_16_BITS = ("PNG", "TIFF")
_WITHOUT_ALPHA = ("JPEG", "BMP")
_MAX_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65536}
_MAX_SEGMENT_BYTES = {"exif": 65533, "xmp": 65533 - 29}
"""The largest metadata that a JPEG can store."""
DEFAULT_QUALITY = 95
"""A quality at which the loss is not visible in a photograph."""
_LUMA_TABLE = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
)
"""The luma table of ITU-T T.81, annex K.1, which libjpeg scales by the quality."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The user's choice of format and quality; None takes the input's format, and the quality of the table above."""

    format: str | None = None
    """One of FORMATS."""
    quality: int | None = None
    """1 to 100, for the JPEG, WebP and AVIF files that are written; a WebP is then lossy."""

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise UsageError(f"--format {self.format}: must be one of {', '.join(FORMATS)}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: must be from 1 to 100")
        if self.quality is not None and self.format not in (None, *_WITH_QUALITY):
            raise UsageError(f"--quality {self.quality}: {self.format} is lossless and has no quality")

    @classmethod
    def parse(cls, format: str | None, quality: int | None) -> "Encoding":
        """Parse the arguments --format (upper or lower case) and --quality.

        Raises:
            UsageError: names the argument that is not usable.
        """
        lower = None if format is None else format.lower()
        return cls(None if lower is None else _ALIASES.get(lower, lower), quality)

    def resolve_format(self, image: DecodedImage) -> str:
        """Return the format to write this image in, by Pillow's name.

        Raises:
            ImageError: the format that the user chose cannot store the image.
        """
        if self.format is None:
            return image.format if _can_store(image, image.format) else "TIFF" if image.is_float else "PNG"
        chosen = self.format.upper()
        if obstacle := _obstacle(image, chosen):
            raise ImageError(f"{image.name}: {obstacle}")
        return chosen

    def suffix(self, image: DecodedImage, input_suffix: str) -> str:
        """Return the file suffix for this image: the input's where it fits the format. Raises as `resolve_format`."""
        return format_suffix(self.resolve_format(image), input_suffix)

    def expected_suffix(self, input_suffix: str) -> str:
        """Return the suffix for an input of which only the file name is known."""
        lower = input_suffix.lower()
        named = next((name for name, suffixes in _SUFFIXES.items() if lower in suffixes), "PNG")
        return format_suffix(self.format.upper() if self.format else named, input_suffix)

    def possible_suffixes(self, input_suffix: str) -> set[str]:
        """Return the suffixes that an input of this file name may lead to, whatever its content."""
        formats = [self.format.upper()] if self.format else _SUFFIXES
        return {format_suffix(name, input_suffix) for name in formats}


SAME_AS_INPUT = Encoding()


def encode(path: Path, image: DecodedImage, encoding: Encoding) -> bytes:
    """Return the bytes of an image file.

    Args:
        path: the file's later name, for messages.
        image: what is written.
        encoding: format and quality.

    Raises:
        ImageError: the image cannot be stored in that format; the message names the file.
    """
    file_format = encoding.resolve_format(image)
    samples = samples_to_store(path, image, file_format, encoding)
    try:
        if file_format == "TIFF":
            return encode_tiff([(samples, image.metadata)])
        if file_format == "PNG":
            deep = samples.dtype == np.uint16
            pixels = encode_png(samples) if deep else _encode_with_pillow(samples, file_format, compress_level=4)
            return insert_png_chunks(pixels, metadata_chunks(image.metadata, image.png_chunks))
        return _encode_with_pillow(samples, file_format, **save_options(file_format, path, image, encoding))
    except (OSError, ValueError, RuntimeError) as error:
        raise ImageError(f"{path}: cannot be written as {file_format}: {reason_of(error)}") from error


def save_options(file_format: str, path: Path, image: DecodedImage, encoding: Encoding) -> dict[str, Any]:
    """Return Pillow's options for saving: quality, and the metadata that the format can store."""
    options = _quality_options(file_format, image, encoding.quality)
    options |= _metadata_options(file_format, path, image.metadata)
    if file_format == "WEBP" and has_grey_profile(image.metadata):
        logger.warning("%s: its colour profile is lost, since it is for grey, which WEBP does not store", path)
        del options["icc_profile"]
    return options


def samples_to_store(path: Path, image: DecodedImage, file_format: str, encoding: Encoding) -> Samples:
    """Return (H, W, channels) as a format stores them; what is lost gives a warning that names `path`."""
    colour, alpha = image.colour, image.alpha
    if colour.dtype == np.uint16 and file_format not in _WITH_16_BITS:
        logger.warning("%s: its 16 bits are rounded to 8, since %s has no more", path, file_format)
        colour, alpha = _to_8_bits(colour), None if alpha is None else _to_8_bits(alpha)
    if encoding.quality is not None and file_format.lower() not in _WITH_QUALITY:
        logger.warning("%s: --quality is ignored, since %s is lossless", path, file_format)
    if "cicp" in image.metadata and file_format != "PNG":
        logger.warning("%s: its colour space is lost, and viewers will take it for sRGB; --format png keeps it", path)
    if alpha is not None and file_format in _WITHOUT_ALPHA:
        alpha = None  # every pixel is opaque: `resolve_format` refuses transparency here
    return np.dstack([colour] if alpha is None else [colour, alpha])


def format_suffix(file_format: str, input_suffix: str) -> str:
    """Return the suffix for a format, by Pillow's name: the input's where it is one of the format's."""
    allowed = _SUFFIXES[file_format]
    return input_suffix if input_suffix.lower() in allowed else allowed[0]


def jpeg_quality(tables: dict[int, list[int]]) -> int | None:
    """Estimate the quality of a JPEG: the one whose luma table in libjpeg is nearest to the file's.

    Args:
        tables: Pillow's `quantization`, 64 values each in rows.

    Returns:
        1 to 100, exact for a file that libjpeg wrote; None without tables.
    """
    if not tables:
        return None
    luma = np.asarray(tables[min(tables)])
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    known = np.clip((_LUMA_TABLE * scales[:, None] + 50) // 100, 1, 255)
    return int(qualities[np.abs(known - luma).sum(axis=1).argmin()])


def is_lossy(file_format: str, encoded: bytes) -> bool:
    """Return whether a file of this format, by Pillow's name, was stored with loss, as far as its bytes tell."""
    if file_format != "WEBP":
        return file_format in ("JPEG", "MPO", "AVIF", "JPEG2000")
    position = 12
    while position + 8 <= len(encoded) and encoded[position : position + 4] not in (b"VP8 ", b"VP8L"):
        length = int.from_bytes(encoded[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    return encoded[position : position + 4] == b"VP8 "


def _can_store(image: DecodedImage, file_format: str) -> bool:
    """Return whether a format stores an image's bit depth, alpha and colour space."""
    deep_enough = image.colour.dtype == np.uint8 or file_format in _WITH_16_BITS  # floating point: `_obstacle`
    keeps_colour_space = file_format == "PNG" or "cicp" not in image.metadata
    keeps_colour_space &= file_format != "BMP" or "icc_profile" not in image.metadata
    return file_format in _SUFFIXES and deep_enough and keeps_colour_space and not _obstacle(image, file_format)


def _obstacle(image: DecodedImage, file_format: str) -> str:
    """Return why a format cannot store an image even with 8 bits; empty if it can."""
    if image.is_float and file_format != "TIFF":
        return "has floating-point samples, which only TIFF stores; use --format tiff"
    if file_format in _WITHOUT_ALPHA and image.has_transparency:
        return f"has transparent pixels, and {file_format} has no alpha; use --format png, tiff, webp or avif"
    side = max(image.colour.shape[:2])
    if side > _MAX_SIDE.get(file_format, side):
        return f"has a side of {side} pixels, and {file_format} allows up to {_MAX_SIDE[file_format]}"
    return ""


def _to_8_bits(samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    rounded: npt.NDArray[np.uint8] = np.rint(samples / 257).astype(np.uint8)
    return rounded


def _quality_options(file_format: str, image: DecodedImage, quality: int | None) -> dict[str, Any]:
    match file_format:
        case "JPEG":
            return {"quality": quality or max(DEFAULT_QUALITY, image.quality or 0), "subsampling": "4:4:4"}
        case "WEBP" if quality or image.lossy:
            return {"quality": quality or DEFAULT_QUALITY, "exact": True}
        case "WEBP":
            return {"lossless": True, "exact": True}  # exact: also the colours of transparent pixels
        case "AVIF":
            # Speed 8 of 10 takes a fifth of the time of Pillow's default 6, at the same size and 0.6 dB less of 48.
            colour = {"subsampling": "4:4:4"} if image.colour.ndim == 3 else {}
            return {"quality": quality or DEFAULT_QUALITY, "speed": 8, **colour}
        case _:
            return {}


def _metadata_options(file_format: str, path: Path, metadata: ImageMetadata) -> dict[str, Any]:
    """Return the metadata that a format can store, as Pillow's options for saving."""
    options: dict[str, Any] = {}
    if "dpi" in metadata and file_format in ("JPEG", "BMP"):
        options["dpi"] = metadata["dpi"]
    if file_format == "BMP":
        if "icc_profile" in metadata:
            logger.warning("%s: its colour profile is lost, since BMP cannot store one", path)
        return options
    options |= {name: metadata[name] for name in ("icc_profile", "xmp") if name in metadata}
    if exif := add_texts_to_exif(metadata):
        options["exif"] = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")
    if file_format == "JPEG":
        for name, limit in _MAX_SEGMENT_BYTES.items():
            if len(options.get(name, b"")) > limit:
                logger.warning("%s: its %s is lost, since JPEG stores up to %d bytes of it", path, name.upper(), limit)
                del options[name]
        if "photoshop" in metadata:
            options["extra"] = metadata["photoshop"]
        if "Comment" in metadata.get("texts", {}):
            options["comment"] = metadata["texts"]["Comment"].encode("utf-8", "replace")
    return options


def _encode_with_pillow(samples: npt.NDArray[np.uint8], file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(buffer, file_format, **options)
    return buffer.getvalue()
