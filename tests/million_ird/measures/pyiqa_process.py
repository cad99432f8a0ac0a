"""Run pyiqa in a separate process, in which MKL computes without fused multiply-adds.

MKL uses them on Intel's processors and not on others. With them, pyiqa rounds the luma of one pixel in ten thousand
the other way, so the reference values would depend on the machine. MKL reads its setting once, when it is loaded.
"""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from million_ird.measures.nss_models import BrisqueModel, NiqeModel

if TYPE_CHECKING:
    from benchmarks.nss_reference import Reference

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
_reference: "Reference"


class PyiqaProcess:
    """The same methods as `Reference` in `benchmarks/nss_reference.py`."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def niqe(self, pixels: np.ndarray) -> float | None:
        return self._pool.submit(_call, "niqe", pixels).result()

    def brisque(self, pixels: np.ndarray) -> float | None:
        return self._pool.submit(_call, "brisque", pixels).result()

    def luma_and_half(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._pool.submit(_luma_and_half, rgb).result()


@contextmanager
def pyiqa_process(niqe: NiqeModel, brisque: BrisqueModel) -> Iterator[PyiqaProcess]:
    """Start the process, and stop it at the end of the block."""
    spawn = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict(os.environ, {"MKL_CBWR": "AVX"}),
        ProcessPoolExecutor(1, mp_context=spawn, initializer=_load, initargs=(niqe, brisque)) as pool,
    ):
        yield PyiqaProcess(pool)


def _load(niqe: NiqeModel, brisque: BrisqueModel) -> None:
    global _reference
    sys.path.insert(0, str(BENCHMARKS))
    import torch
    from nss_reference import Reference

    torch.set_num_threads(1)
    _reference = Reference(niqe, brisque)


def _call(name: str, pixels: np.ndarray) -> Any:
    return getattr(_reference, name)(pixels)


def _luma_and_half(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch
    from pyiqa.matlab_utils import imresize
    from pyiqa.utils.color_util import to_y_channel

    luma = to_y_channel(torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None].float() / 255, 255)
    return luma[0, 0].numpy(), imresize(luma, scale=0.5)[0, 0].numpy()
