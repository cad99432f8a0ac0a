"""Encoding PNG and TIFF files of 8 or 16 bits, and TIFF files of floating-point samples, with their metadata.

Pillow writes neither 16-bit colour nor, into a compressed TIFF, Exif; OpenCV writes neither grey with alpha nor a
profile.
"""

import struct
import zlib
from collections.abc import Sequence

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
    double,
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
_MAX_TIFF_BYTES = (1 << 32) - (1 << 26)
"""With room for the last directory."""
_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By the number of channels: grey, grey with alpha, RGB, RGBA."""


def encode_png(samples: Samples) -> bytes:
    """Encode (H, W, channels) samples as a PNG: grey, grey and alpha, RGB, or RGBA."""
    pixels = [png_chunk(b"IDAT", piece) for piece in compress_png_rows(samples)]
    return SIGNATURE + b"".join([png_chunk(b"IHDR", png_header(samples)), *pixels, png_chunk(b"IEND", b"")])


def png_header(samples: Samples) -> bytes:
    """Return the body of the chunk IHDR for (H, W, channels) samples of uint8 or uint16."""
    height, width, channels = samples.shape
    return struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, _PNG_COLOUR_TYPES[channels], 0, 0, 0)


def compress_png_rows(samples: Samples) -> list[bytes]:
    """Return the compressed pixels in pieces that fit a chunk."""
    rows = _row_bytes(samples, ">")
    filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # the filter "up": each byte minus that of the row above
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    pixels = zlib.compress(filtered.data, _ZLIB_LEVEL)
    return [pixels[start : start + _MAX_CHUNK_BYTES] for start in range(0, len(pixels), _MAX_CHUNK_BYTES)]


def encode_tiff(pages: Sequence[tuple[Samples, ImageMetadata]]) -> bytes:
    """Encode pages as a TIFF of deflated strips, each with profile, Exif, XMP and resolution.

    Alpha is stored as not premultiplied. Exif tags are written into the TIFF's own directories, as TIFF specifies;
    tifffile writes no such directories, Pillow not into compressed files.

    Args:
        pages: samples, (H, W, channels) of uint8, uint16 or floating-point numbers, and metadata.

    Raises:
        ValueError: the file would be larger than the 4 GB that a TIFF can have.
    """
    descriptions = [read_exif_description(add_texts_to_exif(metadata)) for _, metadata in pages]
    order: ByteOrder = next((description.order for description in descriptions if description), "<")
    file = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
    pointer = 4  # where the offset of the next directory goes
    for (samples, metadata), exif in zip(pages, descriptions, strict=True):
        rows = max(1, _STRIP_BYTES // (samples.shape[1] * samples.shape[2] * samples.itemsize))
        strips = [_encode_strip(samples[top : top + rows], order) for top in range(0, len(samples), rows)]
        starts = [int(start) for start in np.cumsum([len(file), *map(len, strips)])]
        tags = exif.main | _page_tags(samples, metadata, order, rows)
        file += b"".join(strips) + bytes(starts[-1] % 2)
        if len(file) > _MAX_TIFF_BYTES:
            raise ValueError("it would be larger than 4 GB")
        tags |= {273: long(order, *starts[:-1]), 279: long(order, *map(len, strips))}
        struct.pack_into(f"{order}I", file, pointer, len(file))
        directory = encode_directory(order, tags, {EXIF: exif.exif, GPS: exif.gps}, len(file))
        pointer = len(file) + 2 + 12 * struct.unpack_from(f"{order}H", directory)[0]
        file += directory
    return bytes(file)


def _page_tags(samples: Samples, metadata: ImageMetadata, order: ByteOrder, strip_rows: int) -> Directory:
    """Return the tags of a page, without those that say where its strips are."""
    height, width, channels = samples.shape
    is_float = samples.dtype.kind == "f"
    tags: Directory = {
        256: long(order, width),
        257: long(order, height),
        258: short(order, *[8 * samples.itemsize] * channels),
        259: short(order, 8),  # compression: deflate
        262: short(order, 2 if channels >= 3 else 1),  # RGB, or grey with 0 for black
        277: short(order, channels),
        278: long(order, strip_rows),
        284: short(order, 1),  # planar configuration: the channels of a pixel are stored together
        317: short(order, 3 if is_float else 2),  # predictor: the difference from the pixel before
    }
    if channels in (2, 4):
        tags[338] = short(order, 2)  # the last channel is alpha
    if is_float:
        tags[339] = short(order, *[3] * channels)  # sample format: floating-point numbers
        for tag, value in zip((340, 341), metadata.get("sample_range", ()), strict=False):
            tags[tag] = double(order, *[value] * channels)
    if "dpi" in metadata:
        tags[282], tags[283] = (rational(order, dots) for dots in metadata["dpi"])
        tags[296] = short(order, 2)  # resolution unit: inch
    if "xmp" in metadata:
        tags[700] = TagValue(1, metadata["xmp"])
    if "icc_profile" in metadata:
        tags[34675] = TagValue(UNDEFINED, metadata["icc_profile"])
    return tags


def _encode_strip(samples: Samples, order: ByteOrder) -> bytes:
    if samples.dtype.kind == "f":
        return zlib.compress(_float_differences(samples).data, _ZLIB_LEVEL)
    differences = samples.copy()
    np.subtract(samples[:, 1:], samples[:, :-1], out=differences[:, 1:])
    return zlib.compress(_row_bytes(differences, order).data, _ZLIB_LEVEL)


def _float_differences(samples: Samples) -> npt.NDArray[np.uint8]:
    """Return (H, bytes of a row) by TIFF's predictor 3: highest bytes first, each minus that of the pixel before."""
    height, width, channels = samples.shape
    planes = _row_bytes(samples, ">").reshape(height, width * channels, samples.itemsize).swapaxes(1, 2)
    rows = planes.reshape(height, -1)
    differences = rows.copy()
    np.subtract(rows[:, channels:], rows[:, :-channels], out=differences[:, channels:])
    return differences


def _row_bytes(samples: Samples, order: ByteOrder) -> npt.NDArray[np.uint8]:
    """Return (H, W, channels) samples as (H, bytes of a row), in this byte order."""
    stored = np.ascontiguousarray(samples, samples.dtype.newbyteorder(order))
    return stored.view(np.uint8).reshape(len(samples), -1)
