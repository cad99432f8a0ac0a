"""Damage in a JPEG: what libjpeg only warns of, and shifts of brightness or colour that it cannot notice.

libjpeg replaces what it cannot decode by grey or by something else and says so in a warning, which Pillow swallows.
simplejpeg, a binding of the same libjpeg-turbo, raises it.

Some damage leaves a valid stream of the right length, and causes no warning. But a JPEG stores the mean of a block as
the difference to the one before, so that one wrong difference shifts everything after it. This is looked for, too: a
step of one size along the lower or upper edge of a row of blocks, up to a column, and one row of blocks higher from
there on, in an image without any step elsewhere on these lines.
"""

import hashlib
import itertools
import re
import struct
from collections.abc import Iterator

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from million_ird.errors import ReadError
from million_ird.images.jpeg_steps import best_turns, boundary_steps, half_stepped, step_parts

_EOI = b"\xff\xd9"
_SOS = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_HARMLESS = (
    "Unknown Adobe",
    "Warning: unknown JFIF",
    "unknown JFIF",
    "Inconsistent progression sequence",
    "tj",  # errors of TurboJPEG itself, for example for a sampling that libjpeg reads, and so Pillow: not looked at
)
_MIN_STEP = 4.0
"""Levels; a smaller shift is not seen."""
_MIN_COLUMNS = 48
_MAX_STEP = 24.0
"""Levels that count of a step, so that edges do not outweigh it."""
_NONSENSE = 6
"""Units of blocks that a decoder takes to find its way again."""
_MAX_PLAIN = 0.3
"""Largest jump, as a share of the step, where there should be none."""
_CALM = 0.5
"""Least share of the columns there that jump by less than half a step: in the seeming stairs of 1,465 shifted whole
pictures at most 0.36, behind damage 0.54 and more."""
_SEGMENTS = 8
_MIN_SEGMENT = 32
"""Columns: each half of a stair is looked at in up to eight parts of this width and more."""
_STEADY = 0.2
"""Least median step in each part, as a share of the step. A wrong difference shifts all columns alike. Of the steps
between plain blocks of a sky that was compressed hard, some part never has one."""
_EVEN = 0.8
"""Largest share of columns along a stair with plain blocks on both sides: a sky whose only steps are those between the
levels of a strong compression looks shifted, too."""
_EVEN_LEVELS = 1.2
"""How much a plain block may change within three rows."""
_UNUSUAL = 3.0
"""How often the step is as large as nine tenths of the jumps along other rows of blocks."""


def with_end(encoded: bytes) -> bytes:
    """Return a JPEG with its end marker: put behind one that lacks nothing else; any other file is returned as it is.

    Padding of zeros in place of the marker does not matter.
    """
    if not encoded.startswith(b"\xff\xd8") or encoded.endswith(_EOI) or has_end(encoded):
        return encoded
    complete = _without_padding(encoded) + _EOI
    return complete if _warning(complete) is None else encoded


def completed(encoded: bytes) -> bytes:
    """Return a file to publish: a JPEG that lacks nothing but its end marker, with that behind it; any other as it is.

    Pillow, and so `datasets`, refuses a JPEG without one.
    """
    return encoded if with_end(encoded) is encoded else encoded + _EOI


def is_completed(encoded: bytes, sha256: str) -> bool:
    """Return whether a JPEG is one of this SHA-256 with an end marker behind it."""
    return encoded.endswith(_EOI) and hashlib.sha256(encoded.removesuffix(_EOI)).hexdigest() == sha256


def has_end(encoded: bytes) -> bool:
    """Return whether the segments of a JPEG lead to an end marker."""
    return any(marker == _EOI[1] for marker, _, _ in _segments(encoded))


def require_whole_jpeg(encoded: bytes) -> NDArray[np.uint8] | None:
    """Make sure that a JPEG decodes without a warning and has no shift.

    Args:
        encoded: the file; whether its end marker is there does not matter to it.

    Returns:
        The pixels, (H, W, 3) uint8 RGB as stored: those of Pillow, which has the same decoder. None where they were not
        decoded, or are not RGB.

    Raises:
        ReadError: `damaged`, with libjpeg's warning or the row of the shift.
    """
    if not has_end(encoded):
        return None  # the decoder refuses it as truncated
    layout = _block_layout(encoded)
    whole = _decoded(encoded, "GRAY" if layout is None else "RGB", strict=True)
    if whole is None:
        _check_warning(encoded)
    if layout is None:
        return None
    pixels = _decoded(encoded, "RGB", strict=False) if whole is None else whole
    row = None if pixels is None else find_shift(pixels, *layout)
    if row is not None:
        raise ReadError("damaged", f"brightness or colour is shifted from row {row} on, as by a wrong difference")
    return whole


