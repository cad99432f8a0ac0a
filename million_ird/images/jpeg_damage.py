"""Damage in a JPEG: what libjpeg only warns of, and shifts of brightness or colour that it cannot notice.

libjpeg replaces what it cannot decode by grey or by something else and says so in a warning, which Pillow swallows.
simplejpeg, a binding of the same libjpeg-turbo, raises it.

Some damage leaves a valid stream of the right length, and causes no warning: `jpeg_shift.py` looks for what it shifts.
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
from million_ird.images.jpeg_shift import find_shift

_EOI = b"\xff\xd9"
_SOS = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = frozenset(range(0xC9, 0xD0))
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_HARMLESS = (
    "Unknown Adobe",
    "Warning: unknown JFIF",
    "unknown JFIF",
    "Inconsistent progression sequence",
    "tj",  # errors of TurboJPEG itself, for example for a sampling that libjpeg reads, and so Pillow: not looked at
)


def with_end(encoded: bytes) -> bytes:
    """Return a JPEG with its end marker: put behind one that lacks nothing else; any other file is returned as it is.

    Padding of zeros in place of the marker does not matter. Nothing tells where a JPEG with arithmetic coding ends.
    """
    if not encoded.startswith(b"\xff\xd8") or encoded.endswith(_EOI) or has_end(encoded):
        return encoded
    complete = _without_padding(encoded) + _EOI
    return complete if _has_all_scans(encoded) and _warning(complete) is None else encoded


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


def _has_all_scans(encoded: bytes) -> bool:
    """Return whether the scans of a JPEG have all coefficients of all components to the last bit.

    libjpeg does not miss scans: a progressive file that is cut between two of them decodes without a warning.
    """
    missing: dict[int, set[int]] = {}
    try:
        for marker, start, stop in _segments(encoded):
            body = encoded[start + 4 : stop]
            if marker in _ARITHMETIC - {0xCC}:
                return False
            if marker in _FRAMES:
                missing = {body[6 + 3 * number]: set(range(64)) for number in range(body[5])}
            elif marker == _SOS:
                names, (first, last, bits) = body[1 : 1 + 2 * body[0] : 2], body[1 + 2 * body[0] :][:3]
                for name in names if bits & 15 == 0 else b"":
                    missing[name].difference_update(range(first, last + 1))
    except (IndexError, KeyError, ValueError):
        return False
    return bool(missing) and not any(missing.values())


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
