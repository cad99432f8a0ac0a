"""Variants of the network: how often they apply the block of each level, and which variant a training step uses."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from types import MappingProxyType

import numpy as np

from dynet.errors import UsageError
from dynet.runtime.rng import generator


@dataclass(frozen=True, slots=True)
class ReuseSchedule:
    """How often the transformer block of each level is applied.

    The encoder and the decoder of a level use the same number; the weights do not depend on it.

    Raises:
        ValueError: A number is not a whole number from 1.
    """

    level1: int
    level2: int
    level3: int
    latent: int

    def __post_init__(self) -> None:
        for level, repeats in zip(("level1", "level2", "level3", "latent"), astuple(self), strict=True):
            if type(repeats) is not int or repeats < 1:
                raise ValueError(f"{level} of a reuse schedule must be a whole number from 1, not {repeats!r}")

    @property
    def applications(self) -> int:
        """How many times blocks of levels are applied in one forward pass; it orders variants by depth."""
        return 2 * (self.level1 + self.level2 + self.level3) + self.latent


def _is_name(name: str) -> bool:
    """Return whether a variant can have this name: it becomes part of file names and of comma-separated arguments."""
    return bool(name) and all(letter.isalnum() or letter in "-_" for letter in name)


@dataclass(frozen=True, slots=True)
class Variant:
    """A named reuse schedule, which `DyNet.forward` takes to choose its depth."""

    name: str
    schedule: ReuseSchedule

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _is_name(self.name):
            raise ValueError(f"a variant's name is letters, digits, '-' and '_', not {self.name!r}")


SMALL = Variant("S", ReuseSchedule(2, 3, 3, 4))
LARGE = Variant("L", ReuseSchedule(4, 6, 6, 8))


def choose_variants(names: str | None, known: Sequence[Variant]) -> tuple[Variant, ...]:
    """Return the variants of a comma-separated list, as `--variants` takes it; for None the deepest one.

    Args:
        names: The list.
        known: The variants of the weights.

    Raises:
        UsageError: The weights were not trained with one of them, or one is named twice.
    """
    if names is None:
        return (deepest(known),)
    by_name = {variant.name: variant for variant in known}
    chosen = split_names(names)
    for name in chosen:
        if name not in by_name:
            raise UsageError(f"--variants: these weights have no variant {name!r}, but {', '.join(by_name)}")
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"--variants {names}: a variant is named twice")
    return tuple(by_name[name] for name in chosen)


def split_names(names: str) -> list[str]:
    """Return the names of a comma-separated list, as `--variants` takes it; whose they are is not checked.

    Raises:
        UsageError: No variant can have one of the names, such as one with a slash, which no file's name can contain.
    """
    split = [name.strip() for name in names.split(",")]
    for name in split:
        if not _is_name(name):
            raise UsageError(f"--variants {names}: {name!r} cannot be the name of a variant")
    return split


def deepest(variants: Sequence[Variant]) -> Variant:
    """Return the variant that applies most blocks: what is used where none is named."""
    return max(variants, key=lambda variant: variant.schedule.applications)


class VariantSampler:
    """Policy `random`: each step trains one variant, drawn as in the paper, with configurable probabilities."""

    def __init__(self, variants: Sequence[Variant], probabilities: Sequence[float], seed: int) -> None:
        if not variants or len(variants) != len(probabilities):
            raise ValueError("a variant sampler needs one probability for each of its variants")
        if min(probabilities) < 0 or sum(probabilities) <= 0:
            raise ValueError("probabilities of variants must not be negative and must not all be zero")
        self.variants = tuple(variants)
        total = sum(probabilities)
        self.probabilities = tuple(probability / total for probability in probabilities)
        self._seed = seed

    def draw(self, step: int) -> tuple[Variant, ...]:
        """Return the variants of this step: a function of (seed, step) alone, the same in every process.

        The first learns from the clean crops, the others from the output of the first.
        """
        return (self._draw_one(self.variants, self.probabilities, step),)

    def _draw_one(self, variants: Sequence[Variant], weights: Sequence[float], step: int) -> Variant:
        shares = np.array(weights) / sum(weights)
        return variants[int(generator(self._seed, "variant", step).choice(len(variants), p=shares))]


class AlternatingSampler(VariantSampler):
    """Policy `alternate`: the variants take turns."""

    def draw(self, step: int) -> tuple[Variant, ...]:
        """Return the one variant whose turn it is."""
        return (self.variants[step % len(self.variants)],)


class SandwichSampler(VariantSampler):
    """Policy `sandwich` with in-place distillation (US-Nets, arXiv 1903.05134): the deepest variant teaches."""

    def draw(self, step: int) -> tuple[Variant, ...]:
        """Return the deepest variant, the shallowest, and one of the others, if any, drawn by probability."""
        order = sorted(range(len(self.variants)), key=lambda index: self.variants[index].schedule.applications)
        small, *between, large = (self.variants[index] for index in (order if len(order) > 1 else order * 2))
        if small is large:
            return (large,)
        if not between:
            return (large, small)
        weights = [self.probabilities[index] for index in order[1:-1]]
        return (large, small, self._draw_one(between, weights, step))


POLICIES: Mapping[str, type[VariantSampler]] = MappingProxyType(
    {
        "random": VariantSampler,
        "alternate": AlternatingSampler,
        "sandwich": SandwichSampler,
    }
)
