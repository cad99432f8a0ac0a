"""JPEG XL: size and depth by the codestream, before its decoder, which decodes at once, sees it; its full depth."""

import importlib
import struct
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from million_ird.errors import ReadError
from million_ird.images.colour_rules import Numbers
from million_ird.images.colour_spaces import read_profile
from million_ird.images.samples import Samples

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)
_MAX_BOXES = 10_000


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """The start of a codestream."""

    size: tuple[int, int]
    """Width and height as stored."""
    bits: int
    """Per sample; 8 where it follows what is not read here, a preview or an animation."""
    numbers: Numbers


def read_jxl_header(encoded: bytes) -> JxlHeader:
    """Read SizeHeader and the depth of ImageMetadata, as ISO/IEC 18181-1 has them.

    Raises:
        ReadError: `undecodable` where there is no codestream.
    """
    head = _codestream_head(encoded)
    if head[:2] != b"\xff\x0a":
        raise ReadError("undecodable", "a JPEG XL without a codestream")
    bits = _LowBits(head[2:])
    size = _read_size(bits)
    depth, numbers = _read_depth(bits)
    return JxlHeader(size, depth, numbers)


def read_jxl_samples(encoded: bytes, image: Image.Image, bits: int, profile: bytes | None) -> Samples | None:
    """Return samples of more than 8 bits, where imagecodecs is installed and sees the same picture as Pillow's plugin.

    Args:
        encoded: the file.
        image: as the plugin, which gives colours 8 bits, decoded it.
        bits: per sample, by the header.
        profile: the profile to convert from, of the plugin, too.

    Raises:
        ReadError: `unsupported` for grey with alpha, which the plugin mistakes, without imagecodecs.
    """
    if find_spec("imagecodecs") is None:
        if image.mode == "LA":
            raise ReadError("unsupported", f"a JPEG XL of {bits}-bit grey with alpha, without imagecodecs")
        return None
    codecs: Any = importlib.import_module("imagecodecs")
    levels = np.atleast_3d(np.asarray(codecs.jpegxl_decode(encoded)))
    eight = np.atleast_3d(np.asarray(image))
    if levels.dtype.str[1:] not in {"u2", "f2", "f4"} or levels.shape != eight.shape or eight.dtype != np.uint8:
        return None
    white = (1 << bits) - 1 if levels.dtype == np.uint16 else 1
    if levels.dtype == np.float16:
        levels = levels.astype(np.float32)
    if image.mode != "LA" and np.abs(levels.clip(0, white) * (255 / white) - eight).max() > 1:
        return None
    space = read_profile(profile) if profile else None
    return Samples(
        levels=levels,
        model="grey" if levels.shape[2] <= 2 else "rgb",
        white=white,
        alpha="straight" if levels.shape[2] in {2, 4} else "none",
        space=space,
        profile=profile if space is None else None,
    )


def _read_size(bits: "_LowBits") -> tuple[int, int]:
    small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return (bits.take(5) + 1) * 8 if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1, height


def _read_depth(bits: "_LowBits") -> tuple[int, Numbers]:
    if bits.take(1):  # all of ImageMetadata has its defaults
        return 8, "unsigned"
    if bits.take(1):  # extra fields
        bits.take(3)  # orientation
        if bits.take(1):
            _read_size(bits)  # the intrinsic one
        if bits.take(1) or bits.take(1):
            return 8, "unsigned"
    if bits.take(1):
        return _one_of(bits, (32, 16, 24)), "float"
    return _one_of(bits, (8, 10, 12)), "unsigned"


def _one_of(bits: "_LowBits", usual: tuple[int, int, int]) -> int:
    kind = bits.take(2)
    return usual[kind] if kind < 3 else bits.take(6) + 1


class _LowBits:
    """Bits of bytes, the lowest first."""

    def __init__(self, content: bytes) -> None:
        self._left = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value


def _codestream_head(encoded: bytes) -> bytes:
    if encoded[:2] == b"\xff\x0a":
        return encoded[:32]
    start = 0
    for _ in range(_MAX_BOXES):
        if start + 16 > len(encoded):
            break
        size, kind = struct.unpack_from(">I4s", encoded, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", encoded, content)
            content += 8
        if kind == b"jxlc":
            return encoded[content : content + 32]
        if kind == b"jxlp":
            return encoded[content + 4 : content + 36]
        if size < 8:
            break
        start += size
    return b""
