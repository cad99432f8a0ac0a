"""What the header of a file says of its images, for the names of its results: no sample is decoded."""

from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from dynet.errors import ImageError
from dynet.inference.animation_frames import count_frames
from dynet.inference.decoded_image import AnimationTiming, DecodedFile, DecodedImage
from dynet.inference.decoding import open_image, pixel_limit, raise_as_image_error, require_pixels
from dynet.inference.extra_formats import extra_format, read_extra_size
from dynet.inference.high_bit_depth import bits_per_sample
from dynet.inference.image_metadata import ImageMetadata, read_metadata
from dynet.inference.plain_formats import read_plain
from dynet.inference.tiff_pages import is_tiff, open_pages

_STATE_THEIR_ALPHA = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "AVIF", "PPM")
"""Formats whose images, as Pillow opens them, have a mode with alpha if and only if they are decoded with alpha."""
_METADATA_DECIDES = ("BMP", "AVIF")
"""Formats whose images may have metadata that they cannot be written back with."""
_FLOAT = 3


def possible_files(path: Path) -> list[DecodedFile]:
    """Return what decoding a file may give, as far as its header tells: each with samples that are all zero.

    There are several where the header leaves open what only samples show, such as whether a pixel of an image with
    alpha is transparent.

    Raises:
        ImageError: As `dynet.inference.images.read_file`, where the header shows it.
    """
    with raise_as_image_error(path):
        if is_tiff(path):
            return _possible_pages(path)
        if (name := extra_format(path)) is not None:
            width, height = read_extra_size(path, name)
            dtypes = (np.uint8, np.uint16, np.float32) if name == "JPEG XL" else (np.uint8, np.uint16)
            return _possible((height, width), name, dtypes, may_be_transparent=True)
        if (plain := read_plain(path)) is not None:
            return [DecodedFile(images=(plain,))]
        with open_image(path) as (image, encoded):
            return _possible_of_pillow(image, encoded)


def _possible_pages(path: Path) -> list[DecodedFile]:
    with pixel_limit(), open_pages(path.read_bytes()) as pages:
        first = pages[0][1]
        dtype = np.float32 if first.sampleformat == _FLOAT else np.uint8
        size, has_alpha = (first.imagelength, first.imagewidth), bool(first.extrasamples)
        return _possible(size, "TIFF", (dtype,), may_be_transparent=has_alpha, images=len(pages))


def _possible_of_pillow(image: Image.Image, encoded: bytes) -> list[DecodedFile]:
    frames, name = count_frames(image, encoded), image.format or ""
    if frames == 0:
        raise ImageError("has no image")
    require_pixels(image.width, image.height, frames, len(encoded))
    is_opaque = (
        frames == 1
        and name in _STATE_THEIR_ALPHA
        and not image.mode.upper().endswith("A")
        and "transparency" not in image.info
    )
    # Where the library of a deep format is missing, its images are read with 8 bits.
    dtypes = (np.uint8, np.uint16) if frames == 1 and bits_per_sample(image, encoded) > 8 else (np.uint8,)
    return _possible(
        (image.height, image.width),
        "JPEG" if name == "MPO" else name,
        dtypes,
        may_be_transparent=not is_opaque,
        metadata=read_metadata(image, encoded, sideways=False) if name in _METADATA_DECIDES else ImageMetadata(),
        images=frames,
        timing=AnimationTiming(durations=(), plays=0) if frames > 1 else None,
    )


def _possible(
    size: tuple[int, int],
    name: str,
    dtypes: tuple[type[np.generic], ...],
    *,
    may_be_transparent: bool,
    metadata: ImageMetadata | None = None,
    images: int = 1,
    timing: AnimationTiming | None = None,
) -> list[DecodedFile]:
    """Return a file for each combination of what is open, of equal images of (H, W)."""
    found = []
    for dtype, transparent in product(dtypes, (False, True) if may_be_transparent else (False,)):
        zeros = np.broadcast_to(np.zeros((), dtype), size)  # takes no memory
        image = DecodedImage(
            colour=zeros, alpha=zeros[:1, :1] if transparent else None, format=name, metadata=metadata or {}
        )
        found.append(DecodedFile(images=(image,) * images, timing=timing))
    return found
