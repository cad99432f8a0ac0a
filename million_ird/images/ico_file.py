"""ICO: the largest of its pictures, each a PNG, or a BMP without its first header and with a mask behind it."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from million_ird.errors import ReadError
from million_ird.images.bmp_file import BmpFile, read_bmp, read_bmp_samples
from million_ird.images.colour_rules import ColourLayout
from million_ird.images.samples import Samples

_MAX_ENTRIES = 1000
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class IcoBitmap:
    """A picture of an ICO that is no PNG."""

    bitmap: BmpFile
    encoded: bytes
    """With a first header."""
    layout: ColourLayout


def largest_picture(encoded: bytes) -> bytes:
    """Return the bytes of the largest picture, of several the one of most bits: a PNG or a BMP without first header.

    Raises:
        ReadError: `truncated`; `undecodable` where there is none.
    """
    (count,) = struct.unpack_from("<H", encoded, 4) if len(encoded) >= 6 else (0,)
    best: tuple[tuple[int, int], bytes] | None = None
    for number in range(min(count, _MAX_ENTRIES)):
        position = 6 + 16 * number
        if position + 16 > len(encoded):
            break
        width, height, bits, size, start = struct.unpack_from("<2B4xH2I", encoded, position)
        rank = ((width or 256) * (height or 256), bits)
        if best is None or rank > best[0]:
            best = rank, encoded[start : start + size]
            if len(best[1]) < size:
                raise ReadError("truncated", "an ICO that ends before its picture")
    if best is None:
        raise ReadError("undecodable", "an ICO without a picture")
    return best[1]


def is_png(picture: bytes) -> bool:
    """Return whether a picture of an ICO is a PNG."""
    return picture.startswith(_PNG)


def read_ico_bitmap(picture: bytes) -> IcoBitmap:
    """Read the header of a picture that is no PNG.

    Raises:
        ReadError: `truncated`, `undecodable` or `unsupported`, as for a BMP.
    """
    if len(picture) < 40 or struct.unpack_from("<I", picture)[0] != 40:
        raise ReadError("undecodable", "an ICO without a usable picture")
    (double,) = struct.unpack_from("<i", picture, 8)
    whole = b"BM" + struct.pack("<IHHI", 14 + len(picture), 0, 0, 0) + picture[:8]
    whole += struct.pack("<i", double // 2) + picture[12:]
    bitmap = read_bmp(whole)
    model = bitmap.layout.model
    return IcoBitmap(bitmap, whole, ColourLayout(container="ICO", model=model, bits=8, alpha="straight"))


def read_ico_samples(icon: IcoBitmap) -> Samples:
    """Return the pixels with their mask as alpha; a 32-bit picture has alpha of its own, unless that is nowhere.

    Raises:
        ReadError: `truncated` or `undecodable`.
    """
    file = icon.bitmap
    samples = read_bmp_samples(icon.encoded, file)
    alpha = _own_alpha(icon) if file.bits == 32 else None
    if alpha is None or not alpha.any():
        alpha = _mask(icon)
    levels = np.concatenate([samples.levels[..., :3], alpha[..., None]], axis=2)
    return Samples(levels=levels.astype(np.uint8, copy=False), model="rgb", alpha="straight")


def _own_alpha(icon: IcoBitmap) -> NDArray[np.uint8]:
    file = icon.bitmap
    pixels = np.frombuffer(icon.encoded, np.uint8, file.width * file.height * 4, file.start)
    return pixels.reshape(file.height, file.width, 4)[::-1, :, 3]


def _mask(icon: IcoBitmap) -> NDArray[np.uint8]:
    """Return the alpha of the mask behind the pixels, in which a set bit is transparent; without one all is opaque."""
    file = icon.bitmap
    start = file.start + (file.width * file.bits + 31) // 32 * 4 * file.height
    stride = (file.width + 31) // 32 * 4
    if len(icon.encoded) - start < stride * file.height:
        return np.full((file.height, file.width), 255, np.uint8)
    rows = np.frombuffer(icon.encoded, np.uint8, stride * file.height, start).reshape(file.height, stride)
    bits = np.unpackbits(rows, axis=1)[::-1, : file.width]
    return (1 - bits) * np.uint8(255)
