"""How weights were trained, as their file says it: enough to identify the run, nothing about its machine."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

Scores = Mapping[str, Mapping[str, float]]
"""PSNR in dB by task and variant."""

CLEAN_TASK = "clean"
"""The task of every validation whose input is clean: what a network does to an image that needs nothing done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """The result of one validation, rounded as in RUN/validation.jsonl."""

    step: int
    mean: float
    """The mean over variants and all tasks but CLEAN_TASK, in dB."""
    psnr: Scores

    @classmethod
    def from_object(cls, fields: Mapping[str, Any]) -> Self:
        """Return the result that `dataclasses.asdict` made an object.

        Raises:
            KeyError, TypeError, ValueError: It made no such object.
        """
        psnr = {
            str(task): {str(variant): float(db) for variant, db in dict(scores).items()}
            for task, scores in dict(fields["psnr"]).items()
        }
        return cls(step=int(fields["step"]), mean=float(fields["mean"]), psnr=psnr)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingWeights:
    """The weights that a run started from."""

    sha256: str
    training: "TrainingRecord | None"
    """How these were trained, if their file says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """How one set of weights was trained.

    It depends on the recipe, the data and the steps alone. So a run that was killed and then resumed by the same
    command writes the same bytes, and so does a run that streams its dataset. (The fingerprint of the data, in
    RUN/run.json, is not part of it, because a streamed dataset has another one.)
    """

    steps: int
    """Steps done when these weights were written; the recipe has the planned number."""
    recipe: Mapping[str, Any]
    """The keys that decide the weights (`TrainingRecipe.decisive_keys`): no paths, no names of trackers."""
    data_sets: tuple[str, ...]
    """Hub repositories as user/name; of folders only the last part of the path."""
    validated: ValidationResult | None = None
    """The validation of these weights."""
    best: ValidationResult | None = None
    """The validation with the highest mean so far."""
    start: StartingWeights | None = None

    @property
    def stage(self) -> str:
        """`pretrain` or `finetune`."""
        return str(self.recipe["stage"])

    @property
    def planned_steps(self) -> int:
        """The number of steps in the recipe."""
        return int(self.recipe["steps"])

    @property
    def recipe_sha256(self) -> str:
        """The digest that runs of the same recipe share."""
        return recipe_digest(self.recipe)

    def runs_of_stage(self) -> list["TrainingRecord"]:
        """Return this run and those of the same stage that it continued, the last first."""
        runs = [self]
        while (start := runs[-1].start) and start.training and start.training.stage == self.stage:
            runs.append(start.training)
        return runs

    def as_object(self) -> dict[str, Any]:
        """Return the record as JSON: the fields that are not None, and the digest of the recipe."""
        fields = asdict(self) | {"start": None, "recipe_sha256": self.recipe_sha256}
        if self.start is not None:
            earlier = self.start.training
            fields["start"] = {"sha256": self.start.sha256, "training": earlier.as_object() if earlier else None}
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_object(cls, fields: Mapping[str, Any]) -> Self:
        """Return the record that `as_object` wrote.

        Raises:
            KeyError, TypeError, ValueError: `as_object` does not write such an object.
        """
        start = fields.get("start")
        record = cls(
            steps=int(fields["steps"]),
            recipe=dict(fields["recipe"]),
            data_sets=tuple(map(str, fields["data_sets"])),
            validated=ValidationResult.from_object(fields["validated"]) if "validated" in fields else None,
            best=ValidationResult.from_object(fields["best"]) if "best" in fields else None,
            start=None
            if start is None
            else StartingWeights(
                sha256=str(start["sha256"]),
                training=cls.from_object(start["training"]) if start["training"] else None,
            ),
        )
        if record.recipe_sha256 != fields["recipe_sha256"]:
            raise ValueError("the recipe does not match its digest")
        if not record.stage or record.planned_steps < 1:
            raise ValueError("the recipe has no stage, or no steps")
        return record


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the decisive keys of a recipe, as JSON with sorted keys and no spaces."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
