"""JPEG 2000: depth and profile by its headers, and samples of more than 8 bits, of which Pillow makes others."""

import struct
from dataclasses import dataclass

import cv2
import numpy as np

from million_ird.errors import ReadError
from million_ird.images.samples import Samples

_SOC_SIZ = b"\xff\x4f\xff\x51"
_SYCC = 18
_MAX_BOXES = 10_000


@dataclass(frozen=True, slots=True)
class Jp2Colours:
    """What a JPEG 2000 says of its samples."""

    bits: int
    """Of the deepest channel."""
    channels: int
    signed: bool
    profile: bytes | None
    sycc: bool
    """Whether the file says that its colours are YCbCr."""

    def require_readable(self) -> None:
        """Make sure that a decoder here reads it.

        Raises:
            ReadError: `unsupported`.
        """
        if self.bits > 8 and (self.channels not in {1, 3, 4} or self.sycc):
            model = "YCbCr" if self.sycc else f"{self.channels} channels"
            raise ReadError("unsupported", f"a JPEG 2000 of {model} of {self.bits} bits")


def read_jp2_colours(encoded: bytes) -> Jp2Colours:
    """Read the headers.

    Raises:
        ReadError: `undecodable` where there is no codestream.
    """
    at = encoded.find(_SOC_SIZ)
    try:
        (count,) = struct.unpack_from(">H", encoded, at + 40)
        depths = [encoded[at + 42 + 3 * number] for number in range(min(count, 5))]
        method, space, profile = _colour_box(encoded)
    except (struct.error, IndexError) as error:
        raise ReadError("undecodable", "a JPEG 2000 without a codestream") from error
    if at < 0 or not depths:
        raise ReadError("undecodable", "a JPEG 2000 without a codestream")
    bits = max((depth & 0x7F) + 1 for depth in depths)
    signed = any(depth & 0x80 for depth in depths)
    return Jp2Colours(bits, count, signed, profile, sycc=method == 1 and space == _SYCC)


def read_jp2_samples(encoded: bytes, colours: Jp2Colours, *, alpha: bool, profile: bytes | None) -> Samples:
    """Return samples of more than 8 bits.

    Raises:
        ReadError: `undecodable`.
    """
    raw = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16:
        raise ReadError("undecodable", "a JPEG 2000 that OpenCV does not read")
    levels = np.asarray(raw).reshape(*raw.shape[:2], -1)
    order = {1: [0], 3: [2, 1, 0]}.get(levels.shape[2], [2, 1, 0, 3][: 4 if alpha else 3])
    return Samples(
        levels=levels[..., order].astype(np.uint16, copy=False),
        model="grey" if levels.shape[2] == 1 else "rgb",
        white=(1 << colours.bits) - 1,
        alpha="straight" if alpha and levels.shape[2] == 4 else "none",
        profile=profile,
    )


def _colour_box(encoded: bytes) -> tuple[int, int, bytes | None]:
    """Return method, enumerated space and profile of the first colour box; zeros where there is none."""
    start, stop = (0, len(encoded)) if encoded[4:8] == b"jP  " else (0, 0)
    for _ in range(_MAX_BOXES):
        if start + 8 > stop:
            break
        size, kind = struct.unpack_from(">I4s", encoded, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", encoded, content)
            content += 8
        end = stop if size == 0 else min(start + size, stop)
        if kind == b"jp2h":
            start, stop = content, end
            continue
        if kind == b"colr":
            method = encoded[content]
            if method == 1:
                return 1, struct.unpack_from(">I", encoded, content + 3)[0], None
            return method, 0, encoded[content + 3 : end]
        if end <= start:
            break
        start = end
    return 0, 0, None
