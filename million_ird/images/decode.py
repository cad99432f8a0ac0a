"""The only place that decodes images.

How an image becomes pixels for measuring and for patches (the stored original is never changed):

- upright: the EXIF orientation is applied; `ImageHeader.width` and `height` are as displayed
- colour, depth and alpha: by the table in `colour_rules.py`, which docs/sources.md repeats
- animations: the first frame; `ImageHeader.frames` is their number
- size: an image of more than `max_pixels` is refused before anything is allocated; one that decodes to another
  size than its header declares is refused, too
- formats: those that `opened_image.py` opens; what is no picture is `not_an_image`, another kind of picture is
  `unsupported` by name, and no plugin that starts another program (EPS) sees untrusted bytes
- damage: `damage.py` finds what decoders pass over; only `decode` looks for it, as no image is kept without that
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.colour import to_srgb
from million_ird.images.damage import naming_damage, require_whole
from million_ird.images.header import ImageHeader, as_read_error, read_orientation
from million_ird.images.icc import convert_rgb
from million_ird.images.opened_image import OpenedImage, open_image
from million_ird.schema import MAX_PIXELS

THUMBNAIL_SIDE = 256
_BAND = 512
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(encoded: bytes, header: ImageHeader, unchecked: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Decode to (H, W, 3) uint8 sRGB by the rules at the top of this file.

    Args:
        encoded: the whole file.
        header: what `read_header` returns for it.
        unchecked: what `decode_unchecked` returned for it: then it is only checked for damage, not decoded again.

    Raises:
        ReadError: `damaged`, `truncated`, `undecodable`, `not_an_image` or `too_large`.
    """
    with naming_damage(encoded, header.format), as_read_error():
        opened = open_image(encoded, max(MAX_PIXELS, header.pixels))
        decoded = require_whole(opened.encoded or encoded, header.format)
        pixels = _to_array(opened, header, decoded) if unchecked is None else unchecked
    if pixels.shape != (header.height, header.width, 3):
        size = f"{pixels.shape[1]}×{pixels.shape[0]}"
        raise ReadError("undecodable", f"decodes to {size}, its header says {header.width}×{header.height}")
    return pixels


def decode_unchecked(encoded: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    """Decode as `decode` does, without looking for damage that the decoder passes over, and for another size.

    Raises:
        ReadError: as `decode`.
    """
    with naming_damage(encoded, header.format), as_read_error():
        return _to_array(open_image(encoded, max(MAX_PIXELS, header.pixels)), header)


def shrinks_while_decoding(header: ImageHeader) -> bool:
    """Return whether the decoder of the format makes a smaller image with less work than the whole one."""
    return header.format in {"JPEG", "MPO"}


def decode_thumbnail(encoded: bytes, header: ImageHeader, side: int = THUMBNAIL_SIDE) -> NDArray[np.uint8]:
    """Decode to (h, w, 3) uint8 sRGB with the longest side at most `side`.

    A JPEG is shrunk while it is decoded (libjpeg's 1/2, 1/4, 1/8), to no less than twice `side`; other formats are
    decoded whole.

    Raises:
        ReadError: as `decode`.
    """
    if not shrinks_while_decoding(header):
        return shrink(decode_unchecked(encoded, header), side)
    with naming_damage(encoded, header.format), as_read_error():
        opened = open_image(encoded, max(MAX_PIXELS, header.pixels))
        image = opened.image
        if image is not None:
            scale = min(1.0, 2 * side / max(image.size))
            image.draft(None, (max(1, int(image.width * scale)), max(1, int(image.height * scale))))
        return shrink(_to_array(opened, header), side)


def shrink(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrink (H, W, 3) uint8 by area averaging until the longest side is at most `side`; never enlarge."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: NDArray[np.uint8] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small


def _to_array(opened: OpenedImage, header: ImageHeader, decoded: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 sRGB, upright; `decoded` are its pixels as stored where something has decoded them."""
    image = opened.image
    orientation = header.orientation
    as_stored = opened.samples is None and opened.shown is None
    if image is not None and image.mode == "RGB" and decoded is not None and as_stored:
        orientation = read_orientation(image)
        if opened.layout.space == "icc" and opened.profile is not None:
            decoded = convert_rgb(decoded, opened.profile)
        return decoded if orientation not in _TRANSPOSE else _upright(Image.fromarray(decoded), orientation)
    if image is not None:
        image.load()  # also where samples are read otherwise: OpenCV does not notice that a file is truncated
        orientation = read_orientation(image)  # what Pillow has not applied yet
    if opened.samples is not None:
        colour = Image.fromarray(opened.samples().to_srgb())
    else:
        assert image is not None
        profile = opened.profile if opened.layout.space == "icc" else None
        colour = to_srgb(image, alpha=header.alpha, profile=profile)
    if opened.shown is not None:
        colour = colour.crop(opened.shown) if opened.cropped else _on_white(colour, opened.shown)
    return _upright(colour, orientation)


def _on_white(image: Image.Image, extent: tuple[int, int, int, int]) -> Image.Image:
    """Return an image that is white outside of a rectangle."""
    canvas = Image.new("RGB", image.size, (255, 255, 255))
    canvas.paste(image.crop(extent), extent)
    return canvas


def _upright(image: Image.Image, orientation: int) -> NDArray[np.uint8]:
    if orientation in _TRANSPOSE:
        image = image.transpose(_TRANSPOSE[orientation])
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    # Pillow copies an image twice on its way to an array; in bands, only a band is copied.
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)), np.uint8)
    return pixels
