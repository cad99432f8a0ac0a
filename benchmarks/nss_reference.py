"""NIQE and BRISQUE of pyiqa with the same parameters as ours, for benchmarks and tests that compare the two."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import scipy.io
import torch
from numpy.typing import NDArray
from pyiqa.archs import brisque_arch
from pyiqa.archs.niqe_arch import NIQE

from million_ird.measures.nss_models import BrisqueModel, NiqeModel


class Reference:
    """NIQE and BRISQUE of pyiqa on the CPU, with the parameters of our models."""

    def __init__(self, niqe: NiqeModel, brisque: BrisqueModel) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "niqe_modelparameters.mat")
            scipy.io.savemat(path, {"mu_prisparam": niqe.mean[None], "cov_prisparam": niqe.covariance})
            self._niqe = NIQE(pretrained_model_path=path)
        self._brisque = brisque
        # Copied into memory with PyTorch's alignment, as torch.load does: the order of PyTorch's sums depends on it.
        self._weights, self._vectors = torch.tensor(brisque.weights), torch.tensor(brisque.vectors)
        self._low, self._high = (torch.from_numpy(brisque.ranges[:, k].copy()) for k in (0, 1))

    def niqe(self, pixels: NDArray[np.uint8]) -> float | None:
        """Return pyiqa's score; None where it fails or is not finite."""
        try:
            return _finite(float(self._niqe(_tensor(pixels))))
        except (RuntimeError, AssertionError, IndexError, ValueError):
            return None

    def brisque(self, pixels: NDArray[np.uint8]) -> float | None:
        """Return pyiqa's score; None where it fails or is not finite."""
        model = self._brisque
        with self._ranges():
            try:
                result = brisque_arch.brisque(
                    _tensor(pixels),
                    sv_coef=self._weights,
                    sv=self._vectors,
                    gamma=model.gamma,
                    rho=model.rho,
                )
            except (RuntimeError, AssertionError, IndexError, ValueError):
                return None
        return _finite(float(result))

    @contextlib.contextmanager
    def _ranges(self):  # type: ignore[no-untyped-def]
        """Replace the ranges of the published model, which pyiqa has written into a function, by the model's own."""

        def scale(features: torch.Tensor) -> torch.Tensor:
            return -1 + 2 * (features - self._low) / (self._high - self._low)

        original = brisque_arch.scale_features
        brisque_arch.scale_features = scale
        try:
            yield
        finally:
            brisque_arch.scale_features = original


def _tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Convert (H, W, 3) or (H, W) uint8 to (1, C, H, W) float32 in 0…1."""
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes)).to(torch.float32).div(255)[None]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