def _decoded(encoded: bytes, colours: str, *, strict: bool) -> NDArray[np.uint8] | None:
    """Return the pixels; None with an error or, if strict, a warning."""
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(encoded, colours, strict=strict)
    except ValueError:
        return None
    return pixels


def _check_warning(encoded: bytes) -> None:
    """Refuse a JPEG with a warning, unless only padding before its end marker is meant."""
    warning = _warning(encoded)
    if warning is not None and "extraneous" in warning:
        end = max((start for marker, start, _ in _segments(encoded) if marker == _EOI[1]), default=0)
        warning = _warning(_without_padding(encoded[:end]) + _EOI) and warning
    if warning is not None:
        raise ReadError("damaged", warning)


def require_whole_strip(tables: bytes, strip: bytes) -> None:
    """Make sure that a JPEG strip or tile of a TIFF decodes without a warning.

    Args:
        tables: the JPEG stream of tables that all strips share; empty where each has its own.
        strip: its bytes.

    Raises:
        ReadError: `damaged`, with libjpeg's warning.
    """
    whole = tables.removesuffix(_EOI) + strip.removeprefix(b"\xff\xd8") if tables else strip
    warning = _warning(_without_padding(whole) + (b"" if has_end(whole) else _EOI))
    if warning is not None:
        raise ReadError("damaged", warning)


def find_shift(pixels: NDArray[np.uint8], height: int, width: int) -> int | None:
    """Return the row of pixels at which a shift begins, or None.

    Args:
        pixels: (H, W, 3) uint8, as stored.
        height: of a unit of blocks (MCU), 8 to 32 pixels.
        width: of a unit.
    """
    if pixels.shape[0] < 3 * height or pixels.shape[1] < 2 * _MIN_COLUMNS + width:
        return None
    boundaries = np.arange(height, pixels.shape[0] - 4, height)
    for channel, steps in enumerate(boundary_steps(pixels, boundaries)):
        for number, column in _candidates(steps, width):
            if _is_stair(steps, number, column, width):
                upper, lower = (_is_even(pixels, int(boundaries[number + k]), channel) for k in (0, 1))
                left, right = _halves(column, width)
                if np.concatenate([lower[left], upper[right]]).mean() < _EVEN:
                    return int(boundaries[number])
    return None


def _halves(column: int, width: int) -> tuple[slice, slice]:
    """Return the columns of a stair that is lower up to `column`: before it may come blocks of nonsense, left out."""
    return slice(max(_MIN_COLUMNS, column - _NONSENSE * width)), slice(column, None)


def _is_even(pixels: NDArray[np.uint8], boundary: int, channel: int) -> NDArray[np.bool_]:
    """Return whether the blocks on both sides of a boundary are plain in luma (0) or a colour difference: (W,)."""
    rows = np.minimum(boundary + np.array([-7, -4, 3, 6]), len(pixels) - 1)  # away from what upsampled colour blurs
    values = _channels(pixels[rows].astype(np.float32))[channel]
    return np.asarray(np.abs(values[::2] - values[1::2]).max(axis=0) < _EVEN_LEVELS)


