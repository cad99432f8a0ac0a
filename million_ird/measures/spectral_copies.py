"""Copies in the spectrum: an image that was enlarged has above its old Nyquist frequency what it has below.

Enlarging by s puts the pixels of the small image s px apart and fills what is between with a filter. Without the filter
the spectrum repeats every 1/s of the sampling rate, and the filter only weakens the repetitions. So what an enlarged
image has at a high frequency is what it has at that frequency less 1/s, times a number that is the same everywhere in
the image; in a photograph the two have nothing to do with each other. This is the spectral coherence of
cyclostationary signals (Gardner 1991, "Exploitation of spectral redundancy in cyclostationary signals"). Coherence
depends neither on how sharp the photograph was nor on sharpening after the enlargement, and a reduced image has none.

- `spectral_copies` (0 to 1, down is better): the largest coherence at one distance, beyond that at the distances
  around it and beyond chance, the lower of that along rows and along columns. Distances are those of enlargements by
  1.17 to 2.5. Photographs mostly have less than 0.02, images enlarged by 1.25 and more mostly 0.04 to 0.7.

Rows of windows make frequencies coherent, too, but only here and there. The pixels of an enlarged image lie on one
lattice, so between two places the phase of the coherence advances by their distance over the period of the lattice.
Along rows and along columns the period is about the same, within 2 % where an image was fitted to a size. Copies
count the less, the less of them is in phase over the whole image with any one period (`_in_phase`); where there are few
tiles, chance looks the same, and they count in full.

Blocks of 8 px, JPEG's and those of other codecs, make frequencies coherent that lie any multiple of an eighth apart,
the more the farther. So these distances do not count, but for three of them, which are those of enlarging by 2, 1.6 and
1.33: a half, five eighths and three quarters. There coherence counts beyond the mean of that at the eighths before and
after, 0.8, 1 and 0.25 times; in a lossy WebP, whose blocks of 4 px make a half and three quarters stand out as
enlarging does, 0.25, 1 and 0.08 times.

Just beside seven eighths the blocks of JPEG leave more than elsewhere, so there a fifth counts. A pattern that repeats
every 5 px, say, in both directions, such as a screen, can look like an enlargement.

Some coherence has other reasons, such as, at a half, the simple interpolation of a camera's colour filters. Such images
have structure up to Nyquist, which enlarged ones have not. So all of it counts the less, the lower `cutoff` is
(resolution.py), doubling more so. Repeated pixels have it, too: `resampled` finds them.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

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
_HALF, _FIVE_EIGHTHS, _THREE_QUARTERS = 64, 80, 96
_WEIGHTS = {_HALF: 0.8, _FIVE_EIGHTHS: 1.0, _THREE_QUARTERS: 0.25}
_WEIGHTS_IN_WEBP = {_HALF: 0.25, _FIVE_EIGHTHS: 1.0, _THREE_QUARTERS: 0.08}
"""How much coherence beyond that of blocks counts. Photographs mostly have up to 0.03 at a half and at five eighths,
and up to 0.12 at three quarters; saved as WebP mostly up to 0.12 at a half and 0.35 at three quarters."""
_TRUSTED, _TRUSTED_DOUBLING = (20.0, 28.0), (26.0, 32.0)
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
_MANY_TILES = 16
"""From so many tiles on chance can be told from phases that agree."""
_PHASES_DIFFER, _PHASES_AGREE = 0.3, 0.4
"""Shares in phase up to which copies do not count, and from which on they count in full, of 24 tiles. Chance and rows
of windows have up to 0.31, enlarged images mostly 0.5 to 0.97, few less than 0.45."""
_PERIODS_PER_STEP = 2
"""Periods that are tried for each turn of the phase from one side of the image to the other."""
_LEAST = 1e-9
"""Added to the power of a row of coefficients, so that an even tile is not coherent."""


def spectral_copies(tiles: Floats, corners: NDArray[np.intp], cutoff: float, *, webp: bool = False) -> float:
    """Return the largest coherence of high with low frequencies that enlarging explains and blocks do not.

    Args:
        tiles: (n, 128, 128), zero mean, from the image at multiples of 8 px.
        corners: (n, 2), the row and the column of the first pixel of each.
        cutoff: of the image in dB, see resolution.py.
        webp: whether the image is a lossy WebP.
    """
    window = np.hanning(_SIDE).astype(np.float32)
    spectra = np.asarray(fft.fft2(tiles * (window[:, None] * window)), np.complex64)
    columns, rows = _coherence(spectra.swapaxes(1, 2)), _coherence(spectra)
    along = np.stack([columns.squared, rows.squared])
    peak, place = _highest_peak(along.min(axis=0), len(tiles))
    if peak > 0 and len(tiles) >= _MANY_TILES:
        share = _in_phase([columns.sums, rows.sums], corners.T[::-1] + _SIDE // 2, place)
        peak *= _counts(share, _PHASES_DIFFER, _PHASES_AGREE)
    weights = _WEIGHTS_IN_WEBP if webp else _WEIGHTS
    beyond = {distance: weight * _beyond_blocks(along, distance) for distance, weight in weights.items()}
    found = max(peak, beyond[_FIVE_EIGHTHS], beyond[_THREE_QUARTERS])
    return max(_counts(cutoff, *_TRUSTED) * found, _counts(cutoff, *_TRUSTED_DOUBLING) * beyond[_HALF], 0.0)


def _counts(value: float, nothing: float, full: float) -> float:
    """Return how much coherence counts: 0 up to the value `nothing`, 1 from `full` on."""
    return min(max((value - nothing) / (full - nothing), 0.0), 1.0)


def _beyond_blocks(along: NDArray[np.float64], distance: int) -> float:
    """Return the coherence at a distance beyond that of blocks, the lower of both axes.

    Args:
        along: (2, m), of both axes, in the order of `_DISTANCES`.
        distance: a multiple of an eighth of the sampling rate.
    """
    before, here, after = (along[:, distance + step - _DISTANCES[0]] for step in (-_BLOCKS, 0, _BLOCKS))
    return float((here - (before + after) / 2).min())


class _Coherence(NamedTuple):
    """The coherence of frequencies along one axis at each distance, in the order of `_DISTANCES`."""

    squared: NDArray[np.float64]
    """(m,), the mean of its square over all tiles and pairs of frequencies, beyond that of chance."""
    sums: Spectra
    """(n, m), the complex sum over the pairs of each tile; its phase is that at the middle of the tile."""


def _coherence(spectra: Spectra) -> _Coherence:
    """Return the coherence of frequencies along the second axis; spectra: (n, 128, 128)."""
    values = spectra[:, :, _OTHERS]
    values = values / np.sqrt((values.real**2 + values.imag**2).sum(axis=2, keepdims=True) + _LEAST)
    products = values[:, _LOWEST:_HIGHEST] @ values[:, _BELOW].conj().swapaxes(1, 2)
    squared = (products.real**2 + products.imag**2).mean(axis=0)
    above, below, starts = _pairs()
    means = np.add.reduceat(squared[above, below], starts) / np.diff(starts, append=len(above))
    sums = np.add.reduceat(products[:, above, below], starts, axis=1) * np.where(_DISTANCES % 2, -1, 1)
    return _Coherence(np.asarray((means * len(_OTHERS) - 1) / (len(_OTHERS) - 1), np.float64), sums)


def _in_phase(sums: Sequence[Spectra], middles: NDArray[np.intp], place: int) -> float:
    """Return the share of the coherence near a distance that is in phase with the period that suits it best, 0 to 1.

    Each axis has its own period; the share is the lower one of the two.

    Args:
        sums: those of `_Coherence`, of both axes.
        middles: (2, n), where the middles of the tiles are along these axes, in px.
        place: of the distance in `_DISTANCES`.
    """
    extent = int((middles.max(axis=1) - middles.min(axis=1)).max()) + _SIDE
    steps = _PERIODS_PER_STEP * -(-extent // _SIDE)
    near = np.arange(place - _NEAR_BLOCKS, place + _NEAR_BLOCKS + 1)
    lattices = (_DISTANCES[near, None] + (np.arange(steps) + 0.5) / steps - 0.5) / _SIDE
    shares = []
    for values, middle in zip(sums, middles, strict=True):
        turned = np.exp(-2j * np.pi * middle[:, None, None] * lattices)
        total = np.abs(np.einsum("nd,nds->ds", values[:, near], turned)) ** 2
        most = len(middle) * (np.abs(values[:, near]) ** 2).sum(axis=0)
        shares.append(float((total / np.maximum(most, _LEAST)[:, None]).max()))
    return min(shares)


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


def _highest_peak(coherence: NDArray[np.float64], tiles: int) -> tuple[float, int]:
    """Return how far the highest distance that counts is above those around it and above chance, and its place.

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
    peaks = share * (coherence[places] - around - chance)
    return float(peaks.max()), int(places[peaks.argmax()])
