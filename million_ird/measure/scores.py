"""Scores that a recipe asks for by name: official NIQE and BRISQUE, and whatever pyiqa knows."""

from collections.abc import Mapping, Sequence

from million_ird.measure import MEASURES, Measure, neural

OFFICIAL = ("niqe", "brisque")


def neural_scores(scores: Sequence[str]) -> list[str]:
    """Those of the names that take a network."""
    return [name for name in scores if name not in OFFICIAL]


def measures_with(scores: Sequence[str], models: str | None) -> Mapping[str, Measure]:
    """All measures; those of natural-scene statistics give the official scores that are named, in the same pass.

    Raises:
        ModelUnavailable: their parameters cannot be had.
    """
    return MEASURES


def missing_parameters(scores: Sequence[str], models: str | None) -> list[str]:
    """What `prepare` would fetch, one line each."""
    return [f"weights of {name}, by pyiqa, unless its cache has them" for name in neural_scores(scores)]


def prepare(scores: Sequence[str], models: str | None) -> None:
    """Sees to it, before a build starts, that every score can be computed; fetches what is missing.

    Raises:
        ModelUnavailable: a name that nobody knows, or parameters that cannot be had.
    """
    for name in neural_scores(scores):
        neural.check_name(name)
    measures_with(scores, models)
    for name in neural_scores(scores):
        neural.load(name, models)
