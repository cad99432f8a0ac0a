"""Features of NIQE and BRISQUE from sums over pixels: shapes and widths of generalised Gaussians."""

import importlib.resources
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

FEATURES = 36
"""18 at full size and 18 at half: shape and width of the luma, and four numbers for each of four neighbours."""
TABLES = "nss_tables.npz"
"""`shapes`, `rising` and `falling`, see `_tables`; written by `benchmarks/nss_tables.py`."""


@cache
def _tables() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return shapes a (0.2 to 10 by 0.001), r = Γ(2/a)² / (Γ(1/a) Γ(3/a)), and 1/r: (9801,) float32 each.

    They are read from a file because BRISQUE depends on their last bits: one step of a shape changes a score by up to
    0.05, and PyTorch's lgamma in float32 is off by 60 units in the last place where it crosses zero. Computing the
    same values needs PyTorch, whose import takes some 400 MB in every worker.
    """
    with (importlib.resources.files(__package__) / TABLES).open("rb") as file, np.load(file) as arrays:
        return arrays["shapes"], arrays["rising"], arrays["falling"]


@cache
def _rising64() -> NDArray[np.float64]:
    """Return r of `_tables` in float64, (9801,), in which NIQE looks up shapes."""
    a = _tables()[0].astype(np.float64)
    return np.asarray(np.exp(2 * gammaln(2 / a) - gammaln(1 / a) - gammaln(3 / a)))


def _nearest_rising(table: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the index of the nearest entry of a rising table for each value, the first of two; 0 for a NaN."""
    right = np.clip(np.searchsorted(table, values), 1, len(table) - 1)
    index = np.where(values - table[right - 1] <= table[right] - values, right - 1, right)
    return np.where(np.isfinite(values), index, 0)


def niqe_features(sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return NIQE's features of one scale for each of n blocks.

    Mittal et al. 2013, equations 4 to 8: shape and mean width of the luma; for each neighbour the shape, the mean,
    the left and the right width of an asymmetric generalised Gaussian fitted by its moments.

    Args:
        sums: (n, 5, 5), see `nss_kernels.block_sums`.
        count: pixels of a block.

    Returns:
        (n, 18) float64, NaN where undefined.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        left = np.sqrt(sums[..., 2] / sums[..., 0])
        right = np.sqrt(sums[..., 3] / sums[..., 1])
        squares = (sums[..., 2] + sums[..., 3]) / count
        ratio = left / right
        peak = (sums[..., 4] / count) ** 2 / squares
        norm = peak * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
        shape = _tables()[0][_nearest_rising(_rising64(), norm)].astype(np.float64)
        spread = np.sqrt(np.exp(gammaln(1 / shape) - gammaln(3 / shape)))
        left, right = left * spread, right * spread
        mean = (right - left) * np.exp(gammaln(2 / shape) - gammaln(1 / shape))
    own = np.stack([shape[:, 0], (left[:, 0] + right[:, 0]) / 2], axis=-1)
    pairs = np.stack([shape, mean, left, right], axis=-1)[:, 1:].reshape(len(sums), 16)
    return np.concatenate([own, pairs], axis=1)


def brisque_features(sums: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """Return BRISQUE's features of one scale.

    Mittal et al. 2012, equations 4 to 10. All in float32, as in pyiqa: the nearest entry of a table is looked up, and
    rounding decides between neighbouring entries.

    Args:
        sums: (5, 5), see `nss_kernels.whole_sums`.
        count: pixels of the image.

    Returns:
        (18,) float32, NaN where undefined.
    """
    shapes, rising, falling = _tables()
    f = np.float32
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        variance = f((sums[0, 2] + sums[0, 3]) / count)
        size = f(sums[0, 4] / count)
        rho = variance / (size * size)
        features = [shapes[np.argmin(np.abs(rho - falling))], np.sqrt(variance) ** 2]
        for below, above, left_squares, right_squares, sizes in sums[1:]:
            left, right = np.sqrt(f(left_squares / below)), np.sqrt(f(right_squares / above))
            ratio = left / right
            size, squared = f(sizes / count), ratio * ratio
            peak = (size * size) / f((left_squares + right_squares) / count)
            norm = (peak * (squared * ratio + f(1)) * (ratio + f(1))) / ((squared + f(1)) * (squared + f(1)))
            shape = shapes[np.argmin(np.abs(rising - norm))]
            one, two, three = (gammaln(f(k) / shape) for k in (1, 2, 3))
            mean = (right - left) * np.exp(two - (one + three) / f(2))
            features += [shape, mean, left**2, right**2]
    return np.array(features, np.float32)
