"""Which clean image belongs to a degraded one, by their names alone."""

import itertools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

_RAIN = re.compile(r"rain(?=[-_]?\d)")
_HAZE = re.compile(r"([^_]+)(?:_\d+(?:\.\d+)?){1,2}")


def _same(stem: str) -> str:
    return stem


def _no_rain(stem: str) -> str:
    return f"no{stem}" if _RAIN.match(stem) else stem


def _scene_of_haze(stem: str) -> str:
    matched = _HAZE.fullmatch(stem)
    return matched[1] if matched else stem


# One rule holds for all of a folder: the first under which every image has a clean one. Rules are never mixed.
_RULES: tuple[Callable[[str], str], ...] = (
    _same,
    _no_rain,  # Rain100L's training set: rain-12 to norain-12
    _scene_of_haze,  # RESIDE: 0012_0.8_0.2 (airlight, scattering) to 0012, many to one
)


@dataclass(frozen=True, slots=True)
class FilePairs:
    """The clean name of each degraded name, and the degraded names that have none."""

    clean_of: dict[str, str]
    unmatched: tuple[str, ...]


def match_names(degraded: Collection[str], clean: Collection[str]) -> FilePairs:
    """Match paths of degraded and of clean images.

    The clean image of a degraded one in a subfolder may be in the same subfolder of the other side, or at its top.

    Args:
        degraded: Paths without suffixes, in lower case, relative to the folder of degraded images.
        clean: The same for the folder of clean images.

    Returns:
        The match of the rule that leaves the fewest names unmatched.
    """
    best: FilePairs | None = None
    for rule, nested in itertools.product(_RULES, (True, False)):
        candidate = _match_by(rule, nested, degraded, clean)
        if best is None or len(candidate.unmatched) < len(best.unmatched):
            best = candidate
        if not best.unmatched:
            break
    assert best is not None
    return best


def _match_by(rule: Callable[[str], str], nested: bool, degraded: Collection[str], clean: Collection[str]) -> FilePairs:
    clean_of, unmatched = {}, []
    for name in degraded:
        folder, slash, stem = name.rpartition("/")
        clean_name = f"{folder}{slash}{rule(stem)}" if nested else rule(stem)
        if clean_name in clean:
            clean_of[name] = clean_name
        else:
            unmatched.append(name)
    return FilePairs(clean_of, tuple(sorted(unmatched)))
