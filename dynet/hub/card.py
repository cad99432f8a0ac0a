"""The model card: `README.md` with the YAML that the Hub reads, filled from the weights file, the run and evaluations.

The card states what is not known instead of leaving it out.
"""

import functools
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from dynet.evaluation.evaluate import INPUT
from dynet.hub.evaluations import CardEvaluation
from dynet.model.card import front_matter as network_front_matter
from dynet.model.card import network_values, render_template
from dynet.model.network import DyNet
from dynet.model.training_record import TrainingRecord
from dynet.model.variants import Variant
from dynet.model.weights import Architecture, WeightsHeader

SIDES = (128, 512)
"""The image sides in pixels for which the card states a variant's cost."""
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardExample:
    """The example image on the card: crops from a run's preview."""

    step: int
    held_out: bool
    """False where the run may have trained on these crops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """The contents of a card."""

    repo_id: str
    licence: str | None
    """The Hub's identifier; None where none is given, which the card then states."""
    header: WeightsHeader
    excluded: tuple[str, ...] = ()
    """Names of the lists of images that were excluded from training."""
    data: str | None = None
    """The fingerprint of the last stage's dataset; None where it is not known."""
    recipe_file: bool = False
    """Whether the release contains recipe.yaml."""
    with_cost: bool = True
    """Whether to state the cost of each variant, which takes seconds to count."""
    evaluations: tuple[CardEvaluation, ...] = ()
    example: CardExample | None = None


def render_card(facts: CardFacts) -> str:
    """Return the card as Markdown; the same facts give the same text."""
    header = facts.header
    values = network_values(header, count_parameters(header.architecture), facts.repo_id, facts.licence)
    values |= {
        "front_matter": front_matter(facts),
        "sides": SIDES if facts.with_cost else (),
        "variants": [
            {"name": variant.name, "schedule": variant.schedule, "gmacs": _costs(facts, variant)}
            for variant in header.variants
        ],
        "stages": _stages(header.training),
        "excluded": facts.excluded,
        "data": facts.data,
        "recipe_file": facts.recipe_file,
        "evaluations": [evaluation for evaluation in facts.evaluations if evaluation.harm is None],
        "harm": next((evaluation for evaluation in facts.evaluations if evaluation.harm is not None), None),
        "example": facts.example,
        "input_name": INPUT,
    }
    return render_template(values)


def _costs(facts: CardFacts, variant: Variant) -> list[float]:
    return [count_gmacs(facts.header.architecture, variant, side) for side in SIDES] if facts.with_cost else []


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """Return the YAML that the Hub reads: library, task, licence, the datasets that are on the Hub, and results."""
    front = network_front_matter(facts.licence)
    hub_datasets = [
        name for stage in _stages(facts.header.training) for name in stage.data_sets if _is_repository(name)
    ]
    if hub_datasets:
        front["datasets"] = sorted(set(hub_datasets))
    # A PSNR of clean images says nothing about restoring: the Hub's lists are about that.
    evaluations = [evaluation for evaluation in facts.evaluations if evaluation.harm is None]
    results = [result for evaluation in evaluations for result in _results(evaluation)]
    if results:
        front["metrics"] = ["psnr", "ssim"]
        front["model-index"] = [{"name": facts.repo_id.rpartition("/")[2], "results": results}]
    return front


def _results(evaluation: CardEvaluation) -> list[dict[str, Any]]:
    results = []
    turned = f" ×{evaluation.self_ensemble}" if evaluation.self_ensemble > 1 else ""
    for task in evaluation.tasks:
        metrics = [
            {
                "type": metric,
                "name": f"{metric.upper()} ({variant}{turned}, {evaluation.protocol})",
                "value": round(value, digits),
            }
            for variant, score in task.scores.items()
            if variant != INPUT
            for metric, value, digits in (("psnr", score.psnr, 3), ("ssim", score.ssim, 5))
            if value is not None
        ]
        if metrics:
            results.append(
                {
                    "task": {"type": "image-to-image", "name": "Image restoration"},
                    "dataset": {"name": task.label, "type": task.benchmark, "split": "test"},
                    "metrics": metrics,
                }
            )
    return results


def _stages(record: TrainingRecord | None) -> list[TrainingRecord]:
    """Return the runs that led to the weights, in order of time."""
    stages: list[TrainingRecord] = []
    while record is not None:
        stages.insert(0, record)
        record = record.start.training if record.start else None
    return stages


def _is_repository(name: str) -> bool:
    """Return whether this is a Hub name; the name of a folder has no slash, since a record only keeps its last part."""
    return _REPOSITORY.fullmatch(name) is not None


@functools.cache
def count_parameters(architecture: Architecture) -> int:
    """Return the number of trained parameters of a network of this shape."""
    return sum(parameter.numel() for parameter in _without_weights(architecture).parameters())


@functools.cache
def count_gmacs(architecture: Architecture, variant: Variant, side: int) -> float:
    """Return the billions of multiply-adds in convolutions and matrix products for an image of side x side pixels.

    It is half the count of torch's FlopCounterMode, which runs the network without weights and without computing.
    """
    network = _without_weights(architecture)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, side, side, device="meta"), variant)
    return float(counter.get_total_flops()) / 2e9


def _without_weights(architecture: Architecture) -> DyNet:
    with torch.device("meta"):
        return DyNet.from_architecture(architecture)
