"""LPIPS, and any other metric that pyiqa has, beside PSNR and SSIM.

pyiqa's licence, and that of most of its networks' weights, is for non-commercial use. It takes seconds to import, so
that happens only when a metric is asked for.
"""

import contextlib
import difflib
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

logger = logging.getLogger(__name__)

OURS = frozenset({"psnr", "ssim"})
"""Names that dynet.evaluation.metrics has taken in tables and files."""

OVER_SETS = frozenset({"fid", "sfid", "fid_dinov2", "inception_score"})
"""What pyiqa has that measures a set of pictures and not one; there is no value per image of it."""


@dataclass(frozen=True, slots=True)
class PyiqaMetric:
    """One metric, loaded. Value and direction are pyiqa's own."""

    name: str
    """pyiqa's, except that its psnr and ssim are `pyiqa-psnr` and `pyiqa-ssim`: they differ from ours."""

    lower_is_better: bool
    needs_clean: bool
    _network: Any

    def measure(self, picture: npt.NDArray[np.float32], clean: npt.NDArray[np.float32]) -> float:
        """(H, W, 3) in [0, 1] twice to the metric's value; nan where it has none for this picture."""
        pair = [_batch(picture), _batch(clean)] if self.needs_clean else [_batch(picture)]
        try:
            with torch.inference_mode(), _stdout_kept_clean():
                value = self._network(*pair)
        except (RuntimeError, AssertionError, ValueError, IndexError) as error:
            size = f"{picture.shape[1]}×{picture.shape[0]}"
            raise UsageError(f"--metrics {self.name}: fails on a picture of {size}: {_last_line(error)}") from error
        values = torch.as_tensor(value).flatten()
        if len(values) != 1:
            raise UsageError(f"--metrics {self.name}: gives {len(values)} numbers for a picture, not one")
        return float(values)


def load_metrics(names: str, device: torch.device) -> tuple[PyiqaMetric, ...]:
    """The metrics of a comma-separated list, on the device, their weights fetched into pyiqa's cache if need be.

    Raises UsageError for a name that pyiqa has not, or that is there twice, and for weights that cannot be had.
    """
    import pyiqa

    chosen = [name.strip() for name in names.split(",")]
    modes = {mode: frozenset(pyiqa.list_models(metric_mode=mode)) for mode in ("FR", "NR")}
    known = (modes["FR"] | modes["NR"]) - OVER_SETS
    for name in chosen:
        if name in OVER_SETS:
            raise UsageError(f"--metrics {name}: measures a whole set of pictures, not one")
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            raise UsageError(
                f"--metrics {name}: pyiqa has no such metric" + (f"; is {close[0]} meant?" if close else "")
            )
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"--metrics {names}: a metric is named twice")
    return tuple(_load(name, device, needs_clean=name in modes["FR"]) for name in chosen)


def _load(name: str, device: torch.device, *, needs_clean: bool) -> PyiqaMetric:
    import pyiqa

    try:
        with _stdout_kept_clean():
            network = pyiqa.create_metric(name, device=device)
    except ImportError as error:
        raise UsageError(f"--metrics {name}: needs a package that is not installed: {_last_line(error)}") from error
    except (OSError, RuntimeError, ValueError, KeyError, AssertionError, pickle.UnpicklingError) as error:
        raise UsageError(f"--metrics {name}: its weights cannot be had: {_last_line(error)}") from error
    return PyiqaMetric(f"pyiqa-{name}" if name in OURS else name, bool(network.lower_better), needs_clean, network)


def _batch(picture: npt.NDArray[np.float32]) -> torch.Tensor:
    """(H, W, 3) to (1, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))[None])


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


@contextlib.contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """pyiqa prints what it loads; stdout is for results. How far a download is, it tells stderr itself."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        for line in filter(None, map(str.strip, said.getvalue().splitlines())):
            logger.info(line)
