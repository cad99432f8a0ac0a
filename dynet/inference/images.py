"""Reading and writing a user's image, with everything that its file holds besides the pixels.

The rules:
- pixels are turned upright by the Exif orientation, and the written Exif and XMP say so;
- colour stays in the image's own colour space: its ICC profile is carried over, not applied;
- alpha is kept as it was, and is not restored;
- 16 bits stay 16 bits (PNG, TIFF, PPM, AVIF, JPEG 2000; 9 to 15 bits become 16); grey stays grey (the mean of the
  network's three channels);
- a palette becomes RGB, since it does not contain the restored colours, and 1-bit becomes grey;
- CMYK and Lab become sRGB of 8 bits, through the profile if there is one: screens and networks work in RGB;
- Exif, XMP, resolution, the IPTC of a JPEG and the texts of a PNG are carried over, as far as the written format can
  store them;
- encoding.py defines the format and quality of what is written, decoding.py which files are read;
- a file with several frames or pages is refused: restoring one of them would lose the others.
"""

import errno
from pathlib import Path

import numpy as np

from dynet.errors import ImageError
from dynet.inference.decoded_image import DecodedImage, Samples
from dynet.inference.decoding import decode_samples, open_image, raise_as_image_error, read_orientation
from dynet.inference.encoding import SAME_AS_INPUT, Encoding, encode, is_lossy, jpeg_quality
from dynet.inference.image_metadata import read_metadata
from dynet.inference.png_chunks import read_descriptive_chunks
from dynet.runtime.atomic_files import make_folder, replacing


def read_image(path: Path) -> DecodedImage:
    """Read an image file by the rules above.

    Raises:
        ImageError: one line that names the file: it is missing, broken, no image, not a still image, or larger than
            the limit of `dynet.inference.decoding`.
    """
    with raise_as_image_error(path), open_image(path) as (image, encoded):
        colour, alpha = decode_samples(image, encoded, str(path))
        orientation = read_orientation(image)
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


def turn_upright(samples: Samples, orientation: int) -> Samples:
    """Turn and mirror (H, W, …) samples by the Exif orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(samples[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def write_image(path: Path, image: DecodedImage, encoding: Encoding = SAME_AS_INPUT) -> None:
    """Write an image file completely or not at all; until then a file of that name stays as it was.

    Raises:
        ImageError: the file cannot be written; the message names it.
        OSError: the disk is full, which concerns all files.
    """
    encoded = encode(path, image, encoding)
    try:
        make_folder(path.parent)
        with replacing(path) as temporary:
            temporary.write_bytes(encoded)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ImageError(f"{path}: cannot be written: {error.strerror}") from error
