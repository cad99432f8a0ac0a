"""Which clean picture a degraded one belongs to, by their names alone."""

import itertools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

_RAIN = re.compile(r"rain(?=[-_]?\d)")
_HAZE = re.compile(r"([^_]+)(?:_\d+(?:\.\d+)?){1,2}")


def _same(stem: str) -> str:
    return stem


def _without_rain(stem: str) -> str:
    return f"no{stem}" if _RAIN.match(stem) else stem


def _scene_of_haze(stem: str) -> str:
    matched = _HAZE.fullmatch(stem)
    return matched[1] if matched else stem


# The first rule under which every picture finds its clean one holds for all of a folder; rules are never mixed.
_RULES: tuple[Callable[[str], str], ...] = (
    _same,
    _without_rain,  # Rain100L's training set: rain-12 to norain-12
    _scene_of_haze,  # RESIDE: 0012_0.8_0.2 (airlight, scattering) to 0012, many to one
)


@dataclass(frozen=True, slots=True)
class PairMatch:
    """For each degraded name its clean one, and those that have none."""

    clean_of: dict[str, str]
    alone: tuple[str, ...]


def match_names(degraded: Collection[str], clean: Collection[str]) -> PairMatch:
    """Match paths without their suffixes, relative to their side's folder, both in lower case.

    A degraded picture in a folder of its side may have its clean one in the same folder of the other, or on its top.
    """
    best: PairMatch | None = None
    for rule, nested in itertools.product(_RULES, (True, False)):
        found = _by(rule, nested, degraded, clean)
        if best is None or len(found.alone) < len(best.alone):
            best = found
        if not best.alone:
            break
    assert best is not None
    return best


def _by(rule: Callable[[str], str], nested: bool, degraded: Collection[str], clean: Collection[str]) -> PairMatch:
    clean_of, alone = {}, []
    for name in degraded:
        folder, slash, stem = name.rpartition("/")
        wanted = f"{folder}{slash}{rule(stem)}" if nested else rule(stem)
        if wanted in clean:
            clean_of[name] = wanted
        else:
            alone.append(name)
    return PairMatch(clean_of, tuple(sorted(alone)))
