"""The files of several images: which formats store pages and animations, and their encoding.

| the file has | without `--format` | with |
|---|---|---|
| one image | as `dynet.inference.encoding` says | the same |
| pages | TIFF | TIFF only: no other format stores pages |
| frames | the input's format, PNG (APNG) for a GIF | PNG, WebP or AVIF: the formats that store their timing |

A GIF has at most 256 colours a frame, too few for what is restored, so its frames become an APNG, which browsers show.
"""

import io
import logging
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

from PIL import Image

from dynet.errors import ImageError, reason_of
from dynet.inference.apng import as_one_shape, encode_apng
from dynet.inference.decoded_image import AnimationTiming, DecodedFile, Samples
from dynet.inference.encoding import Encoding, encode, format_suffix, samples_to_store, save_options
from dynet.inference.lossless_files import encode_tiff
from dynet.inference.png_chunks import metadata_chunks

logger = logging.getLogger(__name__)

_ANIMATED = ("PNG", "WEBP", "AVIF")
_STORE_PLAYS = ("PNG", "WEBP")


def resolve_file_format(file: DecodedFile, encoding: Encoding) -> str:
    """Return the format to write this file in, by Pillow's name.

    Raises:
        ImageError: The format that the user chose cannot store it.
    """
    formats = {encoding.resolve_format(image) for image in file.images}
    if len(file.images) == 1:
        return formats.pop()
    if file.timing is None:
        if encoding.format not in (None, "tiff"):
            raise ImageError(f"{file.name}: has {file.parts}, which only TIFF stores; use --format tiff")
        return "TIFF"
    if encoding.format is not None and encoding.format.upper() not in _ANIMATED:
        raise ImageError(
            f"{file.name}: has {file.parts}, whose timing {encoding.format.upper()} does not store; use --format png, "
            "webp or avif"
        )
    return formats.pop() if len(formats) == 1 and formats <= set(_ANIMATED) else "PNG"


def file_suffix(file: DecodedFile, encoding: Encoding, input_suffix: str) -> str:
    """Return the file suffix: the input's where it fits the format. Raises as `resolve_file_format`."""
    return format_suffix(resolve_file_format(file, encoding), input_suffix)


def encode_file(path: Path, file: DecodedFile, encoding: Encoding) -> bytes:
    """Return the bytes of a file with all images.

    Args:
        path: The file's later name, for messages.
        file: What is written.
        encoding: Format and quality.

    Raises:
        ImageError: It cannot be stored in that format; the message names the file.
    """
    file_format = resolve_file_format(file, encoding)
    if len(file.images) == 1:
        return encode(path, file.images[0], encoding)
    samples = [samples_to_store(path, image, file_format, encoding) for image in file.images]
    first = file.images[0]
    try:
        if file.timing is None:
            return encode_tiff([(page, image.metadata) for page, image in zip(samples, file.images, strict=True)])
        frames = as_one_shape(samples)
        if file_format == "PNG":
            return encode_apng(frames, file.timing, metadata_chunks(first.metadata, first.png_chunks))
        if file.timing.plays and file_format not in _STORE_PLAYS:
            logger.warning("%s: how often it is played is lost, since %s does not store it", path, file_format)
        return _encode_with_pillow(frames, file.timing, file_format, save_options(file_format, path, first, encoding))
    except (OSError, ValueError, RuntimeError) as error:
        raise ImageError(f"{path}: cannot be written as {file_format}: {reason_of(error)}") from error


def _encode_with_pillow(
    frames: Sequence[Samples], timing: AnimationTiming, file_format: str, options: dict[str, object]
) -> bytes:
    if file_format == "WEBP":
        options |= {"loop": timing.plays, "kmin": 0, "kmax": 1}  # each frame as a whole: its colours stay exact
    buffer = io.BytesIO()
    first, *others = (Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame) for frame in frames)
    durations = _milliseconds(timing.durations)
    first.save(buffer, file_format, save_all=True, append_images=others, duration=durations, **options)
    return buffer.getvalue()


def _milliseconds(durations: Sequence[Fraction]) -> list[int]:
    """Round durations so that the time of each frame's end is right to half a millisecond."""
    ends = [round(1000 * end) for end in accumulate(durations, initial=Fraction(0))]
    return [end - start for start, end in pairwise(ends)]
