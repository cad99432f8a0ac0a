"""Reading and writing a user's image, with everything that its file holds besides the pixels.

The rules:
- pixels are turned upright by the Exif orientation, and the written Exif and XMP say so;
- colour stays in the image's own colour space: its ICC profile is carried over, not applied;
- alpha is kept as it was, and is not restored;
- 16 bits stay 16 bits (PNG, TIFF, PPM, AVIF, JPEG 2000; 9 to 15 bits become 16); grey stays grey (the mean of the
  network's three channels);
- floating-point samples of a TIFF keep their type and range (`dynet.inference.tiff_pages`);
- a palette becomes RGB, since it does not contain the restored colours, and 1-bit becomes grey;
- CMYK and Lab become sRGB of 8 bits, through the profile if there is one: screens and networks work in RGB;
- Exif, XMP, resolution, the IPTC of a JPEG and the texts of a PNG are carried over, as far as the written format can
  store them;
- encoding.py defines the format and quality of what is written, decoding.py which files are read;
- the pages of a TIFF and the frames of an animation are restored one by one, and written to one file: pages of any
  size and kind, frames as the whole canvas that is shown, with their timing and the number of plays.
"""

import errno
from fractions import Fraction
from pathlib import Path

from PIL import Image

from dynet.errors import ImageError
from dynet.inference.animation_frames import count_frames, count_plays, decode_frames
from dynet.inference.decoded_image import AnimationTiming, DecodedFile, DecodedImage, Samples
from dynet.inference.decoding import (
    MAX_PIXELS,
    decode_samples,
    open_image,
    pixel_limit,
    raise_as_image_error,
    read_orientation,
    require_pixels,
    silence_libtiff,
)
from dynet.inference.encoding import SAME_AS_INPUT, Encoding, is_lossy, jpeg_quality
from dynet.inference.extra_formats import extra_format, read_extra, read_extra_size
from dynet.inference.file_encoding import encode_file
from dynet.inference.image_metadata import read_metadata
from dynet.inference.orientation import turn_upright
from dynet.inference.plain_formats import read_plain
from dynet.inference.png_chunks import read_descriptive_chunks
from dynet.inference.tiff_pages import decode_page, is_tiff, open_pages
from dynet.runtime.atomic_files import make_folder, replacing


def read_file(path: Path) -> DecodedFile:
    """Read all images of a file by the rules above: its only one, its pages, or its frames.

    Raises:
        ImageError: one line that names the file: it is missing, broken, no image, or larger than the limit of
            `dynet.inference.decoding`.
    """
    with raise_as_image_error(path):
        return _read(path, only_one=False)


def read_image(path: Path) -> DecodedImage:
    """Read the only image of a file.

    Raises:
        ImageError: as `read_file`; or the file has several pages or frames.
    """
    with raise_as_image_error(path):
        return _read(path, only_one=True).images[0]


def read_size(path: Path) -> tuple[int, int]:
    """Return width and height of the first image of a file, as stored, without decoding it.

    Raises:
        ImageError: as `read_file`.
    """
    with raise_as_image_error(path):
        if is_tiff(path):
            with pixel_limit(), open_pages(path.read_bytes()) as pages:
                return pages[0][1].imagewidth, pages[0][1].imagelength
        if (name := extra_format(path)) is not None:
            return read_extra_size(path, name)
        if (plain := read_plain(path)) is not None:
            return plain.colour.shape[1], plain.colour.shape[0]
        with open_image(path) as (image, _):
            return image.size


def _read(path: Path, *, only_one: bool) -> DecodedFile:
    if is_tiff(path):
        return _read_pages(path, only_one=only_one)
    if (name := extra_format(path)) is not None:
        return DecodedFile(images=(read_extra(path, name),))
    if (plain := read_plain(path)) is not None:
        return DecodedFile(images=(plain,))
    with open_image(path) as (image, encoded):
        frames = count_frames(image, encoded)
        if frames == 0:
            raise ImageError("has no image")
        if frames > 1 and only_one:
            raise ImageError(f"has {frames} frames; only still images are supported here")
        require_pixels(image.width, image.height, frames, len(encoded))
        if frames > 1 or image.format == "GIF":
            decoded = decode_frames(image, encoded, str(path))
        else:
            decoded = [(decode_samples(image, encoded, str(path)), Fraction(0))]
        orientation = read_orientation(image)
        images = tuple(
            _with_metadata(colour, alpha, image, encoded, orientation, path) for (colour, alpha), _ in decoded
        )
        durations = tuple(duration for _, duration in decoded)
        timing = AnimationTiming(durations=durations, plays=count_plays(image, encoded)) if frames > 1 else None
        return DecodedFile(images=images, timing=timing)


def _read_pages(path: Path, *, only_one: bool) -> DecodedFile:
    encoded = path.read_bytes()
    silence_libtiff()
    with pixel_limit(), open_pages(encoded) as pages:
        if len(pages) > 1 and only_one:
            raise ImageError(f"has {len(pages)} pages; only files with one image are supported here")
        sizes = [(page.imagewidth, page.imagelength) for _, page in pages]
        for width, height in sizes:
            require_pixels(width, height, 1, len(encoded))
        require_pixels(sum(width * height for width, height in sizes), 1, 1, max(len(encoded), MAX_PIXELS))
        return DecodedFile(images=tuple(decode_page(encoded, number, page, str(path)) for number, page in pages))


def _with_metadata(
    colour: Samples, alpha: Samples | None, image: Image.Image, encoded: bytes, orientation: int, path: Path
) -> DecodedImage:
    metadata = read_metadata(image, encoded, sideways=orientation >= 5)
    if image.mode in ("CMYK", "LAB"):
        metadata.pop("icc_profile", None)
    return DecodedImage(
        colour=turn_upright(colour, orientation),
        alpha=None if alpha is None else turn_upright(alpha, orientation),
        format="JPEG" if image.format == "MPO" else image.format or "",
        metadata=metadata,
        png_chunks=read_descriptive_chunks(encoded) if image.format == "PNG" else b"",
        lossy=is_lossy(image.format or "", encoded),
        quality=jpeg_quality(getattr(image, "quantization", {})),
        name=str(path),
    )


def write_file(path: Path, file: DecodedFile, encoding: Encoding = SAME_AS_INPUT) -> None:
    """Write all images of a file completely or not at all; until then a file of that name stays as it was.

    Raises:
        ImageError: the file cannot be written; the message names it.
        OSError: the disk is full, which concerns all files.
    """
    encoded = encode_file(path, file, encoding)
    try:
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.write_bytes(encoded)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ImageError(f"{path}: cannot be written: {error.strerror}") from error


def write_image(path: Path, image: DecodedImage, encoding: Encoding = SAME_AS_INPUT) -> None:
    """Write one image as a file, as `write_file` does."""
    write_file(path, DecodedFile(images=(image,)), encoding)
