"""A user's picture, read and written with all that belongs to it.

The rules:
- pixels are turned upright by the Exif orientation, and the written Exif and XMP say so;
- colour stays in the picture's own space: its ICC profile is carried over, not applied;
- alpha is kept as it was, and is not restored;
- 16 bits stay 16 bits (PNG, TIFF, PPM, AVIF, JPEG 2000; 9 to 15 bits become 16); grey stays grey (the mean of the
  network's three channels);
- a palette becomes RGB, since restored colours are not in it, and 1-bit becomes grey;
- CMYK and Lab become sRGB of 8 bits, through the profile if there is one: screens and networks think in RGB;
- Exif, XMP, resolution, IPTC of a JPEG and a PNG's texts are carried over, as far as the format written holds them;
- what is written in which format, and how well, is said in encoding.py; what is read, in decoding.py;
- a file with several frames or pages is refused: restoring one of them would lose the others.
"""

import contextlib
import errno
import os
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dynet.errors import PictureError
from dynet.inference.decoding import opened, orientation_of, reading, samples_of
from dynet.inference.encoding import LIKE_INPUT, Encoding, encode, jpeg_quality, stored_with_loss
from dynet.inference.image_metadata import Carried, carried_from
from dynet.inference.png_chunks import carried_png_chunks

Samples = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An upright picture: samples and what is carried beside them."""

    colour: Samples  # (H, W, 3), or (H, W) when grey
    alpha: Samples | None  # (H, W)
    format: str
    """In which it was stored, by Pillow's name."""
    carried: Carried = field(default_factory=Carried)
    png_chunks: bytes = b""
    """Of a PNG, instead of `carried` if it stays one."""
    lossy: bool = False
    """Whether it was stored with loss."""
    quality: int | None = None
    """Of a JPEG, as estimated from its quantisation tables."""
    name: str = "the picture"
    """The file that it was read from, for messages."""

    @property
    def levels(self) -> int:
        """The largest sample value: 255 or 65535."""
        return int(np.iinfo(self.colour.dtype).max)

    @property
    def seen_through(self) -> bool:
        """Whether any of it is transparent."""
        return self.alpha is not None and bool((self.alpha < np.iinfo(self.alpha.dtype).max).any())

    def as_rgb(self) -> npt.NDArray[np.float32]:
        """(H, W, 3) in [0, 1]."""
        rgb = self.colour if self.colour.ndim == 3 else np.repeat(self.colour[..., None], 3, axis=2)
        return np.divide(rgb, self.levels, dtype=np.float32)

    def as_levels(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) of 8 bits, rounded."""
        levels: npt.NDArray[np.uint8] = np.rint(self.as_rgb() * 255).astype(np.uint8)
        return levels

    def with_rgb(self, rgb: npt.NDArray[np.float32]) -> "Picture":
        """The same picture with these (H, W, 3) colours: clipped, and rounded to its own depth.

        Its own colours, `as_rgb()`, give back the very same samples.
        """
        values = rgb if self.colour.ndim == 3 else rgb.mean(axis=2)
        samples = np.rint(np.clip(values, 0, 1) * self.levels).astype(self.colour.dtype)
        return replace(self, colour=samples)


def read_picture(path: Path) -> Picture:
    """Read by the rules above.

    Raises PictureError, one line that names the file, for what is missing, broken, no picture, no still picture, or
    larger than is decoded.
    """
    with reading(path), opened(path) as (image, encoded):
        colour, alpha = samples_of(image, encoded, str(path))
        orientation = orientation_of(image)
        carried = carried_from(image, encoded, sideways=orientation >= 5)
        if image.mode in ("CMYK", "LAB"):
            carried.pop("icc_profile", None)
        return Picture(
            colour=upright(colour, orientation),
            alpha=None if alpha is None else upright(alpha, orientation),
            format="JPEG" if image.format == "MPO" else image.format or "",
            carried=carried,
            png_chunks=carried_png_chunks(encoded) if image.format == "PNG" else b"",
            lossy=stored_with_loss(image.format or "", encoded),
            quality=jpeg_quality(getattr(image, "quantization", {})),
            name=str(path),
        )


def upright(samples: Samples, orientation: int) -> Samples:
    """(H, W, …) as the Exif orientation 1 to 8 says that it should be seen."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    across = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(samples[:: -1 if down else 1, :: -1 if across else 1])


def write_picture(path: Path, picture: Picture, encoding: Encoding = LIKE_INPUT) -> None:
    """Write the file whole, under a temporary name that is then renamed; what was there before stays until then.

    Raises PictureError, naming the file, where it cannot be written; a full disk stays an OSError, for it concerns all
    files.
    """
    encoded = encode(path, picture, encoding)
    temporary = path.with_name(f".dynet-{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(encoded)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise PictureError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
