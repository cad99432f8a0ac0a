"""Parameters of NIQE and BRISQUE, and the files that they are read from.

Published files keep their publishers' names. They are looked up in a folder (`--models`, or the environment variable
MILLION_IRD_MODELS) and, if they are not there, downloaded once from the Hub repository in which pyiqa publishes them.
Only `niqe_ird.npz`, which was fitted by this project, is part of the package.
"""

import importlib.resources
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from million_ird.errors import ModelUnavailable, one_line

MODELS_VARIABLE = "MILLION_IRD_MODELS"
HUB_REPOSITORY = "chaofengc/IQA-PyTorch-Weights"
NIQE_FILES = ("niqe_modelparameters.mat", "niqe_pris_params.npz")
BRISQUE_FILES = ("brisque_svm_weights.pth", "brisque_model_live.yml")
BRISQUE_RANGES = "brisque_range_live.yml"
"""OpenCV's file of ranges, needed together with its `brisque_model_live.yml`."""

# The published support vectors come without these three. They are from the authors' release of BRISQUE (LIVE,
# University of Texas), as used by pyiqa and piq.
BRISQUE_GAMMA = 0.05
BRISQUE_RHO = -153.591
BRISQUE_RANGES_LIVE = (
    (0.338, 10), (0.017204, 0.806612), (0.236, 1.642), (-0.123884, 0.20293), (0.000155, 0.712298),
    (0.001122, 0.470257), (0.244, 1.641), (-0.123586, 0.179083), (0.000152, 0.710456), (0.000975, 0.470984),
    (0.249, 1.555), (-0.135687, 0.100858), (0.000174, 0.684173), (0.000913, 0.534174), (0.258, 1.561),
    (-0.143408, 0.100486), (0.000179, 0.685696), (0.000888, 0.536508), (0.471, 3.264), (0.012809, 0.703171),
    (0.218, 1.046), (-0.094876, 0.187459), (1.5e-5, 0.442057), (0.001272, 0.40803), (0.222, 1.042),
    (-0.115772, 0.162604), (1.6e-5, 0.444362), (0.001374, 0.40243), (0.227, 0.996), (-0.117188, 0.098323),
    (3e-5, 0.531903), (0.001122, 0.369589), (0.228, 0.99), (-0.12243, 0.098658), (2.8e-5, 0.530092),
    (0.001118, 0.370399),
)  # fmt: skip
"""Smallest and largest value of each of the 36 features on the images that BRISQUE was trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class NiqeModel:
    """A Gaussian over the 36 features of pristine patches: mean (36,), covariance (36, 36), both float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.mean.shape != (36,) or self.covariance.shape != (36, 36):
            raise ModelUnavailable(
                f"NIQE parameters have shapes {self.mean.shape} and {self.covariance.shape}, not (36,) and (36, 36)"
            )


@dataclass(frozen=True, slots=True, eq=False)
class BrisqueModel:
    """A support-vector regression with a Gaussian kernel over the 36 features, each first scaled to -1…1."""

    vectors: NDArray[np.float32]
    """(n, 36), scaled."""
    weights: NDArray[np.float32]
    """(n,)"""
    ranges: NDArray[np.float32]
    """(36, 2), the values that are scaled to -1 and to 1."""
    rho: float = BRISQUE_RHO
    gamma: float = BRISQUE_GAMMA

    def __post_init__(self) -> None:
        count = len(self.weights)
        shapes = self.vectors.shape, self.weights.shape, self.ranges.shape
        if shapes != ((count, 36), (count,), (36, 2)):
            raise ModelUnavailable(
                f"BRISQUE vectors, weights and ranges have shapes {shapes}, not (n, 36), (n,), (36, 2)"
            )


def models_folder(option: str | Path | None) -> Path | None:
    """Return the folder that `--models` names, else MILLION_IRD_MODELS, else None."""
    folder = option or os.environ.get(MODELS_VARIABLE)
    return Path(folder) if folder else None


def find_niqe(models: str | Path | None = None) -> Path | None:
    """Return the file of NIQE's parameters in the models folder; None if it would be downloaded."""
    return _find(NIQE_FILES, models)


def find_brisque(models: str | Path | None = None) -> Path | None:
    """Return the file of BRISQUE's support vectors in the models folder; None if it would be downloaded."""
    return _find(BRISQUE_FILES, models)


def load_niqe(models: str | Path | None = None) -> NiqeModel:
    """Load official NIQE from the models folder, else from the Hub.

    Raises:
        ModelUnavailable: the file cannot be downloaded or read.
    """
    path = find_niqe(models) or _fetch(NIQE_FILES[0], "NIQE")
    return read_niqe(path)


