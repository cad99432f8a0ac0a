"""PNG and TIFF files with all that belongs to a picture of 8 or 16 bits.

Pillow writes no 16-bit colour and no Exif into a compressed TIFF; OpenCV writes no grey with alpha and no profile.
"""

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from dynet.inference.image_metadata import Carried, exif_with_texts
from dynet.inference.png_chunks import SIGNATURE, png_chunk
from dynet.inference.tiff_directories import (
    EXIF,
    GPS,
    UNDEFINED,
    Directory,
    Order,
    Value,
    directory_bytes,
    long,
    rational,
    read_description,
    short,
)

Samples = npt.NDArray[np.unsignedinteger[Any]]

_LEVEL = 1
"""Of zlib. For a photograph of 16 bits level 6 takes half as long again and saves 0.3 %."""
_STRIP = 1 << 20
"""About how many bytes of a TIFF's pixels are in one strip."""
_LARGEST_CHUNK = 1 << 30
_PNG_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's numbers for grey, grey with alpha, RGB and RGBA."""


def png_file(samples: Samples) -> bytes:
    """(H, W, channels) as a PNG: grey, grey and alpha, RGB, or RGBA."""
    height, width, channels = samples.shape
    rows = _bytes(samples, ">")
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # the filter "up": each byte minus that of the row above
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, _PNG_COLOUR[channels], 0, 0, 0)
    pixels = zlib.compress(filtered.data, _LEVEL)
    pieces = [pixels[start : start + _LARGEST_CHUNK] for start in range(0, len(pixels), _LARGEST_CHUNK)]
    chunks = [png_chunk(b"IHDR", header), *(png_chunk(b"IDAT", piece) for piece in pieces), png_chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def tiff_file(samples: Samples, carried: Carried) -> bytes:
    """(H, W, channels) as a TIFF of deflated strips, with profile, Exif, XMP and resolution.

    Alpha is stored as not yet multiplied into the colours. What Exif says of the picture stands in directories of the
    TIFF itself, as its specification has it.
    """
    height, width, channels = samples.shape
    exif = read_description(exif_with_texts(carried))
    order = exif.order
    strip_rows = max(1, _STRIP // (width * channels * samples.itemsize))
    strips = [_strip(samples[top : top + strip_rows], order) for top in range(0, height, strip_rows)]
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
        284: short(order, 1),  # the channels of a pixel beside each other
        317: short(order, 2),  # predictor: the difference to the pixel before
    }
    if channels in (2, 4):
        tags[338] = short(order, 2)  # the last channel is alpha
    if "dpi" in carried:
        tags[282], tags[283] = (rational(order, dots) for dots in carried["dpi"])
        tags[296] = short(order, 2)  # by the inch
    if "xmp" in carried:
        tags[700] = Value(1, carried["xmp"])
    if "icc_profile" in carried:
        tags[34675] = Value(UNDEFINED, carried["icc_profile"])
    starts = np.cumsum([8, *map(len, strips)])
    tags[273] = long(order, *map(int, starts[:-1]))
    at = int(starts[-1]) + int(starts[-1]) % 2
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, at)
    padding = bytes(at - int(starts[-1]))
    return header + b"".join(strips) + padding + directory_bytes(order, tags, {EXIF: exif.exif, GPS: exif.gps}, at)


def _strip(samples: Samples, order: Order) -> bytes:
    differences = samples.copy()
    np.subtract(samples[:, 1:], samples[:, :-1], out=differences[:, 1:])
    return zlib.compress(_bytes(differences, order).data, _LEVEL)


def _bytes(samples: Samples, order: Order) -> npt.NDArray[np.uint8]:
    """(H, W, channels) as (H, bytes of a row), in this byte order."""
    stored = np.ascontiguousarray(samples, samples.dtype.newbyteorder(order))
    return stored.view(np.uint8).reshape(len(samples), -1)
