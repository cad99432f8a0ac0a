"""NIQE and BRISQUE, by natural-scene statistics: how far local contrasts of an image are from a photograph's.

Both normalise the luma by its local mean and deviation, at full and at half size, and describe the result and its
products with four neighbours by 18 numbers per scale. BRISQUE (Mittal, Moorthy and Bovik, "No-Reference Image Quality
Assessment in the Spatial Domain", 2012) takes them over the whole image and applies a regression; NIQE (Mittal,
Soundararajan and Bovik, "Making a 'Completely Blind' Image Quality Analyzer", 2013) takes them block by block and
measures the distance to those of pristine blocks. Lower is better: NIQE is about 2 to 5 on good photographs and
over 10 on drawings, BRISQUE about 0 to 30 and over 80.

- `niqe_ird` (≥ 0, down is better): NIQE with the pristine model of this project.

With the same parameters, the scores equal pyiqa's `niqe` and `brisque`. They are null where pyiqa's are not finite,
for an image of less than 96 pixels in height or width, and for one of a single luma.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.measure_types import Tier
from million_ird.measures import nss_kernels as kernels
from million_ird.measures import nss_planes
from million_ird.measures.nss_features import brisque_features, niqe_features
from million_ird.measures.nss_models import BrisqueModel, NiqeModel, load_niqe_ird

MIN_SIDE = kernels.BLOCK
"""Pixels that an image must have in both directions: one of NIQE's blocks."""
MAX_REPEATABLE_PIXELS = 1 << 20
"""Up to this number of pixels, BRISQUE's regression repeats PyTorch's rounding, see `_brisque_score`."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3) sRGB or (H, W) grey, 8 or 16 bits."""


@dataclass(frozen=True, slots=True)
class NssScores:
    """The requested scores; None for one that was not requested or does not apply."""

    niqe_ird: float | None = None
    niqe: float | None = None
    brisque: float | None = None


def score(
    pixels: Pixels,
    *,
    niqe_ird: NiqeModel | None = None,
    niqe: NiqeModel | None = None,
    brisque: BrisqueModel | None = None,
) -> NssScores:
    """Return the scores whose models are given.

    They share the luma; both NIQEs share all steps but the last.

    Args:
        pixels: (H, W, 3) sRGB or (H, W) grey, 8 or 16 bits.
        niqe_ird: the project's own pristine model.
        niqe: the official pristine model.
        brisque: the official regression.

    Raises:
        ValueError: the pixels have another shape or type.
    """
    luma, rounded = _luma_planes(pixels)
    if min(luma.shape) < MIN_SIDE or rounded.min() == rounded.max():
        return NssScores()
    patches = patch_features(rounded) if niqe or niqe_ird else None
    return NssScores(
        niqe_ird=_niqe_distance(patches, niqe_ird) if niqe_ird and patches is not None else None,
        niqe=_niqe_distance(patches, niqe) if niqe and patches is not None else None,
        brisque=_brisque_score(_image_features(luma), luma.size, brisque) if brisque else None,
    )


def niqe(pixels: Pixels, model: NiqeModel) -> float | None:
    """Return NIQE alone, as `score` does."""
    return score(pixels, niqe=model).niqe


def brisque(pixels: Pixels, model: BrisqueModel) -> float | None:
    """Return BRISQUE alone, as `score` does."""
    return score(pixels, brisque=model).brisque


