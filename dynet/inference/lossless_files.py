"""Encoding PNG and TIFF files of 8 or 16 bits with their metadata.

Pillow writes neither 16-bit colour nor, into a compressed TIFF, Exif; OpenCV writes neither grey with alpha nor a
profile.
"""

import struct
import zlib

import numpy as np
import numpy.typing as npt

from dynet.inference.decoded_image import Samples
from dynet.inference.image_metadata import ImageMetadata, add_texts_to_exif
from dynet.inference.png_chunks import SIGNATURE, png_chunk
from dynet.inference.tiff_directories import (
    EXIF,
    GPS,
    UNDEFINED,
    ByteOrder,
    Directory,
    TagValue,
    encode_directory,
    long,
    rational,
    read_exif_description,
    short,
)

_ZLIB_LEVEL = 1
"""For a photograph of 16 bits level 6 takes half as long again and saves 0.3 %."""
_STRIP_BYTES = 1 << 20
"""The approximate size of the pixels in one strip of a TIFF."""
_MAX_CHUNK_BYTES = 1 << 30
_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By the number of channels: grey, grey with alpha, RGB, RGBA."""


def encode_png(samples: Samples) -> bytes:
    """Encode (H, W, channels) samples as a PNG: grey, grey and alpha, RGB, or RGBA."""
    height, width, channels = samples.shape
    rows = _row_bytes(samples, ">")
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # the filter "up": each byte minus that of the row above
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, _PNG_COLOUR_TYPES[channels], 0, 0, 0)
    pixels = zlib.compress(filtered.data, _ZLIB_LEVEL)
    pieces = [pixels[start : start + _MAX_CHUNK_BYTES] for start in range(0, len(pixels), _MAX_CHUNK_BYTES)]
    chunks = [png_chunk(b"IHDR", header), *(png_chunk(b"IDAT", piece) for piece in pieces), png_chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def encode_tiff(samples: Samples, metadata: ImageMetadata) -> bytes:
    """Encode (H, W, channels) samples as a TIFF of deflated strips, with profile, Exif, XMP and resolution.

    Alpha is stored as not premultiplied. Exif tags are written into the TIFF's own directories, as TIFF specifies.
    """
    height, width, channels = samples.shape
    exif = read_exif_description(add_texts_to_exif(metadata))
    order = exif.order
    strip_rows = max(1, _STRIP_BYTES // (width * channels * samples.itemsize))
    strips = [_encode_strip(samples[top : top + strip_rows], order) for top in range(0, height, strip_rows)]
    tags: Directory = {
        **exif.main,
        256: long(order, width),
        257: long(order, height),
        258: short(order, *[8 * samples.itemsize] * channels),
        259: short(order, 8),  # compression: deflate
        262: short(order, 2 if channels >= 3 else 1),  # RGB, or grey with 0 for black
        277: short(order, channels),
        278: long(order, strip_rows),
        279: long(order, *map(len, strips)),
        284: short(order, 1),  # planar configuration: the channels of a pixel are stored together
        317: short(order, 2),  # predictor: the difference from the pixel before
    }
    if channels in (2, 4):
        tags[338] = short(order, 2)  # the last channel is alpha
    if "dpi" in metadata:
        tags[282], tags[283] = (rational(order, dots) for dots in metadata["dpi"])
        tags[296] = short(order, 2)  # resolution unit: inch
    if "xmp" in metadata:
        tags[700] = TagValue(1, metadata["xmp"])
    if "icc_profile" in metadata:
        tags[34675] = TagValue(UNDEFINED, metadata["icc_profile"])
    starts = np.cumsum([8, *map(len, strips)])
    tags[273] = long(order, *map(int, starts[:-1]))
    directory_offset = int(starts[-1]) + int(starts[-1]) % 2
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, directory_offset)
    padding = bytes(directory_offset - int(starts[-1]))
    directory = encode_directory(order, tags, {EXIF: exif.exif, GPS: exif.gps}, directory_offset)
    return header + b"".join(strips) + padding + directory


def _encode_strip(samples: Samples, order: ByteOrder) -> bytes:
    differences = samples.copy()
    np.subtract(samples[:, 1:], samples[:, :-1], out=differences[:, 1:])
    return zlib.compress(_row_bytes(differences, order).data, _ZLIB_LEVEL)


def _row_bytes(samples: Samples, order: ByteOrder) -> npt.NDArray[np.uint8]:
    """Return (H, W, channels) samples as (H, bytes of a row), in this byte order."""
    stored = np.ascontiguousarray(samples, samples.dtype.newbyteorder(order))
    return stored.view(np.uint8).reshape(len(samples), -1)
