"""Neural quality scores by any name that pyiqa knows: nima, musiq, clipiqa, topiq_nr, …

Pictures of one size go through the network together; others go alone, because padding would change their scores. On
the GPU when there is one. Range and direction are pyiqa's own, per score. Importing pyiqa takes seconds, so it happens
only when a recipe names a score. Its licence, and that of most weights, is for non-commercial use.
"""

import contextlib
import functools
import io
import itertools
import logging
import pickle
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from million_ird.errors import ModelUnavailable, one_line
from million_ird.extras import require

log = logging.getLogger(__name__)

BATCH = 8
"""At most so many decoded pictures go to a network, and are in memory, at a time."""


@dataclass(frozen=True, slots=True)
class NeuralScore:
    """One pyiqa metric without reference. Pickles as its name; each process loads the network once."""

    name: str
    models: str | None = None
    """Folder of checkpoints under the names that pyiqa gives them; None uses pyiqa's own cache."""

    def measure_batch(self, pictures: Sequence[NDArray[np.uint8]]) -> list[float | None]:
        """(H, W, 3) uint8 RGB pictures → one score each, null where the network gives none for a picture."""
        network = _network(self.name, self.models)
        scores: list[float | None] = [None] * len(pictures)
        by_size = sorted(range(len(pictures)), key=lambda i: (pictures[i].shape, i))
        for _, group in itertools.groupby(by_size, key=lambda i: pictures[i].shape):
            same_size = list(group)
            for index, score in zip(same_size, _score(network, [pictures[i] for i in same_size]), strict=True):
                scores[index] = score
        return scores


def check_name(name: str) -> None:
    """Says in one line when pyiqa has no such score.

    Raises:
        ModelUnavailable: unknown, or a score that needs a reference picture.
        MissingExtra: pyiqa, or a package that this score needs, is not installed.
    """
    import difflib

    from pyiqa import list_models

    known = list_models(metric_mode="NR")
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ModelUnavailable(f"score {name!r}: pyiqa has no such score without reference{hint}")
    if name.startswith("topiq"):
        require("facexlib")


def load(name: str, models: str | None) -> None:
    """Loads the network of a score now, fetching its weights if need be.

    Raises:
        ModelUnavailable: the weights cannot be had; the message says where they may be put.
    """
    _network(name, models)


@functools.lru_cache(maxsize=4)
def _network(name: str, models: str | None) -> Any:
    import pyiqa
    import torch
    from pyiqa.utils import download_util

    if models is not None:
        # pyiqa reads this name at every call, and has no argument for it.
        download_util.DEFAULT_CACHE_DIR = str(Path(models).resolve())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with _stdout_kept_clean():
            return pyiqa.create_metric(name, device=device)
    except (OSError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        why = one_line(error)
        where = models or download_util.DEFAULT_CACHE_DIR
        raise ModelUnavailable(f"score {name!r}: its weights cannot be had ({why}); put them into {where}") from error


def _score(network: Any, pictures: Sequence[NDArray[np.uint8]]) -> list[float | None]:
    import torch

    stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(255)
    try:
        with torch.inference_mode():
            scores = network(stack.to(network.device)).flatten().float().cpu().tolist()
    except (RuntimeError, AssertionError) as error:
        # A picture smaller than the network's receptive field; memory running out is not the picture's fault.
        if isinstance(error, torch.OutOfMemoryError):
            raise
        log.info("%s gives no score for %s: %s", network.metric_name, stack.shape, error)
        return [None] * len(pictures)
    return [float(score) if np.isfinite(score) else None for score in scores]


@contextlib.contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """pyiqa prints what it loads; stdout is for results."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        sys.stderr.write(said.getvalue())
