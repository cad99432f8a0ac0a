"""Scores that a recipe asks for by name: official NIQE and BRISQUE, text over images, and whatever pyiqa knows."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from million_ird.config.recipe import Recipe
from million_ird.config.user_measures import UserMeasure
from million_ird.measure_specs import OFFICIAL_SCORES, OVERLAID_CHARACTERS
from million_ird.measures import neural, overlaid_text
from million_ird.measures.identity import MeasuringIdentity, user_measures
from million_ird.measures.nss import NssMeasure
from million_ird.measures.nss_models import find_brisque, find_niqe, load_brisque, load_niqe
from million_ird.measures.registry import MEASURES, Measure

log = logging.getLogger(__name__)


class BatchScore(Protocol):
    """A score that networks give, for several images at a time."""

    @property
    def name(self) -> str:
        """The name in a recipe, and the ledger's column."""

    def measure_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[float | None]:
        """Return one score for each (H, W, 3) uint8 RGB image, None where there is none."""


def batch_scores(scores: Sequence[str], models: str | None) -> list[BatchScore]:
    """Return the scores that need networks, in the order of their names."""
    text: list[BatchScore] = [overlaid_text.OverlaidText(name) for name in scores if name == OVERLAID_CHARACTERS]
    return text + [neural.NeuralScore(name, models) for name in _pyiqa_names(scores)]


def _pyiqa_names(scores: Sequence[str]) -> list[str]:
    return [name for name in scores if name not in (*OFFICIAL_SCORES, OVERLAID_CHARACTERS)]


def measures_with(scores: Sequence[str], models: str | None, user: Sequence[UserMeasure] = ()) -> Mapping[str, Measure]:
    """Return all measures, the user's last; official scores that are named come from the pass that gives `niqe_ird`.

    Raises:
        ModelUnavailable: their parameters cannot be had.
        VersionMismatch: a user's measure cannot be imported here.
    """
    official = NssMeasure(
        niqe=load_niqe(models) if "niqe" in scores else None,
        brisque=load_brisque(models) if "brisque" in scores else None,
    )
    return {**MEASURES, "nss": official, **user_measures(user)}


def missing_parameters(scores: Sequence[str], models: str | None) -> list[str]:
    """Return what `prepare` would fetch, one line each."""
    finders = {"niqe": find_niqe, "brisque": find_brisque}
    official = [
        f"parameters of {name}, from the Hub, unless its cache has them"
        for name in scores
        if name in finders and finders[name](models) is None
    ]
    return official + [f"weights of {name}, by pyiqa, unless its cache has them" for name in _pyiqa_names(scores)]


def prepare(recipe: Recipe, models: str | None) -> None:
    """Make sure, before a build starts, that every measure and score can be computed; fetch what is missing.

    Raises:
        ModelUnavailable: a name that nobody knows, or parameters that cannot be had.
        VersionMismatch: this process measures other columns than the recipe's.
    """
    MeasuringIdentity.expected(recipe.measures).require_here("the table of measures in this process")
    prepare_scores(recipe.scores, models)


def prepare_scores(scores: Sequence[str], models: str | None) -> None:
    """Make sure that every named score can be computed; fetch what is missing.

    Raises:
        ModelUnavailable: as `prepare`.
        MissingExtra: a package that a score needs is not installed.
    """
    if OVERLAID_CHARACTERS in scores:
        overlaid_text.check()
    for name in _pyiqa_names(scores):
        neural.check_name(name)
    for what in missing_parameters(scores, models):
        log.warning("fetching the %s", what)
    measures_with(scores, models)
    if OVERLAID_CHARACTERS in scores:
        overlaid_text.load()
    for name in _pyiqa_names(scores):
        neural.load(name, models)
