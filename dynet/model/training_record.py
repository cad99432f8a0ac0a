"""What a weights file says of how it was trained: enough to know the run again, nothing of the machine it ran on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

Scores = Mapping[str, Mapping[str, float]]
"""PSNR in dB by task and variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """What one validation found, rounded as RUN/validation.jsonl has it."""

    step: int
    mean: float
    """Over tasks and variants, in dB."""
    psnr: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingWeights:
    """The weights that a run began from."""

    sha256: str
    training: "TrainingRecord | None"
    """What their file says of itself, if it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """How one set of weights was trained.

    A function of the recipe, the data and the steps alone, so that a run that was killed and resumed by the same
    command leaves the same bytes, and so does one that streams its data set. (The fingerprint of the pictures, in
    RUN/run.json, is not part of it: it is another one for a set that is streamed.)
    """

    steps: int
    """Done when these weights were written; the recipe says how many there were to be."""
    recipe: Mapping[str, Any]
    """Its decisive part (`TrainingRecipe.decisive_keys`): no paths, no names of trackers."""
    data_sets: tuple[str, ...]
    """Hub repositories as user/name, folders by their last part alone."""
    validated: ValidationResult | None = None
    """Of these weights."""
    best: ValidationResult | None = None
    """The validation with the highest mean so far."""
    start: StartingWeights | None = None

    @property
    def stage(self) -> str:
        """`pretrain` or `finetune`."""
        return str(self.recipe["stage"])

    @property
    def planned_steps(self) -> int:
        """Those of the recipe."""
        return int(self.recipe["steps"])

    @property
    def recipe_sha256(self) -> str:
        """By which runs of one recipe are known."""
        return recipe_digest(self.recipe)

    def as_object(self) -> dict[str, Any]:
        """What the file holds: the fields that say something, and the recipe's digest for readers of JSON."""
        told = asdict(self) | {"start": None, "recipe_sha256": self.recipe_sha256}
        if self.start is not None:
            before = self.start.training
            told["start"] = {"sha256": self.start.sha256, "training": before.as_object() if before else None}
        return {name: value for name, value in told.items() if value is not None}

    @classmethod
    def from_object(cls, told: Mapping[str, Any]) -> Self:
        """Read it back. Raises KeyError, TypeError or ValueError for what `as_object` does not write."""
        start = told.get("start")
        record = cls(
            steps=int(told["steps"]),
            recipe=dict(told["recipe"]),
            data_sets=tuple(map(str, told["data_sets"])),
            validated=ValidationResult(**told["validated"]) if "validated" in told else None,
            best=ValidationResult(**told["best"]) if "best" in told else None,
            start=None
            if start is None
            else StartingWeights(
                sha256=str(start["sha256"]),
                training=cls.from_object(start["training"]) if start["training"] else None,
            ),
        )
        if record.recipe_sha256 != told["recipe_sha256"]:
            raise ValueError("the recipe inside is not the one that its digest is of")
        if not record.stage or record.planned_steps < 1:
            raise ValueError("the recipe inside has no stage, or no steps")
        return record


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """The SHA-256 of a recipe's decisive part, as JSON with sorted keys and no spaces."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