def _channels(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return luma and two colour differences: (..., 3) → (3, ...)."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([luma, 0.564 * (blue - luma), 0.713 * (red - luma)]).astype(np.float32)


def _candidates(steps: NDArray[np.float32], width: int) -> list[tuple[int, int]]:
    """Return the pairs of boundaries with a step along half of the columns or more: the upper one, and where it turns.

    Args:
        steps: (n, W), the jump over each boundary of a row of blocks.
        width: of a unit of blocks.
    """
    columns = np.arange(-(-_MIN_COLUMNS // width) * width, steps.shape[1] - _MIN_COLUMNS, width)
    scores, turns = zip(*(_stairs(steps, sign, columns) for sign in (1, -1)), strict=True)
    turn = np.where(scores[0] > scores[1], turns[0], turns[1])
    left = np.maximum(_MIN_COLUMNS, turn - _NONSENSE * width)
    found = half_stepped(steps, left, turn, _MIN_STEP)
    return [(int(row), int(turn[row])) for row in np.flatnonzero(found)]


def _stairs(
    steps: NDArray[np.float32], sign: int, columns: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return how well a stair, up or down, fits each pair of boundaries, and where it turns: both (n - 1,)."""
    parts = step_parts(steps, sign, _MAX_STEP, _MIN_STEP / 2, np.concatenate([[0], columns]))
    gains, turns = best_turns(parts)
    return gains + parts[:-1].sum(axis=1), columns[turns]


def _is_stair(steps: NDArray[np.float32], number: int, column: int, width: int) -> bool:
    """Return whether a step runs along line `number` + 1 up to a column and along line `number` from there on.

    Args:
        steps: (n, W), the jump over each boundary of a row of blocks.
        number: of the upper boundary.
        column: at which the step turns.
        width: of a unit of blocks.
    """
    upper, lower = steps[number], steps[number + 1]
    left, right = _halves(column, width)
    stepped = [float(np.median(lower[left])), float(np.median(upper[right]))]
    low, high = sorted(map(abs, stepped))
    if low < _MIN_STEP or high > 2 * low or stepped[0] * stepped[1] < 0:
        return False
    sign = np.sign(stepped[0])
    if min(_least_step(sign * part) for part in (lower[left], upper[right])) < _STEADY * low:
        return False
    plain = [float(np.median(upper[left])), float(np.median(lower[right]))]
    calm = min(float((np.abs(part) < low / 2).mean()) for part in (upper[left], lower[right]))
    if max(map(abs, plain)) > _MAX_PLAIN * low or calm < _CALM:
        return False
    others = np.delete(steps, [number, number + 1], axis=0)
    usual = max(float(np.percentile(np.abs(np.median(others[:, part], axis=1)), 90)) for part in (left, right))
    return low >= _UNUSUAL * usual


def _least_step(steps: NDArray[np.float32]) -> float:
    """Return the least median over the segments of half a stair; steps: (columns,), 48 and more."""
    segments = np.array_split(steps, min(_SEGMENTS, len(steps) // _MIN_SEGMENT))
    return min(float(np.median(segment)) for segment in segments)


def _warning(encoded: bytes) -> str | None:
    """Return what libjpeg warns of, without errors, which Pillow raises as well."""
    try:
        simplejpeg.decode_jpeg(encoded, "GRAY", strict=True)
    except ValueError as error:
        text = " ".join(str(error).split())
        return None if text.startswith(_HARMLESS) else text
    return None


def _without_padding(encoded: bytes) -> bytes:
    """Return the bytes without zeros at the end; a zero that is part of 0xFF00 stays."""
    bare = encoded.rstrip(b"\0")
    return bare + b"\0" if bare.endswith(b"\xff") and len(bare) < len(encoded) else bare


def _segments(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and stop of each segment; the coded bytes of a scan belong to it."""
    position = 2
    while match := _AFTER_SCAN.search(encoded, position):
        start, marker = match.start(), encoded[match.start() + 1]
        if marker == _EOI[1]:
            yield marker, start, start + 2
            return
        if marker in {0x01, 0xD8}:
            position = start + 2
            continue
        position = start + 2 + max(2, int.from_bytes(encoded[start + 2 : start + 4], "big"))
        yield marker, start, position


def _block_layout(encoded: bytes) -> tuple[int, int] | None:
    """Return height and width of a unit of blocks; None for colours that are not decoded to RGB."""
    for marker, start, stop in itertools.islice(_segments(encoded), 64):
        if marker not in _FRAMES:
            continue
        body = encoded[start + 4 : stop]
        try:
            count = body[5]
            sampling = [body[7 + 3 * i] for i in range(count)]
        except (IndexError, struct.error):
            return None
        if count not in {1, 3}:
            return None
        if count == 1:
            return 8, 8
        return 8 * max(s & 15 for s in sampling), 8 * max(s >> 4 for s in sampling)
    return None
