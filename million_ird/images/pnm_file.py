"""PNM and PAM: samples of any maxval, and floats (PFM)."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.errors import ReadError
from million_ird.images.colour_rules import Alpha, ColourLayout
from million_ird.images.samples import Samples

_GAP = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])"
_HEADERS = {
    **dict.fromkeys((b"P1", b"P4"), re.compile(rb"P[14]" + 2 * (_GAP + rb"+(\d{1,9})"))),
    **dict.fromkeys((b"P2", b"P3", b"P5", b"P6"), re.compile(rb"P[2356]" + 3 * (_GAP + rb"+(\d{1,9})"))),
    **dict.fromkeys(
        (b"Pf", b"PF"),
        re.compile(rb"P[fF]" + 2 * (_GAP + rb"+(\d{1,9})") + _GAP + rb"+([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)"),
    ),
}
_PAM_LINE = re.compile(rb"(?:#[^\n]*|[ \t]*(WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE|ENDHDR)[ \t]*([^\n]*?)[ \t\r]*)\n")
_PAM_TYPES: tuple[tuple[str, str, int], ...] = (
    ("BLACKANDWHITE", "grey", 1),
    ("GRAYSCALE", "grey", 1),
    ("RGB", "rgb", 3),
    ("CMYK", "cmyk", 4),
)
_MAX_HEADER = 1 << 16


@dataclass(frozen=True, slots=True)
class PnmFile:
    """The header of a PNM, PAM or PFM file."""

    layout: ColourLayout
    width: int
    height: int
    channels: int
    maxval: float
    """For floats the scale, which is negative in a file of little-endian numbers."""
    kind: bytes
    """P1 to P7, Pf, PF."""
    start: int
    """Where the samples start."""

    @property
    def by_pillow(self) -> bool:
        """Whether Pillow reads it: no more than 8 bits, and no PAM."""
        return self.kind not in {b"P7", b"Pf", b"PF"} and self.maxval <= 255


def is_pnm(encoded: bytes) -> bool:
    """Return whether a file starts as one of these formats."""
    if encoded.startswith(b"P7\n"):
        return _PAM_LINE.match(encoded, 3, 3 + _MAX_HEADER) is not None
    header = _HEADERS.get(encoded[:2])
    return header is not None and header.match(encoded[:_MAX_HEADER]) is not None


def read_pnm(encoded: bytes) -> PnmFile:
    """Read the header.

    Raises:
        ReadError: `undecodable` for a header that is not well formed, `unsupported` for other tuples than of grey, RGB
            and CMYK.
    """
    kind = encoded[:2]
    if kind == b"P7":
        return _read_pam(encoded)
    match = _HEADERS[kind].match(encoded[:_MAX_HEADER])
    if match is None:
        raise ReadError("undecodable", "a PNM without a whole header")
    width, height = int(match[1]), int(match[2])
    floats = kind in {b"Pf", b"PF"}
    maxval = float(match[3]) if floats else int(match[3]) if kind not in {b"P1", b"P4"} else 1
    channels = 3 if kind in {b"P3", b"P6", b"PF"} else 1
    if not width or not height or not maxval or (not floats and not 1 <= maxval <= 65535):
        raise ReadError("undecodable", f"a PNM of {width}×{height} and maxval {maxval}")
    layout = ColourLayout(
        container="PPM",
        model="rgb" if channels == 3 else "grey",
        bits=32 if floats else int(maxval).bit_length(),
        numbers="float" if floats else "unsigned",
    )
    return PnmFile(layout, width, height, channels, maxval, kind, match.end() + 1)


def read_pnm_samples(encoded: bytes, file: PnmFile) -> Samples:
    """Return the samples of a file that `PnmFile.by_pillow` leaves to this module.

    Raises:
        ReadError: `truncated`; `undecodable` for a sample above maxval.
    """
    count = file.width * file.height * file.channels
    if file.kind in {b"Pf", b"PF"}:
        levels = _stored(encoded, file.start, count, "<f4" if file.maxval < 0 else ">f4").astype(np.float32)
        upright = levels.reshape(file.height, file.width, file.channels)[::-1]
        return Samples(levels=upright, model=file.layout.model, white=1)
    if file.kind in {b"P2", b"P3"}:
        levels = _decimal(encoded[file.start - 1 :], count)
    else:
        levels = _stored(encoded, file.start, count, "u1" if file.maxval <= 255 else ">u2")
    if levels.max() > file.maxval:
        raise ReadError("undecodable", f"a PNM with a sample above its maxval {file.maxval}")
    levels = levels.astype(np.uint16 if file.maxval > 255 else np.uint8)
    return Samples(
        levels=levels.reshape(file.height, file.width, file.channels),
        model=file.layout.model,
        white=file.maxval,
        alpha=file.layout.alpha,
    )


def _read_pam(encoded: bytes) -> PnmFile:
    values: dict[bytes, bytes] = {}
    position = 3
    while (line := _PAM_LINE.match(encoded, position, position + _MAX_HEADER)) is not None and position < _MAX_HEADER:
        position = line.end()
        if line[1] == b"ENDHDR":
            break
        if line[1]:
            values[line[1]] = b" ".join(filter(None, [values.get(line[1], b""), line[2]]))
    else:
        raise ReadError("undecodable", "a PAM without a whole header")
    try:
        width, height, channels, maxval = (int(values[n]) for n in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError) as error:
        raise ReadError("undecodable", "a PAM without a whole header") from error
    if min(width, height, channels) < 1 or not 1 <= maxval <= 65535:
        raise ReadError("undecodable", f"a PAM of {width}×{height}×{channels} and maxval {maxval}")
    model, alpha = _tuple_type(values.get(b"TUPLTYPE", b"").decode("latin-1"), channels)
    layout = ColourLayout(container="PAM", model=model, bits=maxval.bit_length(), alpha=alpha)
    return PnmFile(layout, width, height, channels, maxval, b"P7", position)


def _tuple_type(name: str, channels: int) -> tuple[str, Alpha]:
    name = name or {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}.get(channels, "")
    for known, model, n_colours in _PAM_TYPES:
        if (name, channels) == (known, n_colours):
            return model, "none"
        if (name, channels) == (f"{known}_ALPHA", n_colours + 1):
            return model, "straight"
    raise ReadError("unsupported", f"a PAM of {channels} channels called {name or 'nothing'}")


def _stored(encoded: bytes, start: int, count: int, dtype: str) -> NDArray[Any]:
    size = count * np.dtype(dtype).itemsize
    if len(encoded) - start < size:
        raise ReadError("truncated", "a PNM that ends before its pixels")
    return np.frombuffer(encoded, dtype, count, start)


def _decimal(text: bytes, count: int) -> NDArray[Any]:
    words = re.sub(rb"#[^\r\n]*", b" ", text).split(maxsplit=count)[:count]
    if len(words) < count:
        raise ReadError("truncated", "a PNM that ends before its pixels")
    try:
        return np.array(words, np.int64)
    except (ValueError, OverflowError) as error:
        raise ReadError("undecodable", "a PNM with a sample that is no number") from error
