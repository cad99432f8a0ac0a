"""Scores that a recipe asks for by name: official NIQE and BRISQUE, and whatever pyiqa knows."""

import logging
from collections.abc import Mapping, Sequence

from million_ird.measures import neural
from million_ird.measures.nss import NssMeasure
from million_ird.measures.nss_models import find_brisque, find_niqe, load_brisque, load_niqe
from million_ird.measures.registry import MEASURES, Measure

log = logging.getLogger(__name__)

OFFICIAL = ("niqe", "brisque")


def neural_scores(scores: Sequence[str]) -> list[str]:
    """Those of the names that take a network."""
    return [name for name in scores if name not in OFFICIAL]


def measures_with(scores: Sequence[str], models: str | None) -> Mapping[str, Measure]:
    """All measures; those of natural-scene statistics give the official scores that are named, in the same pass.

    Raises:
        ModelUnavailable: their parameters cannot be had.
    """
    official = NssMeasure(
        niqe=load_niqe(models) if "niqe" in scores else None,
        brisque=load_brisque(models) if "brisque" in scores else None,
    )
    return {**MEASURES, "nss": official}


def missing_parameters(scores: Sequence[str], models: str | None) -> list[str]:
    """What `prepare` would fetch, one line each."""
    finders = {"niqe": find_niqe, "brisque": find_brisque}
    official = [
        f"parameters of {name}, from the Hub, unless its cache has them"
        for name in scores
        if name in finders and finders[name](models) is None
    ]
    return official + [f"weights of {name}, by pyiqa, unless its cache has them" for name in neural_scores(scores)]


def prepare(scores: Sequence[str], models: str | None) -> None:
    """Sees to it, before a build starts, that every score can be computed; fetches what is missing.

    Raises:
        ModelUnavailable: a name that nobody knows, or parameters that cannot be had.
    """
    for name in neural_scores(scores):
        neural.check_name(name)
    for what in missing_parameters(scores, models):
        log.warning("fetching the %s", what)
    measures_with(scores, models)
    for name in neural_scores(scores):
        neural.load(name, models)
