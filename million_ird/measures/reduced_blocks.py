"""Frequencies of JPEG's blocks in an image that was reduced after it was a JPEG.

Blocks of 8 px become blocks of 8 s px when an image is reduced by a factor s. Steps are larger at their borders than
within, so the series of mean steps along lines has peaks with that period. In its spectrum these are a line at
1 / (8 s) and more lines at multiples of it. Enlarging leaves lines, too, but

- a peak's lines have one phase: that at twice a frequency is twice that at the frequency. Steps between enlarged pixels
  rather have dips, for which it is half a turn more, or go up and down as a sine does, without a second line;
- the blocks of an enlarged JPEG are lines under an eighth, so that a line at 1 / 8 to 1 / 5 can be a multiple of them.
  Then there are lines at a half or at three halves of its frequency, too.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import maximum_filter1d

from million_ird.images.line_steps import Floats

WINDOW = 31
"""Places around each that a series is divided by the mean of."""
CHANCE = 5.0
"""Lines of up to this many times the median of a spectrum occur by chance."""
_LENGTH = 16384
"""Samples of the spectrum, and the most places of a series that are looked at."""
SIXTH = 0.6
"""What lines of sixth differences count: they are higher by chance, too, and in slightly reduced images."""
_LOWEST, _HIGHEST = 0.126, 0.19
"""Frequencies at which blocks are looked for: images reduced to 0.99 to 0.66. Smaller ones hardly show any, and one
enlarged by 1.25 has its line at a fifth."""
_LEAST = 0.006
"""Weaker lines are not taken for blocks, because then nothing at their multiples would count either."""
_HEARD = 0.012
"""The phases of lines with at least this amplitude are compared."""
_SECOND = 0.12, 2.0
"""A peak's second line has a share of the first between these; enlarging by 1.4 gives a weak one at a seventh."""
_TURN = np.pi / 4
"""Its phase is that of a peak within this angle."""
_BETWEEN = 0.5
"""A line with this share of it at a half or at three halves of its frequency is a multiple of a lower one."""
_MULTIPLES = 8
"""In an image reduced by s the eighth is at 1 / s, where a reduction without enough averaging leaves its own line."""
_NEAR = 0.006


def deviations(steps: Floats) -> NDArray[np.float64]:
    """Return how far each of a series of mean steps is from the mean around it, as a share; (n,) → (n,), in -1 to 1."""
    series = steps[None]
    usual = np.maximum(cv2.blur(series, (WINDOW, 1)), 0.05)
    return np.clip(series / usual - 1, -1, 1).ravel().astype(np.float64)


def find_reduced_blocks(pairs: Sequence[tuple[Floats, Floats]]) -> NDArray[np.float64]:
    """Return frequencies, in parts of the sampling rate, at which there are blocks.

    Args:
        pairs: Mean steps along rows and along columns: first, second and sixth differences.
    """
    lines = np.array([[_spectrum(steps) for steps in pair] for pair in pairs])
    amplitude = np.abs(lines)
    counts = np.array([[1.0], [1.0], [SIXTH]])
    beyond = amplitude - CHANCE * np.median(amplitude, axis=2, keepdims=True)
    shared, beyond = ((counts * each.min(axis=1)).max(axis=0) for each in (amplitude, beyond))
    lobe = _LENGTH // min(map(len, pairs[0]))
    place = np.arange(int(_LOWEST * _LENGTH), int(_HIGHEST * _LENGTH))
    place = place[shared[place] == maximum_filter1d(shared, 2 * lobe + 1)[place]]
    first, second = lines[..., place], lines[..., 2 * place]
    heard = np.abs(first) > _HEARD
    turned = np.abs(np.angle(second * np.conj(first) ** 2))
    share = np.abs(second) / np.maximum(np.abs(first), _HEARD)
    peaks = heard & (share > _SECOND[0]) & (share < _SECOND[1]) & (turned < _TURN)
    n_heard, n_peaks = (np.count_nonzero(each, axis=(0, 1)) for each in (heard, peaks))
    between = np.maximum(shared[place // 2], shared[3 * place // 2])
    found = (beyond[place] > _LEAST) & (2 * n_peaks >= np.maximum(n_heard, 1)) & (between < _BETWEEN * shared[place])
    return np.asarray(place[found] / _LENGTH, np.float64)


def near_multiples(blocks: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which frequencies, 0 to 0.5, are near to a multiple of those of blocks as sampling folds it."""
    multiples = np.outer(np.arange(1, _MULTIPLES + 1), blocks).ravel() % 1
    folded = np.append(np.unique(np.minimum(multiples, 1 - multiples)), np.inf)
    after = np.searchsorted(folded, frequencies - _NEAR)
    return np.asarray(folded[after] <= frequencies + _NEAR)


def _spectrum(steps: Floats) -> NDArray[np.complex128]:
    """Return the lines of the beginning of a series, with their phases; (n,) → (_LENGTH / 2 + 1,)."""
    ratio = deviations(steps[:_LENGTH])
    window = np.hanning(len(ratio))
    return np.asarray(fft.rfft(ratio * window, _LENGTH) * (2 / window.sum()), np.complex128)
