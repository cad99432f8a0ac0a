"""The model card: `README.md` with the YAML that the Hub reads, filled from the weights file, the run and evaluations.

Nothing in it is invented: what is not known is said to be not known.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

import dynet
from dynet.hub.evaluations import INPUT, Evaluated
from dynet.hub.size import gmacs, parameters
from dynet.model.training_record import TrainingRecord
from dynet.model.variants import Variant
from dynet.model.weights import Header

PAPER = "arxiv:2404.02154"
SIDES = (128, 512)
"""Pixels of the sides for which a variant's cost is told."""
MOST = 200
"""Characters of one text of somebody else's; what is longer ends in an ellipsis."""
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
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
    evaluations: tuple[Evaluated, ...] = ()
    example: Example | None = None


def template_path() -> Path:
    """The card's template: inside the installed package, or `cards/` of a checkout."""
    installed = Path(str(resources.files("dynet") / "cards" / "model.md"))
    return installed if installed.is_file() else Path(__file__).parents[2] / "cards" / "model.md"


def render_card(facts: CardFacts) -> str:
    """The card as Markdown; the same facts give the same text."""
    shape, record = facts.header.architecture, facts.header.training
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters |= {"db": _db, "ssim": _ssim, "count": _count}
    return environment.from_string(template_path().read_text(encoding="utf-8")).render(
        front_matter=Markup(yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True)),
        name=facts.repo_id.rpartition("/")[2],
        repo_id=Markup(facts.repo_id),
        version=Markup(facts.header.version or dynet.__version__),
        licence=facts.licence,
        shape=shape,
        parameters=parameters(shape),
        sides=SIDES if facts.counted else (),
        variants=[
            {"name": one.name, "schedule": one.schedule, "gmacs": _costs(facts, one)} for one in facts.header.variants
        ],
        stages=_stages(record),
        converted_from=facts.header.notes.get("converted_from"),
        excluded=facts.excluded,
        data=facts.data,
        recipe_file=facts.recipe_file,
        evaluations=facts.evaluations,
        example=facts.example,
        input_name=INPUT,
    )


def _costs(facts: CardFacts, variant: Variant) -> list[float]:
    return [gmacs(facts.header.architecture, variant, side) for side in SIDES] if facts.counted else []


def front_matter(facts: CardFacts) -> dict[str, Any]:
    """What the Hub reads: library, task, licence, data sets that are on the Hub, and the results."""
    told: dict[str, Any] = {"license": facts.licence} if facts.licence else {}
    told |= {"library_name": "dynet", "pipeline_tag": "image-to-image"}
    told["tags"] = ["image-restoration", "dynet", PAPER]
    of_hub = [name for stage in _stages(facts.header.training) for name in stage.data_sets if _is_repository(name)]
    if of_hub:
        told["datasets"] = sorted(set(of_hub))
    results = [result for evaluation in facts.evaluations for result in _results(evaluation)]
    if results:
        told["metrics"] = ["psnr", "ssim"]
        told["model-index"] = [{"name": facts.repo_id.rpartition("/")[2], "results": results}]
    return told


def _results(evaluation: Evaluated) -> list[dict[str, Any]]:
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


_ENTITIES: Mapping[str, str] = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;", "$": "&#36;", "|": "&#124;"}
_BACKSLASHED = frozenset("`*_{}[]#!~^=@+")


def _shown(value: object) -> object:
    """Whatever the template puts in is one line of text that shows as itself, unless it is Markdown of our own."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    line = " ".join("".join(_visible(mark) for mark in value).split())
    line = line if len(line) <= MOST else f"{line[: MOST - 1]}…"
    return "".join(_ENTITIES.get(mark) or (f"\\{mark}" if mark in _BACKSLASHED else mark) for mark in line)


def _visible(mark: str) -> str:
    if mark.isspace():
        return " "
    return "" if unicodedata.category(mark).startswith("C") else mark


def _db(value: float | None) -> Markup:
    return Markup("–" if value is None else f"{value:.2f}")


def _ssim(value: float | None) -> Markup:
    return Markup("–" if value is None else f"{value:.4f}")


def _count(value: int) -> Markup:
    return Markup(f"{value:,}")
