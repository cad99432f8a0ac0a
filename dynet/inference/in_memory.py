"""Images that a caller has in memory: PIL images and arrays to samples, and restored samples back to the same kind.

The rules are those of files (`dynet.inference.images`): grey stays grey, 16 bits stay 16, alpha is kept and not
restored, a palette becomes RGB and 1 bit grey, CMYK and Lab become sRGB of 8 bits, floating-point samples keep their
range. A PIL image is not turned: its pixels and its Exif stay as they belong together.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dynet.arguments import shown
from dynet.errors import DyNetError, ImageError, UsageError, reason_of
from dynet.inference.decoded_image import DecodedImage, Samples
from dynet.inference.image_metadata import ImageMetadata
from dynet.inference.pillow_samples import ColourAndAlpha, decode_8_bits, float_range, grey_with_transparent_value

NAME = "image"
"""What messages call an image that has no file: the argument."""
_TYPES = (np.uint8, np.uint16, np.float16, np.float32, np.float64)
_CONVERTED = ("CMYK", "LAB")
"""Modes whose colours become sRGB, to which their profile no longer belongs."""


def image_of_array(array: npt.NDArray[Any]) -> DecodedImage:
    """Return an array as an image.

    Args:
        array: (H, W), or (H, W, C) with grey, grey and alpha, RGB, or RGB and alpha; uint8 or uint16 with white as the
            largest value, or floating-point numbers with black as 0 and white as 1, or as the smallest and largest
            values where these are outside.

    Raises:
        UsageError: Its shape or type is another.
        ImageError: It has values that are not finite.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise UsageError(f"{NAME}: a masked array; image.filled(value) says what is under its mask")
    if array.dtype.newbyteorder("=") not in _TYPES:
        raise UsageError(f"{NAME}: an array of {array.dtype}, and uint8, uint16 or floating-point numbers are expected")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)) or 0 in array.shape:
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; np.moveaxis(image, 0, 2) puts its channels last" if first and 0 not in array.shape else ""
        raise UsageError(
            f"{NAME}: an array of the shape {array.shape}, and (H, W) or (H, W, C) with 1 to 4 channels is expected"
            f"{hint}"
        )
    samples = np.asarray(array, array.dtype.newbyteorder("="))  # not of a subclass, such as np.matrix
    channels = samples.shape[2] if samples.ndim == 3 else 1
    colour = np.atleast_3d(samples)[..., :3] if channels >= 3 else np.atleast_3d(samples)[..., 0]
    return _decoded(colour, samples[..., -1] if channels in (2, 4) else None)


def array_like(restored: DecodedImage, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a restored image in the shape and the type of the array that it was made from."""
    return _joined(restored).reshape(array.shape).astype(array.dtype, copy=False)


def image_of_pillow(image: Image.Image) -> DecodedImage:
    """Return a PIL image, or its current frame, as an image.

    Raises:
        UsageError: It has a mode whose white is not defined, or no pixels.
        ImageError: Its file is damaged, or it has values that are not finite.
    """
    if 0 in image.size:
        raise UsageError(f"{NAME}: a PIL image of {image.width}×{image.height} has no pixels")
    if image.mode == "I" or image.mode.startswith("BGR"):
        raise UsageError(f"{NAME}: a PIL image of mode {image.mode}, whose white is not defined; convert it first")
    try:
        image.load()
        return _decoded(*_samples(image))
    except (DyNetError, MemoryError):
        raise
    except Exception as error:  # for broken files plugins raise SyntaxError, IndexError, struct.error and more
        raise ImageError(f"{NAME}: cannot be decoded: {reason_of(error)}") from error


def pillow_like(restored: DecodedImage, image: Image.Image) -> Image.Image:
    """Return a restored image as a PIL image that keeps the profile, Exif and other information of the original."""
    result = Image.fromarray(_joined(restored))
    lost = {"transparency", "icc_profile"} if image.mode in _CONVERTED else {"transparency"}
    result.info = {key: value for key, value in image.info.items() if key not in lost}
    return result


def pillow_or_array(restored: DecodedImage) -> Image.Image | npt.NDArray[Any]:
    """Return a restored image of a file as a PIL image, with its profile, Exif and resolution.

    Returns:
        A PIL image; an array (H, W, C) where Pillow has no mode for the samples: 16 bits with colour or alpha, and
        floating-point numbers other than grey of 32 bits.
    """
    samples, known = _joined(restored), {"icc_profile", "exif", "dpi", "xmp"}
    if restored.colour.dtype != np.uint8 and (samples.ndim == 3 or samples.dtype not in (np.uint16, np.float32)):
        return samples
    result = Image.fromarray(samples)
    result.info = {key: value for key, value in restored.metadata.items() if key in known}
    return result


def _check_transparency(image: Image.Image) -> None:
    """Check the transparent colour of a PIL image: `split` and others leave that of another mode in its `info`.

    Raises:
        UsageError: It is no colour of the image's mode.
    """
    value = image.info.get("transparency", 0)
    colours = value if isinstance(value, tuple) and len(value) == 3 and image.mode == "RGB" else (value,)
    is_table = isinstance(value, bytes) and image.mode == "P"
    if image.mode in ("1", "L", "P", "RGB") and not is_table and not all(isinstance(one, int) for one in colours):
        raise UsageError(
            f"{NAME}: its transparency, {shown(value)}, is not a colour of mode {image.mode}; "
            'del image.info["transparency"] removes it'
        )


def _samples(image: Image.Image) -> ColourAndAlpha:
    _check_transparency(image)
    if image.mode.startswith("I;16"):
        if "transparency" in image.info:
            raise UsageError(f"{NAME}: a PIL image with a transparent value of 16 bits; give the path of its file")
        return np.asarray(image).astype(np.uint16), None
    if image.mode == "F":
        return np.asarray(image), None
    if image.mode in ("1", "L") and "transparency" in image.info:
        return grey_with_transparent_value(image, 1 if image.mode == "1" else 8)
    return decode_8_bits(image, NAME)


def _decoded(colour: Samples, alpha: Samples | None) -> DecodedImage:
    shown_range = (0.0, 1.0)
    if colour.dtype.kind == "f":
        if not all(np.isfinite(part).all() for part in (colour, alpha) if part is not None):
            raise ImageError(f"{NAME}: has values that are infinite or not a number")
        try:
            shown_range = float_range(colour, ImageMetadata())
        except ImageError as error:
            raise ImageError(f"{NAME}: {error}") from error
    return DecodedImage(colour=colour, alpha=alpha, format="", name=NAME, float_range=shown_range)


def _joined(image: DecodedImage) -> Samples:
    """Return colour and alpha as (H, W) or (H, W, C)."""
    return image.colour if image.alpha is None else np.dstack([image.colour, image.alpha])


def wrong_kind(image: object) -> UsageError:
    """Return the error for what is no image at all."""
    tensor = "; a network takes tensors: dynet.DyNet" if type(image).__module__.partition(".")[0] == "torch" else ""
    return UsageError(f"{NAME}: {shown(image)} is not a PIL image, a path or an array{tensor}")
