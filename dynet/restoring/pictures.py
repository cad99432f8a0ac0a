"""A user's picture, read and written with all that belongs to it.

The rules:
- pixels are turned upright by the Exif orientation, and the written Exif says so;
- colour stays in the picture's own space: its ICC profile is carried over, not applied;
- alpha is kept as it was, and is not restored;
- 16 bits stay 16 bits; grey stays grey (the mean of the network's three channels);
- a palette becomes RGB, since restored colours are not in it, and 1-bit becomes grey;
- CMYK becomes sRGB, through its profile if it has one: screens and networks think in RGB;
- Exif, XMP, resolution and a PNG's texts are carried over; of a TIFF its descriptive tags, not its Exif directory;
- PNG, JPEG (quality 95, full chroma), WebP (lossless), TIFF and BMP stay what they are, other formats and 16-bit
  colour TIFF become PNG;
- a file with several frames is refused: restoring one of them would lose the others.
"""

import io
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from dynet.errors import PictureError
from dynet.restoring.picture_metadata import (
    carried_png_chunks,
    exif_upright,
    insert_png_chunks,
    png_bit_depth,
    tiff_exif,
)

Samples = npt.NDArray[np.unsignedinteger[Any]]

_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 4},
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "BMP": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An upright picture: samples and what is carried beside them."""

    colour: Samples  # (H, W, 3), or (H, W) when grey
    alpha: Samples | None  # (H, W)
    format: str  # in which it will be written
    carried: dict[str, Any] = field(default_factory=dict)  # icc_profile, exif, xmp, dpi: as Pillow calls them
    png_chunks: bytes = b""  # of a PNG that stays one, instead of `carried`

    @property
    def levels(self) -> int:
        """The largest sample value: 255 or 65535."""
        return int(np.iinfo(self.colour.dtype).max)

    def as_rgb(self) -> npt.NDArray[np.float32]:
        """(H, W, 3) in [0, 1]."""
        rgb = self.colour if self.colour.ndim == 3 else np.repeat(self.colour[..., None], 3, axis=2)
        return np.divide(rgb, self.levels, dtype=np.float32)

    def as_levels(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) of 8 bits, rounded."""
        levels: npt.NDArray[np.uint8] = np.rint(self.as_rgb() * 255).astype(np.uint8)
        return levels

    def with_rgb(self, rgb: npt.NDArray[np.float32]) -> "Picture":
        """The same picture with these (H, W, 3) colours: clipped, and rounded to its own depth."""
        values = rgb if self.colour.ndim == 3 else rgb.mean(axis=2)
        samples = np.rint(np.clip(values, 0, 1) * self.levels).astype(self.colour.dtype)
        return replace(self, colour=samples)

    def suffix(self, given: str) -> str:
        """The file suffix for writing it: the given one where it fits the format."""
        allowed = _SUFFIXES[self.format]
        return given if given.lower() in allowed else allowed[0]


def read_picture(path: Path) -> Picture:
    """Read by the rules above; what cannot be read raises one line that names the file."""
    try:
        encoded = path.read_bytes()
        with Image.open(io.BytesIO(encoded)) as image:
            return _read(image, encoded)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{path}: not a picture that can be read") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's ways to say broken
        raise PictureError(f"{path}: {' '.join(str(error).split())}") from error


def _read(image: Image.Image, encoded: bytes) -> Picture:
    kind = "JPEG" if image.format == "MPO" else image.format or ""  # a phone's JPEG with a second, smaller view
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise PictureError(f"has {frames} frames; only still pictures are restored")
    carried = {name: image.info[name] for name in ("icc_profile", "xmp", "dpi") if image.info.get(name)}
    exif = tiff_exif(image) if image.format == "TIFF" else image.info.get("exif")
    if exif:
        carried["exif"] = exif_upright(exif)
    orientation = image.getexif().get(0x0112, 1)
    deep = _sixteen_bit(image, encoded)
    if deep is not None:
        colour, alpha = deep
        kind = "TIFF" if kind == "TIFF" and colour.ndim == 2 and alpha is None else "PNG"
    else:
        if image.mode == "CMYK":
            carried.pop("icc_profile", None)
        colour, alpha = _eight_bit(image)
    if image.format == "TIFF":
        orientation = 1  # Pillow and OpenCV both turn a TIFF upright as they decode it
    chunks = carried_png_chunks(encoded) if image.format == "PNG" else b""
    if kind not in _SUFFIXES:
        kind = "PNG"
    return Picture(
        colour=upright(colour, orientation),
        alpha=None if alpha is None else upright(alpha, orientation),
        format=kind,
        carried=carried,
        png_chunks=chunks,
    )


