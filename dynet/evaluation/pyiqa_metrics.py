"""LPIPS and all other metrics of pyiqa, in addition to PSNR and SSIM.

The licences of pyiqa and of most of its weights are for non-commercial use. pyiqa takes seconds to import, so it is
imported only when a metric is asked for.
"""

import contextlib
import io
import logging
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dynet.errors import UsageError
from dynet.evaluation.pyiqa_names import check_names, pyiqa_modes
from dynet.extras import missing_extra

logger = logging.getLogger(__name__)

OURS = frozenset({"psnr", "ssim"})
"""Names of `dynet.evaluation.metrics` in tables and files."""


@dataclass(frozen=True, slots=True)
class PyiqaMetric:
    """A loaded metric; its value and direction are those of pyiqa."""

    name: str
    """As in pyiqa, but its psnr and ssim are called `pyiqa-psnr` and `pyiqa-ssim`, since they differ from ours."""

    lower_is_better: bool
    needs_clean: bool
    _network: Any

    def measure(self, image: npt.NDArray[np.float32], clean: npt.NDArray[np.float32]) -> float:
        """Return the value for an image and its reference, both (H, W, 3) in [0, 1]; nan if the metric has none.

        Raises:
            UsageError: The metric fails on this image, or gives several numbers.
        """
        inputs = [_batch(image), _batch(clean)] if self.needs_clean else [_batch(image)]
        try:
            with torch.inference_mode(), _log_stdout():
                value = self._network(*inputs)
        except (RuntimeError, AssertionError, ValueError, IndexError) as error:
            size = f"{image.shape[1]}×{image.shape[0]}"
            raise UsageError(f"--metrics {self.name}: fails on an image of {size}: {_last_line(error)}") from error
        values = torch.as_tensor(value).flatten()
        if len(values) != 1:
            raise UsageError(f"--metrics {self.name}: gives {len(values)} numbers for an image, not one")
        return float(values)


def load_metrics(names: str, device: torch.device) -> tuple[PyiqaMetric, ...]:
    """Load the metrics of a comma-separated list to the device; their weights are downloaded to pyiqa's cache.

    Raises:
        UsageError: pyiqa has no metric of a name, a name is given twice, or weights cannot be loaded.
    """
    chosen = check_names(names)
    return tuple(_load(name, device, needs_clean=pyiqa_modes()[name] == "FR") for name in chosen)


def _load(name: str, device: torch.device, *, needs_clean: bool) -> PyiqaMetric:
    import pyiqa

    try:
        with _log_stdout():
            network = pyiqa.create_metric(name, device=device)
    except ImportError as error:
        other = UsageError(f"--metrics {name}: needs a package that is not installed: {_last_line(error)}")
        raise (missing_extra(error) or other) from error
    except (OSError, RuntimeError, ValueError, KeyError, AssertionError, pickle.UnpicklingError) as error:
        raise UsageError(f"--metrics {name}: its weights cannot be loaded: {_last_line(error)}") from error
    return PyiqaMetric(f"pyiqa-{name}" if name in OURS else name, bool(network.lower_better), needs_clean, network)


def _batch(image: npt.NDArray[np.float32]) -> torch.Tensor:
    """Return (H, W, 3) as (1, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))[None])


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


@contextlib.contextmanager
def _log_stdout() -> Iterator[None]:
    """Log what pyiqa prints while it loads, since stdout is for results; download progress goes to stderr anyway."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        for line in filter(None, map(str.strip, printed.getvalue().splitlines())):
            logger.info(line)
