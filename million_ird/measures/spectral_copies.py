"""Copies in the spectrum: an image that was enlarged has above its old Nyquist frequency what it has below.

Enlarging by s puts the pixels of the small image s px apart and fills what is between with a filter. Without the filter
the spectrum repeats every 1/s of the sampling rate, and the filter only weakens the repetitions. So what an enlarged
image has at a high frequency is what it has at that frequency less 1/s, times a number that is the same everywhere in
the image; in a photograph the two have nothing to do with each other. This is the spectral coherence of
cyclostationary signals (Gardner 1991, "Exploitation of spectral redundancy in cyclostationary signals"). Coherence
depends neither on how sharp the photograph was nor on sharpening after the enlargement, and a reduced image has none.

- `spectral_copies` (0 to 1, down is better): the largest coherence at one distance, beyond that at the distances
  around it and beyond chance, the lower of that along rows and along columns. Distances are those of enlargements by
  1.17 to 2.5. Photographs mostly have less than 0.03, images enlarged by 1.25 and more mostly 0.04 to 0.7.

Blocks of 8 px, JPEG's and those of other codecs, make frequencies coherent that lie any multiple of an eighth apart. So
these distances do not count, but for three of them:

- a half, which is doubling: what it has beyond three eighths counts 0.4 times;
- five eighths, which is enlarging by 1.6. The blocks explain 0.3 of the coherence at a half, 0.3 of that at three
  quarters and 0.1 of that at seven eighths; what is beyond these three counts 0.45 times;
- three quarters, which is enlarging by 1.33. The blocks explain the coherence at five eighths and a fifth of that at
  seven eighths; what is beyond these two counts 0.1 times.

Just beside seven eighths the blocks of JPEG leave more than elsewhere, so there a fifth counts. A pattern that repeats
every 5 px, say, in both directions, such as a screen, can look like an enlargement.

Some coherence has other reasons: the blocks of WebP and AVIF, and at a half the simple interpolation of a camera's
colour filters. Such images have structure up to Nyquist, which enlarged ones have not. So all of it counts the less,
the lower `cutoff` is (resolution.py), doubling more so. Repeated pixels have it, too: `resampled` finds them.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Spectra = NDArray[np.complex64]
Floats = NDArray[np.float32]

_SIDE = 128
_NEAREST, _FARTHEST = 51, 109
"""Distances that count, in 128ths of the sampling rate: of enlargements by 2.5 and by 1.17."""
_AROUND = (-6, -5, -4, -3, 3, 4, 5, 6)
"""Where the distances lie with which one is compared; the window blurs one over two on each side."""
_DISTANCES = np.arange(_NEAREST + _AROUND[0], _FARTHEST + _AROUND[-1] + 1)
_BLOCKS, _NEAR_BLOCKS = 16, 2
"""Distances of blocks of 8 px are multiples of the former, and blurred over the latter."""
_THREE_EIGHTHS, _HALF, _FIVE_EIGHTHS, _THREE_QUARTERS, _SEVEN_EIGHTHS = 48, 64, 80, 96, 112
_DOUBLING, _EIGHT_FIFTHS, _FOUR_THIRDS = 0.4, 0.45, 0.1
"""Photographs mostly have up to 0.06, 0.04 and 0.24 of these beyond what their blocks explain, and 0.02 elsewhere."""
_TRUSTED, _TRUSTED_DOUBLING = (20.0, 28.0), (28.0, 34.0)
"""`cutoff` in dB, up to which coherence, and that at a half, does not count, and from which on it counts in full."""
_BESIDE_SEVEN_EIGHTHS, _SHARE_BESIDE = 103, 0.2
"""From this distance on the blocks of JPEG leave up to 0.06, elsewhere 0.015."""
_LOWEST, _HIGHEST = 34, 62
"""Frequencies that may be copies, in 128ths; nearer to Nyquist most kernels leave too little."""
_BAND_OF_DOUBLING = range(_LOWEST, 54)
_BELOW = np.arange(-57, 10)
"""Frequencies that they can be copies of, at all of the distances."""
_OTHERS = np.r_[1:33, _SIDE - 32 : _SIDE]
"""Frequencies along the other axis, up to half of Nyquist in each sign: where tiles have most of their structure."""
_CHANCE = 5.0
"""Standard deviations that a mean of chance may be above that of others: the highest of 44, of few tiles."""
_LEAST = 1e-9
"""Added to the power of a row of coefficients, so that an even tile is not coherent."""


def spectral_copies(tiles: Floats, cutoff: float) -> float:
    """Return the largest coherence of high with low frequencies that enlarging explains and blocks do not.

    Args:
        tiles: (n, 128, 128), zero mean, from the image at multiples of 8 px.
        cutoff: of the image in dB, see resolution.py.
    """
    window = np.hanning(_SIDE).astype(np.float32)
    spectra = np.asarray(fft.fft2(tiles * (window[:, None] * window)), np.complex64)
    along = np.stack([_coherence(spectra.swapaxes(1, 2)), _coherence(spectra)])
    found = max(
        _highest_peak(along.min(axis=0), len(tiles)),
        _EIGHT_FIFTHS * _of_eight_fifths(along),
        _FOUR_THIRDS * _of_four_thirds(along),
    )
    doubled = _trust(cutoff, *_TRUSTED_DOUBLING) * _DOUBLING * _of_two(along)
    return max(_trust(cutoff, *_TRUSTED) * found, doubled, 0.0)


def _trust(cutoff: float, nothing: float, full: float) -> float:
    """Return how much coherence counts in an image with this `cutoff`, 0 to 1."""
    return min(max((cutoff - nothing) / (full - nothing), 0.0), 1.0)


def _of_two(along: NDArray[np.float64]) -> float:
    """Return the coherence of doubling beyond that of blocks; along: (2, n), of both axes, as of `_coherence`."""
    return float((_at(along, _HALF) - _at(along, _THREE_EIGHTHS)).min())


def _of_eight_fifths(along: NDArray[np.float64]) -> float:
    """Return the coherence of an enlargement by 1.6 beyond that of blocks."""
    of_blocks = 0.3 * (_at(along, _HALF) + _at(along, _THREE_QUARTERS)) + 0.1 * _at(along, _SEVEN_EIGHTHS)
    return float((_at(along, _FIVE_EIGHTHS) - of_blocks).min())


def _of_four_thirds(along: NDArray[np.float64]) -> float:
    """Return the coherence of an enlargement by four thirds beyond that of blocks."""
    of_blocks = _at(along, _FIVE_EIGHTHS) + _at(along, _SEVEN_EIGHTHS) / 5
    return float((_at(along, _THREE_QUARTERS) - of_blocks).min())


def _at(along: NDArray[np.float64], distance: int) -> NDArray[np.float64]:
    return along[:, distance - _DISTANCES[0]]


def _coherence(spectra: Spectra) -> NDArray[np.float64]:
    """Return the mean squared coherence of frequencies along the second axis, at each distance, beyond that of chance.

    Args:
        spectra: (n, 128, 128).

    Returns:
        (n,), in the order of `_DISTANCES`.
    """
    values = spectra[:, :, _OTHERS]
    values = values / np.sqrt((values.real**2 + values.imag**2).sum(axis=2, keepdims=True) + _LEAST)
    products = values[:, _LOWEST:_HIGHEST] @ values[:, _BELOW].conj().swapaxes(1, 2)
    squared = (products.real**2 + products.imag**2).mean(axis=0)
    above, below, starts = _pairs()
    means = np.add.reduceat(squared[above, below], starts) / np.diff(starts, append=len(above))
    return np.asarray((means * len(_OTHERS) - 1) / (len(_OTHERS) - 1), np.float64)


@cache
def _pairs() -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the places in `products` of all frequencies and their copies, and where those of each distance start."""
    bands = [_band(distance) for distance in _DISTANCES.tolist()]
    above = np.concatenate([np.array(band) for band in bands])
    lengths = np.array([len(band) for band in bands])
    below = above - np.repeat(_DISTANCES, lengths)
    return above - _LOWEST, below - _BELOW[0], np.cumsum(lengths) - lengths


