"""In which format and how well a restored picture is stored.

| as | holds | quality that nobody asked for |
|---|---|---|
| PNG | all: 8 and 16 bits, alpha, profile, Exif, XMP, resolution, texts | stored without loss |
| TIFF | the same, texts in Exif | stored without loss |
| JPEG | 8 bits, no alpha; full resolution of colour | the input's, but not under 95 |
| WebP | 8 bits, no grey, no resolution | without loss, unless the input was a lossy file: 95 |
| AVIF | 8 bits, no grey, no resolution; full resolution of colour | 95 |
| BMP | 8 bits, no alpha, nothing but resolution beside the pixels | stored without loss |

The format is the input's if nothing else is asked for, but PNG where the input's is none of these or could not hold the
picture (a BMP with alpha, an AVIF of 10 bits). A quality below 95 would lose again what was restored, so only asking
brings it. The input's quality is known of a JPEG alone, as estimated from its quantisation tables: lossy WebP and AVIF
do not tell theirs.

Asked for a format that cannot hold a picture's alpha, the picture is refused, not laid over some colour. Asked for one
that has 8 bits only, 16 bits become 8 with a warning. A profile that BMP cannot hold is told in a warning too.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dynet.errors import PictureError, UsageError, reason_of
from dynet.inference.image_metadata import Carried, exif_with_texts
from dynet.inference.lossless_files import png_file, tiff_file
from dynet.inference.png_chunks import chunks_of, insert_png_chunks

if TYPE_CHECKING:
    from dynet.inference.images import Picture

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
_DEEP = ("PNG", "TIFF")
_WITHOUT_ALPHA = ("JPEG", "BMP")
_LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65536}
_MOST_IN_A_SEGMENT = {"exif": 65533, "xmp": 65533 - 29}
"""Of a JPEG, in bytes."""
GOOD = 95
"""Quality at which what is lost of a photograph is not seen."""
_LUMA = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
)
"""The table of ITU-T T.81, annex K.1, which libjpeg scales by the quality."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What was asked for; None stands for the input's own format, and for the quality of the table above."""

    format: str | None = None
    """One of FORMATS."""
    quality: int | None = None
    """1 to 100, for those of JPEG, WebP and AVIF that are written; a WebP is then stored with loss."""

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise UsageError(f"--format {self.format}: none of {', '.join(FORMATS)}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: not from 1 to 100")
        if self.quality is not None and self.format not in (None, *_WITH_QUALITY):
            raise UsageError(f"--quality {self.quality}: {self.format} is stored without loss, at no other quality")

    @classmethod
    def parse(cls, format: str | None, quality: int | None) -> Encoding:
        """Of the arguments --format and --quality, either case; UsageError names the one that cannot be."""
        lower = None if format is None else format.lower()
        return cls(None if lower is None else _ALIASES.get(lower, lower), quality)

    def format_for(self, picture: Picture) -> str:
        """By Pillow's name; PictureError where what was asked for cannot hold the picture."""
        if self.format is None:
            return picture.format if _keeps_all(picture, picture.format) else "PNG"
        asked = self.format.upper()
        if lost := _lost(picture, asked):
            raise PictureError(f"{picture.name}: {lost}")
        return asked

    def suffix(self, picture: Picture, given: str) -> str:
        """The file suffix for writing the picture: the given one where it fits the format. Raises as `format_for`."""
        return _suffix(self.format_for(picture), given)

    def usual_suffix(self, given: str) -> str:
        """The suffix for an input that is named with this one, as far as a name can tell."""
        lower = given.lower()
        own = next((name for name, suffixes in _SUFFIXES.items() if lower in suffixes), "PNG")
        return _suffix(self.format.upper() if self.format else own, given)


LIKE_INPUT = Encoding()


