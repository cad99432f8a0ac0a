"""Scores that a recipe asks for by name: official NIQE and BRISQUE, and whatever pyiqa knows."""

import logging
from collections.abc import Mapping, Sequence

from million_ird.config.recipe import Recipe
from million_ird.config.user_measures import UserMeasure
from million_ird.measure_specs import OFFICIAL_SCORES
from million_ird.measures import neural
from million_ird.measures.identity import MeasuringIdentity, user_measures
from million_ird.measures.nss import NssMeasure
from million_ird.measures.nss_models import find_brisque, find_niqe, load_brisque, load_niqe
from million_ird.measures.registry import MEASURES, Measure

log = logging.getLogger(__name__)


def neural_scores(scores: Sequence[str]) -> list[str]:
    """Return the names that need a network."""
    return [name for name in scores if name not in OFFICIAL_SCORES]


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
    return official + [f"weights of {name}, by pyiqa, unless its cache has them" for name in neural_scores(scores)]


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
    """
    for name in neural_scores(scores):
        neural.check_name(name)
    for what in missing_parameters(scores, models):
        log.warning("fetching the %s", what)
    measures_with(scores, models)
    for name in neural_scores(scores):
        neural.load(name, models)
