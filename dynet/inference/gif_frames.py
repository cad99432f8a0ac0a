"""The frames of a GIF. Pillow decodes each by itself; its own composition fills what no frame covers with a colour."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from PIL import Image

from dynet.errors import ImageError
from dynet.inference.frame_canvas import Disposal, FramePart

_TRAILER = 0x3B
_GRAPHIC_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_DISPOSALS: dict[int, Disposal] = {2: "clear", 3: "restore"}
_ENDLESS = 0
_GREYS = bytes(level for level in range(256) for _ in range(3))


@dataclass(frozen=True, slots=True)
class _Block:
    kind: Literal["frame", "loop"]
    control: bytes
    """The graphic control extension before a frame, or nothing."""
    body: bytes
    """The frame's descriptor, colours and pixels; the number of a loop."""


def gif_plays(encoded: bytes) -> int:
    """Return how often a GIF is shown, 0 for without end.

    A GIF states how often it is repeated after it was shown once; one that states nothing is shown once.
    """
    repeats = [int.from_bytes(block.body, "little") for block in _blocks(encoded) if block.kind == "loop"]
    if not repeats:
        return 1
    return _ENDLESS if repeats[0] == _ENDLESS else repeats[0] + 1


def count_gif_frames(encoded: bytes) -> int:
    """Return the number of frames."""
    return sum(block.kind == "frame" for block in _blocks(encoded))


def gif_frame_parts(encoded: bytes) -> Iterator[FramePart]:
    """Decode each frame to RGB, with alpha where one of its colours is transparent.

    Raises:
        ImageError: The file is truncated.
    """
    start = encoded[: _end_of_colours(encoded, encoded[10], 13)]
    if not encoded[10] & 0x80:  # without colours of the whole file, for frames that have none of their own: grey
        start = encoded[:10] + bytes([encoded[10] | 0x87]) + encoded[11:13] + _GREYS
    for block in _blocks(encoded):
        if block.kind != "frame":
            continue
        left, top, width, height = struct.unpack_from("<4H", block.body, 1)
        alone = start[:6] + struct.pack("<2H", width, height) + start[10:] + block.control
        alone += block.body[:1] + bytes(4) + block.body[5:] + bytes([_TRAILER])
        with Image.open(io.BytesIO(alone), formats=["GIF"]) as image:
            samples = np.array(image.convert("RGBA"))
        flags = block.control[3] if block.control else 0
        delay = int.from_bytes(block.control[4:6], "little")
        yield FramePart(
            top=top,
            left=left,
            colour=samples[..., :3],
            alpha=samples[..., 3] if flags & 1 else None,
            disposal=_DISPOSALS.get(flags >> 2 & 7, "keep"),
            replaces=False,
            duration=Fraction(delay, 100),
        )


def _blocks(encoded: bytes) -> Iterator[_Block]:
    """Yield the frames, each with the control extension that belongs to it, and the numbers of loops."""
    position, control = _end_of_colours(encoded, encoded[10], 13), b""
    while position < len(encoded) and encoded[position] != _TRAILER:
        start = position
        match encoded[position]:
            case 0x2C if position + 10 < len(encoded):  # an image
                position = _end_of_colours(encoded, encoded[position + 9], position + 10) + 1
                position = _end_of_sub_blocks(encoded, position)
                yield _Block("frame", control, encoded[start:position])
                control = b""
            case 0x21 if position + 2 < len(encoded):  # an extension
                label = encoded[position + 1]
                position = _end_of_sub_blocks(encoded, position + 2)
                if label == _GRAPHIC_CONTROL and position - start >= 8:
                    control = encoded[start:position]
                elif label == _APPLICATION and encoded[start + 3 : start + 14] in _LOOPS:
                    yield _Block("loop", b"", encoded[start + 16 : start + 18])
            case _:
                raise ImageError("the file is truncated or damaged")


def _end_of_colours(encoded: bytes, flags: int, position: int) -> int:
    return position + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _end_of_sub_blocks(encoded: bytes, position: int) -> int:
    while position < len(encoded):
        size = encoded[position]
        position += 1 + size
        if size == 0:
            return position
    raise ImageError("the file is truncated")
