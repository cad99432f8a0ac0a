"""The frames of an animation as they are shown: GIF, animated PNG, animated WebP and AVIF sequences."""

import io
import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction

from PIL import Image

from dynet.inference.apng import apng_frame_parts, apng_plays, count_apng_frames
from dynet.inference.decoded_image import opaque_value
from dynet.inference.decoding import decode_samples
from dynet.inference.frame_canvas import FramePart, compose
from dynet.inference.gif_frames import count_gif_frames, gif_frame_parts, gif_plays
from dynet.inference.high_bit_depth import bits_per_sample
from dynet.inference.pillow_samples import ColourAndAlpha, decode_8_bits

logger = logging.getLogger(__name__)

_SEVERAL_VIEWS = ("MPO", "PSD")
"""Formats whose first image is the photograph, and the others a second view, or layers."""


def count_frames(image: Image.Image, encoded: bytes) -> int:
    """Return the number of frames; 1 for a still image."""
    match image.format:
        case "PNG":
            return count_apng_frames(encoded)
        case "GIF":
            return count_gif_frames(encoded)
        case _:
            return 1 if image.format in _SEVERAL_VIEWS else int(getattr(image, "n_frames", 1))


def count_plays(image: Image.Image, encoded: bytes) -> int:
    """Return how often an animation is shown; 0 is without end, and what a format that does not say it gets."""
    match image.format:
        case "PNG":
            return apng_plays(encoded)
        case "GIF":
            return gif_plays(encoded)
        case _:
            return int(image.info.get("loop", 0))


def decode_frames(image: Image.Image, encoded: bytes, name: str) -> list[tuple[ColourAndAlpha, Fraction]]:
    """Return colour and alpha of each frame as it is shown, and its duration in seconds.

    Args:
        image: The file as `dynet.inference.decoding.open_image` opened it.
        encoded: The bytes of the file.
        name: The file's name, for warnings.
    """
    match image.format:
        case "GIF":
            return _composed(gif_frame_parts(encoded), image)
        case "PNG":
            return _composed(apng_frame_parts(encoded, lambda still: _decode_still_png(still, name)), image)
        case _:
            return _without_opaque_alpha(list(_by_pillow(image, encoded, name)))


def _composed(parts: Iterable[FramePart], image: Image.Image) -> list[tuple[ColourAndAlpha, Fraction]]:
    frames = compose(parts, image.height, image.width)
    return _without_opaque_alpha([((colour, alpha), duration) for colour, alpha, duration in frames])


def _without_opaque_alpha(frames: list[tuple[ColourAndAlpha, Fraction]]) -> list[tuple[ColourAndAlpha, Fraction]]:
    alphas = [alpha for (_, alpha), _ in frames if alpha is not None]
    if any((alpha < opaque_value(alpha.dtype)).any() for alpha in alphas):
        return frames
    return [((colour, None), duration) for (colour, _), duration in frames]


def _by_pillow(image: Image.Image, encoded: bytes, name: str) -> Iterator[tuple[ColourAndAlpha, Fraction]]:
    if (bits := bits_per_sample(image, encoded)) > 8:
        logger.warning("%s: only 8 of its %d bits per sample could be read", name, bits)
    for number in range(int(getattr(image, "n_frames", 1))):
        image.seek(number)
        if image.format == "WEBP" and image.mode == "RGB":
            # Frames without alpha may be smaller than the canvas: libwebp leaves the rest transparent, Pillow black.
            vars(image).update(_mode="RGBA", rawmode="RGBA")
        image.load()
        yield decode_8_bits(image, name), Fraction(image.info.get("duration", 0)).limit_denominator(10**6) / 1000


def _decode_still_png(encoded: bytes, name: str) -> ColourAndAlpha:
    with Image.open(io.BytesIO(encoded), formats=["PNG"]) as image:
        return decode_samples(image, encoded, name)