def patch_features(luma: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return NIQE's features of each whole 96×96 block, row by row, NaN if undefined; luma: (H, W) → (patches, 36)."""
    side = kernels.BLOCK
    height, width = (n - n % side for n in luma.shape)
    crop = np.ascontiguousarray(luma[:height, :width])
    # pyiqa halves luma in 0…1. The float32 rounding there decides the sign of nearly flat regions.
    half = nss_planes.halve(crop, 255)
    full = niqe_features(kernels.block_sums(crop, 1, side), side * side)
    halved = niqe_features(kernels.block_sums(half, 255, side // 2), side * side // 4)
    return np.concatenate([full, halved], axis=1)


def _image_features(luma: nss_planes.Plane) -> NDArray[np.float32]:
    """Return BRISQUE's features of the whole image, NaN where undefined; luma: (H, W) → (36,)."""
    half = nss_planes.halve(luma, 1)
    planes = (luma, half)
    return np.concatenate([brisque_features(kernels.whole_sums(plane), plane.size) for plane in planes])


def _luma_planes(pixels: Pixels) -> tuple[nss_planes.Plane, NDArray[np.uint8]]:
    """Return the luma (H, W) for BRISQUE, and the luma rounded to integers for NIQE.

    They are the same array except for 16-bit grey, which pyiqa's BRISQUE does not round.
    """
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype == np.uint8 and colour:
        luma = nss_planes.luma(np.ascontiguousarray(pixels, np.uint8))
        return luma, luma
    if pixels.dtype == np.uint8 and pixels.ndim == 2:
        grey = np.ascontiguousarray(pixels, np.uint8)
        return grey, grey
    if pixels.dtype == np.uint16 and (colour or pixels.ndim == 2):
        light = pixels.astype(np.float32) / np.float32(65535)
        if colour:
            weights = np.float32(0.299), np.float32(0.587), np.float32(0.114)
            light = light[..., 0] * weights[0] + light[..., 1] * weights[1] + light[..., 2] * weights[2]
        light *= np.float32(255)
        rounded = np.rint(light).astype(np.uint8)
        return (rounded if colour else light), rounded
    raise ValueError(f"pixels of shape {pixels.shape} and type {pixels.dtype} are neither RGB nor grey of 8 or 16 bits")


def _niqe_distance(patches: NDArray[np.float64], model: NiqeModel) -> float | None:
    """Return the distance of the Gaussian of patches (n, 36) from the model's; None if undefined.

    Mittal et al. 2013, equation 10. The mean of a feature leaves out its undefined values; the covariance leaves out
    every patch that has one.
    """
    undefined = np.isnan(patches)
    defined = patches[~undefined.any(axis=1)]
    counts = (~undefined).sum(axis=0)
    if len(defined) == 0 or counts.min() == 0:
        return None
    difference = model.mean - np.where(undefined, 0, patches).sum(axis=0) / counts
    centred = defined - defined.mean(axis=0)
    covariance = centred.T @ centred / max(len(defined) - 1, 1)
    pooled = (model.covariance + covariance) / 2
    if not (np.isfinite(pooled).all() and np.isfinite(difference).all()):
        return None
    inverse = np.linalg.pinv(pooled, rcond=len(pooled) * np.finfo(np.float64).eps)
    squared = float(difference @ inverse @ difference)
    return _finite(squared**0.5) if squared >= 0 else None


def _brisque_score(features: NDArray[np.float32], pixels: int, model: BrisqueModel) -> float | None:
    """Return BRISQUE's score from features (36,) of an image of `pixels` pixels; None if a feature is undefined.

    pyiqa adds hundreds of kernel values times ±1024 in float32, where each order of additions changes the score by up
    to 0.01. For images of up to `MAX_REPEATABLE_PIXELS` this uses the same order as PyTorch (with MKL on AVX2): sums
    along and across eight lanes. For larger images, pyiqa's features themselves differ in their last bits with the
    number of threads that PyTorch uses, and the exact sum is nearest to all of them.
    """
    low, high = model.ranges[:, 0], model.ranges[:, 1]
    scaled = np.float32(-1) + np.float32(2) * (features - low) / (high - low)
    if not np.isfinite(scaled).all():
        return None
    squares = (scaled - model.vectors) ** 2
    if pixels > MAX_REPEATABLE_PIXELS:
        kernel = np.exp(-model.gamma * squares.sum(axis=1, dtype=np.float64))
        return _finite(float(kernel @ model.weights) - model.rho)
    lanes = squares[:, :32].reshape(-1, 4, 8)
    columns = [*squares[:, 32:].T, *(lanes[:, 0] + lanes[:, 1] + lanes[:, 2] + lanes[:, 3]).T]
    distances = np.zeros(len(squares), np.float32)
    for column in columns:
        distances += column
    rounded = np.exp((-distances * np.float32(model.gamma)).astype(np.float64)).astype(np.float32)
    return _finite(float(_dot_in_lanes(rounded, model.weights) - np.float32(model.rho)))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _dot_in_lanes(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Return Σ a·b with fused multiply-adds: the first four one by one, then eight lanes, then the rest one by one."""
    # The product of two float32 is exact in float64, so one rounding at the end of a step equals a fused multiply-add.
    products = a.astype(np.float64) * b.astype(np.float64)
    total = np.float32(0)
    for product in products[:4]:
        total = np.float32(product + total)
    lanes = np.zeros(8, np.float32)
    lanes[0] = total
    end = 4 + (len(products) - 4) // 8 * 8
    for step in products[4:end].reshape(-1, 8):
        lanes = (step + lanes).astype(np.float32)
    half = lanes[:4] + lanes[4:]
    total = (half[0] + half[2]) + (half[1] + half[3])
    for product in products[end:]:
        total = np.float32(product + total)
    return np.float32(total)


@dataclass(frozen=True)
class NssMeasure:
    """`niqe_ird` with the model in the package, and the official scores whose models are given, in one pass."""

    niqe: NiqeModel | None = None
    brisque: BrisqueModel | None = None

    tier: ClassVar[Tier] = MEASURE_SPECS["nss"].tier

    @property
    def fields(self) -> tuple[str, ...]:
        """`niqe_ird`, then the official scores whose models are given."""
        official = {"niqe": self.niqe, "brisque": self.brisque}
        return (*MEASURE_SPECS["nss"].fields, *(name for name, model in official.items() if model is not None))

    @cached_property
    def _niqe_ird(self) -> NiqeModel:
        return load_niqe_ird()

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        """Measure all pixels: one number or null for every field."""
        scores = score(image.pixels, niqe_ird=self._niqe_ird, niqe=self.niqe, brisque=self.brisque)
        return {name: getattr(scores, name) for name in self.fields}