def _band(distance: int) -> range:
    """Return the frequencies that are copies: those above the old Nyquist frequency, which is half the distance.

    Up to doubling the band is fixed, above a quarter of the sampling rate.
    """
    return _BAND_OF_DOUBLING if distance <= _HALF + _NEAR_BLOCKS else range(distance // 2 + 2, _HIGHEST)


def _highest_peak(coherence: NDArray[np.float64], tiles: int) -> float:
    """Return how far the highest distance that counts is above those around it, and above chance.

    Args:
        coherence: as `_coherence` returns it.
        tiles: how many tiles it is of.
    """
    of_blocks = _BLOCKS * np.rint(_DISTANCES / _BLOCKS)
    counts = (np.abs(_DISTANCES - of_blocks) > _NEAR_BLOCKS) & (_DISTANCES >= _NEAREST) & (_DISTANCES <= _FARTHEST)
    places = np.flatnonzero(counts)
    around = np.median(coherence[places[:, None] + np.array(_AROUND)], axis=1)
    lengths = np.array([len(_band(distance)) for distance in _DISTANCES[places].tolist()])
    chance = _CHANCE / (len(_OTHERS) * np.sqrt(tiles * lengths))
    share = np.where(_DISTANCES[places] >= _BESIDE_SEVEN_EIGHTHS, _SHARE_BESIDE, 1.0)
    return float((share * (coherence[places] - around - chance)).max())