def _sixteen_bit(image: Image.Image, encoded: bytes) -> tuple[Samples, Samples | None] | None:
    """Colour and alpha of a picture with 16 bits per sample; None of one that has 8 or fewer."""
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16), None
    tagged = getattr(image, "tag_v2", {})
    depth = png_bit_depth(encoded) if image.format == "PNG" else max(tagged.get(258, (8,)))
    if image.mode in ("I", "F") and depth != 16:
        raise PictureError(f"has samples of {depth} bits; up to 16 are supported")
    if depth != 16:
        return None
    import cv2  # Pillow drops the lower 8 bits of 16-bit colour

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    samples = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    if samples is None or samples.dtype != np.uint16:
        raise PictureError("16-bit samples that cannot be decoded")
    if samples.ndim == 2:
        return samples.astype(np.uint16), None
    colour = samples[..., 2::-1].astype(np.uint16)
    alpha = samples[..., 3].astype(np.uint16) if samples.shape[2] == 4 else None
    return (colour[..., 0] if image.mode in ("LA", "L") else colour), alpha


def _eight_bit(image: Image.Image) -> tuple[Samples, Samples | None]:
    if image.mode == "CMYK":
        image = _cmyk_to_srgb(image)
    elif image.mode in ("P", "PA") or "transparency" in image.info:
        transparent = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if transparent else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.mode in ("RGBa", "La") else "RGB")
    samples = np.array(image)
    bands = image.getbands()
    alpha = samples[..., -1] if bands[-1] == "A" else None
    if bands[0] == "L":
        return (samples if alpha is None else samples[..., 0]), alpha
    return samples[..., :3], alpha


def _cmyk_to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError as error:
        raise PictureError(f"its CMYK profile cannot be used: {error}") from error
    if converted is None:
        raise PictureError("its CMYK profile cannot be used")
    return converted


def upright(samples: Samples, orientation: int) -> Samples:
    """(H, W, …) as the Exif orientation 1 to 8 says that it should be seen."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    across = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(samples[:: -1 if down else 1, :: -1 if across else 1])


def write_picture(path: Path, picture: Picture) -> None:
    """Write the file whole, under a temporary name that is then renamed."""
    encoded = _encode(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(encoded)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _encode(picture: Picture) -> bytes:
    colour, alpha = picture.colour, picture.alpha
    if colour.dtype == np.uint16 and picture.format == "PNG":
        return insert_png_chunks(_encode_deep_png(colour, alpha), picture.png_chunks, picture.carried)
    samples = colour if alpha is None else np.dstack([colour, alpha])
    carried = {} if picture.png_chunks else picture.carried
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, picture.format, **_SAVE_OPTIONS[picture.format], **carried)
    encoded = buffer.getvalue()
    return insert_png_chunks(encoded, picture.png_chunks, {}) if picture.png_chunks else encoded


def _encode_deep_png(colour: Samples, alpha: Samples | None) -> bytes:
    import cv2

    if alpha is not None and colour.ndim == 2:
        colour = np.repeat(colour[..., None], 3, axis=2)  # OpenCV writes no grey with alpha
    samples = colour if colour.ndim == 2 else colour[..., ::-1]
    done, encoded = cv2.imencode(".png", samples if alpha is None else np.dstack([samples, alpha]))
    if not done:
        raise PictureError("cannot be encoded as a 16-bit PNG")
    return encoded.tobytes()
