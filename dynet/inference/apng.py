"""Animated PNG: its frames as PNG files of their own, which keep their 8 or 16 bits, and frames as one file.

Pillow reads all frames with 8 bits, and joins equal ones when it writes.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from dynet.errors import ImageError
from dynet.inference.decoded_image import AnimationTiming, Samples
from dynet.inference.frame_canvas import Disposal, FramePart
from dynet.inference.lossless_files import compress_png_rows, png_header
from dynet.inference.pillow_samples import ColourAndAlpha
from dynet.inference.png_chunks import SIGNATURE, iter_chunks, png_chunk

_DISPOSALS: dict[int, Disposal] = {1: "clear", 2: "restore"}
_REPLACE = 0
_CONTROL = ">IIIIIHHBB"
_LARGEST = 65535


def count_apng_frames(encoded: bytes) -> int:
    """Return the number of frames of a PNG file; 1 for a still image."""
    kinds = [kind for kind, _ in iter_chunks(encoded)]
    return max(1, kinds.count(b"fcTL")) if b"acTL" in kinds else 1


def apng_plays(encoded: bytes) -> int:
    """Return how often an APNG is shown, 0 for without end."""
    return next((struct.unpack(">II", body)[1] for kind, body in iter_chunks(encoded) if kind == b"acTL"), 1)


def apng_frame_parts(encoded: bytes, decode: Callable[[bytes], ColourAndAlpha]) -> Iterator[FramePart]:
    """Decode each frame; an image before the first frame that is not part of the animation is left out.

    Args:
        encoded: The file.
        decode: Decodes a still PNG.

    Raises:
        ImageError: A chunk is damaged.
    """
    header, control = b"", b""
    shared: list[bytes] = []
    pixels: list[bytes] = []
    for kind, body in (*iter_chunks(encoded), (b"fcTL", b"")):
        match kind:
            case b"IHDR":
                header = body
            case b"PLTE" | b"tRNS":
                shared.append(png_chunk(kind, body))
            case b"IDAT" if control:
                pixels.append(body)
            case b"fdAT":
                pixels.append(body[4:])
            case b"fcTL":
                if control:
                    yield _frame_part(header, b"".join(shared), control, b"".join(pixels), decode)
                control, pixels = body, []


def _frame_part(
    header: bytes, shared: bytes, control: bytes, pixels: bytes, decode: Callable[[bytes], ColourAndAlpha]
) -> FramePart:
    if len(control) != struct.calcsize(_CONTROL):
        raise ImageError("a frame's control chunk is damaged")
    _, width, height, left, top, numerator, denominator, disposal, blending = struct.unpack(_CONTROL, control)
    own_header = png_chunk(b"IHDR", struct.pack(">II", width, height) + header[8:])
    alone = SIGNATURE + own_header + shared + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    colour, alpha = decode(alone)
    return FramePart(
        top=top,
        left=left,
        colour=colour,
        alpha=alpha,
        disposal=_DISPOSALS.get(disposal, "keep"),
        replaces=blending == _REPLACE,
        duration=Fraction(numerator, denominator or 100),
    )


def encode_apng(frames: Sequence[Samples], timing: AnimationTiming, chunks: bytes) -> bytes:
    """Encode frames as an APNG, each as a whole and exactly.

    Args:
        frames: (H, W, channels) of 8 or 16 bits, all of one shape and type.
        timing: When they are shown.
        chunks: What describes the image, inserted before the pixels.
    """
    height, width = frames[0].shape[:2]
    encoded = [SIGNATURE, png_chunk(b"IHDR", png_header(frames[0]))]
    encoded += [png_chunk(b"acTL", struct.pack(">II", len(frames), timing.plays)), chunks]
    number = 0
    for index, (frame, duration) in enumerate(zip(frames, timing.durations, strict=True)):
        delay = _as_16_bits(duration)
        control = struct.pack(_CONTROL, number, width, height, 0, 0, delay.numerator, delay.denominator, 0, _REPLACE)
        encoded.append(png_chunk(b"fcTL", control))
        number += 1
        for piece in compress_png_rows(frame):
            encoded.append(
                png_chunk(b"fdAT", struct.pack(">I", number) + piece) if index else png_chunk(b"IDAT", piece)
            )
            number += index > 0
    return b"".join([*encoded, png_chunk(b"IEND", b"")])


def _as_16_bits(duration: Fraction) -> Fraction:
    """Return the nearest fraction of two numbers of 16 bits."""
    if duration >= _LARGEST:
        return Fraction(_LARGEST)
    return duration.limit_denominator(_LARGEST // (int(duration) + 1))


def as_one_shape(frames: Sequence[Samples]) -> list[Samples]:
    """Return frames of (H, W, channels) with the same channels: RGB where any is, alpha where any has it."""
    colours, alpha = max(frame.shape[2] for frame in frames), any(frame.shape[2] in (2, 4) for frame in frames)
    joined = []
    for frame in frames:
        own = frame[..., :-1] if frame.shape[2] in (2, 4) else frame
        if colours >= 3 and own.shape[2] == 1:
            own = np.repeat(own, 3, axis=2)
        white = np.full(frame.shape[:2], np.iinfo(frame.dtype).max, frame.dtype)
        joined.append(np.dstack([own, frame[..., -1] if frame.shape[2] in (2, 4) else white]) if alpha else own)
    return joined