def load_brisque(models: str | Path | None = None) -> BrisqueModel:
    """Load official BRISQUE from the models folder, else from the Hub.

    Raises:
        ModelUnavailable: a file cannot be downloaded or read.
    """
    path = find_brisque(models) or _fetch(BRISQUE_FILES[0], "BRISQUE")
    return _read_brisque_yml(path) if path.suffix == ".yml" else _read_brisque_pth(path)


def load_niqe_ird() -> NiqeModel:
    """Load the pristine model of this project, fitted by `benchmarks/fit_niqe_ird.py` and part of the package."""
    with importlib.resources.as_file(importlib.resources.files(__package__) / "niqe_ird.npz") as path:
        return read_niqe(path)


def read_niqe(path: Path) -> NiqeModel:
    """Read a `.mat` (`mu_prisparam`, `cov_prisparam`) or a `.npz` (`mu_pris_param`, `cov_pris_param`).

    Raises:
        ModelUnavailable: the file cannot be read.
    """
    import scipy.io

    unreadable = (OSError, KeyError, ValueError, NotImplementedError, TypeError, EOFError, zipfile.BadZipFile)
    try:
        if path.suffix == ".mat":
            matrices = scipy.io.loadmat(str(path))
            mean, covariance = matrices["mu_prisparam"], matrices["cov_prisparam"]
        else:
            with np.load(path, allow_pickle=False) as arrays:
                mean, covariance = arrays["mu_pris_param"], arrays["cov_pris_param"]
    except (*unreadable, scipy.io.matlab.MatReadError) as error:
        raise ModelUnavailable(f"{path} holds no NIQE parameters: {_short(error)}") from error
    return NiqeModel(np.ravel(mean).astype(np.float64), np.asarray(covariance, np.float64))


def save_niqe(model: NiqeModel, path: Path) -> None:
    """Write a `.npz` of about 10 kB that `read_niqe` reads."""
    with path.open("wb") as file:
        np.savez_compressed(file, mu_pris_param=model.mean, cov_pris_param=model.covariance)


def _find(names: tuple[str, ...], models: str | Path | None) -> Path | None:
    folder = models_folder(models)
    if folder is None:
        return None
    if not folder.is_dir():
        raise ModelUnavailable(f"the models folder {folder} does not exist")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _fetch(name: str, score: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(HUB_REPOSITORY, name))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelUnavailable(
            f"{score} needs {name}, which could not be downloaded from {HUB_REPOSITORY} ({_short(error)}); "
            f"name a folder that contains it with --models or {MODELS_VARIABLE}"
        ) from error


def _read_brisque_pth(path: Path) -> BrisqueModel:
    import pickle

    import torch

    try:
        weights, vectors = torch.load(path, map_location="cpu", weights_only=True)
        return BrisqueModel(
            vectors=np.asarray(vectors.numpy(), np.float32),
            weights=np.ravel(weights.numpy()).astype(np.float32),
            ranges=np.array(BRISQUE_RANGES_LIVE, np.float32),
        )
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelUnavailable(f"{path} holds no BRISQUE parameters: {_short(error)}") from error


def _read_brisque_yml(path: Path) -> BrisqueModel:
    import cv2

    ranges = path.with_name(BRISQUE_RANGES)
    if not ranges.is_file():
        raise ModelUnavailable(f"{path} needs {BRISQUE_RANGES} in the same folder")
    try:
        # Both storages stay in variables, because their nodes are valid only as long as they exist.
        model = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        limits = cv2.FileStorage(str(ranges), cv2.FILE_STORAGE_READ)
        svm = model.getNode("opencv_ml_svm")
        decision = svm.getNode("decision_functions").at(0)
        alpha, vectors = decision.getNode("alpha"), svm.getNode("support_vectors")
        rows = [vectors.at(i) for i in range(vectors.size())]
        return BrisqueModel(
            vectors=np.array([[row.at(j).real() for j in range(row.size())] for row in rows], np.float32),
            weights=np.array([alpha.at(i).real() for i in range(alpha.size())], np.float32),
            ranges=np.asarray(limits.getNode("range").mat(), np.float32).T,
            rho=float(decision.getNode("rho").real()),
            gamma=float(svm.getNode("kernel").getNode("gamma").real()),
        )
    except (cv2.error, SystemError, ValueError, TypeError, AttributeError) as error:
        raise ModelUnavailable(f"{path} holds no BRISQUE parameters: {_short(error)}") from error


def _short(error: Exception) -> str:
    """Return an error in one line of at most 200 characters."""
    return one_line(error, 200)