def encode(path: Path, picture: Picture, encoding: Encoding) -> bytes:
    """The bytes of the file that will be called `path`; PictureError, naming it, where there are none."""
    kind = encoding.format_for(picture)
    colour, alpha = picture.colour, picture.alpha
    if colour.dtype == np.uint16 and kind not in _DEEP:
        logger.warning("%s: its 16 bits are rounded to 8, which is what %s holds", path, kind)
        colour, alpha = _eight_bits(colour), None if alpha is None else _eight_bits(alpha)
    if encoding.quality is not None and kind.lower() not in _WITH_QUALITY:
        logger.warning("%s: --quality is left out, %s is stored without loss", path, kind)
    if "cicp" in picture.carried and kind != "PNG":
        logger.warning("%s: its colour space is lost, it will be taken for sRGB; PNG would tell it", path)
    if alpha is not None and kind in _WITHOUT_ALPHA:
        alpha = None  # of a picture that can be seen through nowhere, or it would not have got here
    if kind == "TIFF" and colour.dtype == np.uint16 and colour.ndim == 2 and alpha is not None:
        colour = np.repeat(colour[..., None], 3, axis=2)  # grey with alpha of 16 bits is read by few
    samples = np.dstack([colour] if alpha is None else [colour, alpha])
    try:
        if kind == "TIFF":
            return tiff_file(samples, picture.carried)
        if kind == "PNG":
            pixels = png_file(samples) if samples.dtype == np.uint16 else _with_pillow(samples, kind, compress_level=4)
            return insert_png_chunks(pixels, chunks_of(picture.carried, picture.png_chunks))
        options = _quality_options(kind, picture, encoding.quality) | _carried_options(kind, path, picture.carried)
        return _with_pillow(samples, kind, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise PictureError(f"{path}: cannot be written as {kind}: {reason_of(error)}") from error


def jpeg_quality(tables: dict[int, list[int]]) -> int | None:
    """The quality, 1 to 100, whose luma table in libjpeg is nearest to that of a file; None without tables.

    tables: as Pillow's `quantization`, 64 values each in rows. Exact for a file that libjpeg wrote.
    """
    if not tables:
        return None
    luma = np.asarray(tables[min(tables)])
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    known = np.clip((_LUMA * scales[:, None] + 50) // 100, 1, 255)
    return int(qualities[np.abs(known - luma).sum(axis=1).argmin()])


def stored_with_loss(kind: str, encoded: bytes) -> bool:
    """Whether a file of this format, by Pillow's name, lost something as it was stored, as far as can be told."""
    if kind != "WEBP":
        return kind in ("JPEG", "MPO", "AVIF", "JPEG2000")
    position = 12
    while position + 8 <= len(encoded) and encoded[position : position + 4] not in (b"VP8 ", b"VP8L"):
        length = int.from_bytes(encoded[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    return encoded[position : position + 4] == b"VP8 "


def _suffix(kind: str, given: str) -> str:
    allowed = _SUFFIXES[kind]
    return given if given.lower() in allowed else allowed[0]


def _keeps_all(picture: Picture, kind: str) -> bool:
    """Whether a format holds the depth, alpha and colour space of a picture."""
    deep_enough = picture.colour.dtype == np.uint8 or kind in _DEEP
    told = kind == "PNG" or "cicp" not in picture.carried
    return kind in _SUFFIXES and deep_enough and told and not _lost(picture, kind)


def _lost(picture: Picture, kind: str) -> str:
    """Why a format cannot hold a picture; nothing if it can, be it with 8 bits."""
    if kind in _WITHOUT_ALPHA and picture.seen_through:
        return f"is transparent in places, and {kind} holds no alpha; --format png, tiff, webp or avif keeps it"
    longest = max(picture.colour.shape[:2])
    if longest > _LONGEST_SIDE.get(kind, longest):
        return f"is {longest} pixels long, and {kind} holds up to {_LONGEST_SIDE[kind]}"
    return ""


def _eight_bits(samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    levels: npt.NDArray[np.uint8] = np.rint(samples / 257).astype(np.uint8)
    return levels


def _quality_options(kind: str, picture: Picture, asked: int | None) -> dict[str, Any]:
    match kind:
        case "JPEG":
            return {"quality": asked or max(GOOD, picture.quality or 0), "subsampling": "4:4:4"}
        case "WEBP" if asked or picture.lossy:
            return {"quality": asked or GOOD, "exact": True}
        case "WEBP":
            return {"lossless": True, "exact": True}  # also where nothing can be seen
        case "AVIF":
            # Speed 8 of 10 takes a fifth of the time of Pillow's 6, at the same size and 0.6 dB less of 48.
            colour = {"subsampling": "4:4:4"} if picture.colour.ndim == 3 else {}
            return {"quality": asked or GOOD, "speed": 8, **colour}
        case _:
            return {}


def _carried_options(kind: str, path: Path, carried: Carried) -> dict[str, Any]:
    """What a format has a place for, as Pillow calls it."""
    options: dict[str, Any] = {"dpi": carried["dpi"]} if "dpi" in carried and kind in ("JPEG", "BMP") else {}
    if kind == "BMP":
        if "icc_profile" in carried:
            logger.warning("%s: its colour profile is lost, BMP holds none", path)
        return options
    options |= {name: carried[name] for name in ("icc_profile", "xmp") if name in carried}
    if exif := exif_with_texts(carried):
        options["exif"] = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")
    if kind == "JPEG":
        for name, most in _MOST_IN_A_SEGMENT.items():
            if len(options.get(name, b"")) > most:
                logger.warning("%s: its %s is lost, JPEG holds up to %d bytes of it", path, name.upper(), most)
                del options[name]
        if "photoshop" in carried:
            options["extra"] = carried["photoshop"]
        if "Comment" in carried.get("texts", {}):
            options["comment"] = carried["texts"]["Comment"].encode("utf-8", "replace")
    return options


def _with_pillow(samples: npt.NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(buffer, kind, **options)
    return buffer.getvalue()
