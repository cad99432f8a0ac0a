"""A conversion of 8-bit colours, computed once for each distinct colour of an image: compiled, exact for any one.

A photograph of 6 megapixels has some hundred thousand different colours. They are marked in a set of 2²⁴ bits (2 MB),
the conversion gets each once, and each pixel finds its own by the number of colours marked before it.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from million_ird.runtime.jit import compiled

Pixels: TypeAlias = NDArray[np.uint8]
Words: TypeAlias = NDArray[np.uint32]

_WORDS = 1 << 19
"""Of 32 colours each."""
_U32 = np.uint32


@compiled()
def _ones(word: np.uint32) -> np.uint32:
    """Return the number of bits set in a word."""
    pairs = _U32(word - ((word >> _U32(1)) & _U32(0x55555555)))
    fours = _U32((pairs & _U32(0x33333333)) + ((pairs >> _U32(2)) & _U32(0x33333333)))
    eights = _U32((fours + (fours >> _U32(4))) & _U32(0x0F0F0F0F))
    return _U32(_U32(eights * _U32(0x01010101)) >> _U32(24))


@compiled()
def _mark(pixels: Pixels, words: Words, before: Words) -> int:
    """Mark the colours of pixels (n, 3) in words; write how many are marked before each word; return how many are."""
    last = np.int64(-1)
    for k in range(pixels.shape[0]):
        code = (np.int64(pixels[k, 0]) << 16) | (np.int64(pixels[k, 1]) << 8) | np.int64(pixels[k, 2])
        if code != last:
            words[code >> 5] |= _U32(1) << _U32(code & 31)
            last = code
    count = np.int64(0)
    for w in range(words.shape[0]):
        before[w] = count
        count += np.int64(_ones(words[w]))
    return int(count)


@compiled()
def _list(words: Words, colours: Pixels) -> None:
    """Write the marked colours, in order, to (n, 3)."""
    n = 0
    for w in range(words.shape[0]):
        word = words[w]
        for bit in range(32 if word else 0):
            if (word >> _U32(bit)) & _U32(1):
                code = 32 * w + bit
                colours[n, 0] = code >> 16
                colours[n, 1] = (code >> 8) & 255
                colours[n, 2] = code & 255
                n += 1


@compiled()
def _replace(pixels: Pixels, words: Words, before: Words, colours: Pixels, out: Pixels) -> None:
    """Write to out (n, 3) the colour (m, 3) that each of pixels (n, 3) becomes."""
    last, at = np.int64(-1), np.int64(0)
    for k in range(pixels.shape[0]):
        code = (np.int64(pixels[k, 0]) << 16) | (np.int64(pixels[k, 1]) << 8) | np.int64(pixels[k, 2])
        if code != last:
            lower = words[code >> 5] & _U32((_U32(1) << _U32(code & 31)) - _U32(1))
            at = np.int64(before[code >> 5]) + np.int64(_ones(_U32(lower)))
            last = code
        out[k, 0] = colours[at, 0]
        out[k, 1] = colours[at, 1]
        out[k, 2] = colours[at, 2]


def convert_distinct(pixels: Pixels, convert: Callable[[Pixels], Pixels]) -> Pixels:
    """Return an image with each colour converted.

    Args:
        pixels: (H, W, 3).
        convert: from (1, n, 3) to (1, n, 3), each colour by itself.

    Returns:
        (H, W, 3).
    """
    flat = np.require(pixels, requirements=["C", "W"]).reshape(-1, 3)  # numba compiles once more for what is read-only
    words, before = np.zeros(_WORDS, np.uint32), np.empty(_WORDS, np.uint32)
    colours = np.empty((_mark(flat, words, before), 3), np.uint8)
    _list(words, colours)
    converted = np.array(convert(colours[None])[0])
    out = np.empty_like(flat)
    _replace(flat, words, before, converted, out)
    return out.reshape(pixels.shape)
