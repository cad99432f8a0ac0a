"""Neural quality scores, such as nima, musiq, clipiqa or topiq_nr: any name that pyiqa knows.

Images of one size go through the network as a batch, others alone, because padding would change their scores. A GPU is
used if there is one. Range and direction of each score are pyiqa's. Importing pyiqa takes seconds, so it is imported
only if a recipe names a score. Its licence, and that of most weights, is for non-commercial use.
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

from million_ird.config.recipe import nearest
from million_ird.config.score_names import known_metrics, pyiqa_scores
from million_ird.errors import ModelUnavailable, one_line
from million_ird.extras import require

log = logging.getLogger(__name__)

BATCH = 8
"""Decoded images that are in memory, and go to a network, at a time; at most."""


@dataclass(frozen=True, slots=True)
class NeuralScore:
    """One no-reference metric of pyiqa. It is pickled as its name; each process loads the network once."""

    name: str
    models: str | None = None
    """Folder of checkpoints with pyiqa's file names; None uses pyiqa's own cache."""

    def measure_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[float | None]:
        """Return one score for each (H, W, 3) uint8 RGB image, None where the network gives none."""
        network = _network(self.name, self.models)
        scores: list[float | None] = [None] * len(images)
        by_size = sorted(range(len(images)), key=lambda i: (images[i].shape, i))
        for _, group in itertools.groupby(by_size, key=lambda i: images[i].shape):
            same_size = list(group)
            for index, score in zip(same_size, _score_batch(network, [images[i] for i in same_size]), strict=True):
                scores[index] = score
        return scores


def check_name(name: str) -> None:
    """Check that pyiqa has such a score.

    Raises:
        ModelUnavailable: unknown, or a score that needs a reference image.
        MissingExtra: pyiqa, or a package that this score needs, is not installed.
    """
    known = pyiqa_scores()
    if not known:
        require("pyiqa")
    if name not in known:
        hint = nearest(name, known_metrics())
        raise ModelUnavailable(f"score {name!r}: pyiqa has no such score without reference{hint}")
    if name.startswith("topiq"):
        require("facexlib")


def load(name: str, models: str | None) -> None:
    """Load the network of a score, and fetch its weights if they are missing.

    Raises:
        ModelUnavailable: the weights cannot be fetched or read; the message names the folder to put them into.
    """
    _network(name, models)


@functools.lru_cache(maxsize=4)
def _network(name: str, models: str | None) -> Any:
    import pyiqa
    import torch
    from pyiqa.utils import download_util

    if models is not None:
        # pyiqa has no argument for the folder; it reads this variable at every call.
        download_util.DEFAULT_CACHE_DIR = str(Path(models).resolve())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with _stdout_to_stderr():
            return pyiqa.create_metric(name, device=device)
    except (OSError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        folder = models or download_util.DEFAULT_CACHE_DIR
        raise ModelUnavailable(
            f"score {name!r}: cannot fetch or read its weights ({one_line(error)}); put them into {folder}"
        ) from error


def _score_batch(network: Any, images: Sequence[NDArray[np.uint8]]) -> list[float | None]:
    import torch

    stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)
    try:
        with torch.inference_mode():
            scores = network(stack.to(network.device)).flatten().float().cpu().tolist()
    except (RuntimeError, AssertionError) as error:
        # The images are smaller than the network's receptive field. Running out of memory is another error.
        if isinstance(error, torch.OutOfMemoryError):
            raise
        log.info("%s gives no score for a batch of shape %s: %s", network.metric_name, tuple(stack.shape), error)
        return [None] * len(images)
    return [float(score) if np.isfinite(score) else None for score in scores]


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Redirect what pyiqa prints while loading: stdout is for results."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        sys.stderr.write(printed.getvalue())
