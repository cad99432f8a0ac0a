"""The only place that decodes images.

How an image becomes pixels for measuring and for patches (the stored original is never changed):

- upright: the EXIF orientation is applied; `ImageHeader.width` and `height` are as displayed
- colour: an embedded ICC profile is converted to sRGB (perceptual) unless its description says sRGB; a broken profile
  is ignored and recorded in `ImageHeader.icc`; grey is repeated in three channels; CMYK without a profile is converted
  by Pillow's formula; a palette is resolved
- depth: 16 bits become 8 by rounding v·255/65535; float and 32-bit integer images are refused
- alpha: composited over white
- animations: the first frame; `ImageHeader.frames` is their number
- size: an image of more than `max_pixels` is refused before anything is allocated; one that decodes to another
  size than its header declares is refused, too
- formats: those of `FORMATS`; everything else is `not_an_image`, so that no text or icon is taken for an image, and no
  plugin that starts another program (EPS) sees untrusted bytes
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.colour import to_eight_bits, to_srgb
from million_ird.images.header import ImageHeader, as_read_error, open_image, read_orientation

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


def decode(encoded: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    """Decode to (H, W, 3) uint8 sRGB by the rules at the top of this file.

    Raises:
        ReadError: `truncated`, `undecodable`, `not_an_image` or `too_large`.
    """
    with as_read_error(), open_image(encoded) as image:
        pixels = _to_array(image, header, encoded)
    if pixels.shape != (header.height, header.width, 3):
        size = f"{pixels.shape[1]}×{pixels.shape[0]}"
        raise ReadError("undecodable", f"decodes to {size}, its header says {header.width}×{header.height}")
    return pixels


def decode_thumbnail(encoded: bytes, header: ImageHeader, side: int = THUMBNAIL_SIDE) -> NDArray[np.uint8]:
    """Decode to (h, w, 3) uint8 sRGB with the longest side at most `side`.

    A JPEG is shrunk while it is decoded (libjpeg's 1/2, 1/4, 1/8), to no less than twice `side`; other formats are
    decoded whole.

    Raises:
        ReadError: as `decode`.
    """
    with as_read_error(), open_image(encoded) as image:
        if header.format in {"JPEG", "MPO"}:
            scale = min(1.0, 2 * side / max(image.size))
            image.draft(None, (max(1, int(image.width * scale)), max(1, int(image.height * scale))))
        return shrink(_to_array(image, header, encoded), side)


def shrink(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrink (H, W, 3) uint8 by area averaging until the longest side is at most `side`; never enlarge."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: NDArray[np.uint8] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small


def _to_array(image: Image.Image, header: ImageHeader, encoded: bytes) -> NDArray[np.uint8]:
    image.load()  # also for 16-bit colour: OpenCV does not notice that a file is truncated
    orientation = read_orientation(image)  # what Pillow has not applied yet
    profile = image.info.get("icc_profile") if header.icc == "converted" else None
    colour = to_srgb(_decode_deep_colour(encoded, header) or image, alpha=header.alpha, profile=profile)
    return _upright(colour, orientation)


def _decode_deep_colour(encoded: bytes, header: ImageHeader) -> Image.Image | None:
    """Decode 16-bit colour, which Pillow would truncate to 8 bits, as RGB or RGBA; None if OpenCV sees another depth.

    The orientation is as after Pillow's `load`: a TIFF is upright, a PNG as stored.
    """
    if header.bits != 16 or header.format not in {"PNG", "TIFF"} or header.mode not in {"RGB", "RGBA"}:
        return None
    raw = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 3:
        return None
    levels = to_eight_bits(np.asarray(raw))
    has_alpha = header.alpha and levels.shape[2] == 4
    return Image.fromarray(np.ascontiguousarray(levels[..., [2, 1, 0, 3] if has_alpha else [2, 1, 0]]))


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
