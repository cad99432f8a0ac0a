"""The model card: `README.md` with the YAML that the Hub reads, filled from the weights file, the run and evaluations.

Nothing in it is invented: what is not known is said to be not known.
"""

import re
from dataclasses import dataclass
from typing import Any

from dynet.hub.evaluations import INPUT, CardEvaluation
from dynet.hub.size import gmacs, parameters
from dynet.model.card import front_matter as network_front_matter
from dynet.model.card import network_values, render_template
from dynet.model.training_record import TrainingRecord
from dynet.model.variants import Variant
from dynet.model.weights import Header

SIDES = (128, 512)
"""Pixels of the sides for which a variant's cost is told."""
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardExample:
    """The picture on the card: crops of a run's preview."""

    step: int
    held_out: bool
    """False where the run may have trained on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """All that a card tells."""

    repo_id: str
    licence: str | None
    """The Hub's identifier; None where nobody has said, which the card then says."""
    header: Header
    excluded: tuple[str, ...] = ()
    """Names of the lists of pictures that were left out of training."""
    data: str | None = None
    """The fingerprint of the pictures of the last stage; None where it is not known."""
    recipe_file: bool = False
    """Whether recipe.yaml lies beside the card."""
    counted: bool = True
    """Whether to tell what each variant costs, which takes seconds to count."""
    evaluations: tuple[CardEvaluation, ...] = ()
    example: CardExample | None = None


def render_card(facts: CardFacts) -> str:
    """The card as Markdown; the same facts give the same text."""
    header = facts.header
    values = network_values(header, parameters(header.architecture), facts.repo_id, facts.licence)
    values |= {
        "front_matter": front_matter(facts),
        "sides": SIDES if facts.counted else (),
        "variants": [
            {"name": one.name, "schedule": one.schedule, "gmacs": _costs(facts, one)} for one in header.variants
        ],
        "stages": _stages(header.training),
        "excluded": facts.excluded,
        "data": facts.data,
        "recipe_file": facts.recipe_file,
        "evaluations": facts.evaluations,
        "example": facts.example,
        "input_name": INPUT,
    }
    return render_template(values)


def _costs(facts: CardFacts, variant: Variant) -> list[float]:
    return [gmacs(facts.header.architecture, variant, side) for side in SIDES] if facts.counted else []


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """What the Hub reads: library, task, licence, data sets that are on the Hub, and the results."""
    told = network_front_matter(facts.licence)
    of_hub = [name for stage in _stages(facts.header.training) for name in stage.data_sets if _is_repository(name)]
    if of_hub:
        told["datasets"] = sorted(set(of_hub))
    results = [result for evaluation in facts.evaluations for result in _results(evaluation)]
    if results:
        told["metrics"] = ["psnr", "ssim"]
        told["model-index"] = [{"name": facts.repo_id.rpartition("/")[2], "results": results}]
    return told


def _results(evaluation: CardEvaluation) -> list[dict[str, Any]]:
    found = []
    for task in evaluation.tasks:
        metrics = [
            {"type": kind, "name": f"{kind.upper()} ({variant}, {evaluation.protocol})", "value": round(value, digits)}
            for variant, score in task.scores.items()
            if variant != INPUT
            for kind, value, digits in (("psnr", score.psnr, 3), ("ssim", score.ssim, 5))
            if value is not None
        ]
        if metrics:
            found.append(
                {
                    "task": {"type": "image-to-image", "name": "Image restoration"},
                    "dataset": {"name": task.label, "type": task.benchmark, "split": "test"},
                    "metrics": metrics,
                }
            )
    return found


def _stages(record: TrainingRecord | None) -> list[TrainingRecord]:
    """The runs that led to the weights, the first one first."""
    found: list[TrainingRecord] = []
    while record is not None:
        found.insert(0, record)
        record = record.start.training if record.start else None
    return found


def _is_repository(name: str) -> bool:
    """A folder's name has no slash: of `--data` a record keeps the last part alone."""
    return _REPOSITORY.fullmatch(name) is not None
