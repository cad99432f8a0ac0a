"""The files that are published for a RUN or a weights file, gathered and checked, without paths of this machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dynet.config.recipe import STAGES
from dynet.errors import RunError, reason_of
from dynet.hub.card import CardExample, CardFacts, render_card
from dynet.hub.evaluations import CardEvaluation, refuse_same_protocol
from dynet.hub.source import locate_release
from dynet.model.hub_download import CONFIG_FILE
from dynet.model.network import DyNet
from dynet.model.training_record import recipe_digest
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import FILE_NAME, WeightsHeader, read_header
from dynet.training.run_folder import RunFolder

RECIPE, EXAMPLE, CARD = "recipe.yaml", "example.png", "README.md"
"""The recipe is not named config.yaml, since the Hub also counts requests for such a file as downloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsRelease:
    """The files of a model by name: the path of a large file, the content of any other."""

    files: Mapping[str, Path | bytes]

    @property
    def card(self) -> str:
        """The text of README.md."""
        content = self.files[CARD]
        assert isinstance(content, bytes)
        return content.decode()

    def sizes(self) -> dict[str, int]:
        """Return the size of each file in bytes, sorted by name."""
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in sorted(self.files.items())
        }


@dataclass(frozen=True, slots=True)
class _RunFacts:
    """What a RUN folder adds to its weights file."""

    data: str | None = None
    excluded: tuple[str, ...] = ()
    example: CardExample | None = None
    files: Mapping[str, Path | bytes] = field(default_factory=dict)


def gather_release(source: Path, repo_id: str, licence: str, evaluations: Sequence[Path]) -> WeightsRelease:
    """Return all files of the model, including the card.

    Args:
        source: A finished RUN folder, a folder that holds weights, or a weights file.
        repo_id: user/name, for the card.
        licence: The Hub's identifier.
        evaluations: Folders that `dynet evaluate --out` wrote for these weights.

    Raises:
        RunError: The run is not finished, or the files in its folder are not of the same run.
        WeightsError: The weights are missing, broken or do not fit.
        UsageError: An evaluation belongs to other weights.
    """
    weights = locate_release(source)
    header = read_header(weights)
    DyNet.from_pretrained(weights)  # checks shapes and values: only weights that load are published
    card_evaluations = [CardEvaluation.read(folder, sha256_of(weights)) for folder in evaluations]
    refuse_same_protocol(card_evaluations)
    run = _read_run(weights.parent, header) if (weights.parent / "run.json").is_file() else _RunFacts()
    card = render_card(
        CardFacts(
            repo_id=repo_id,
            licence=licence,
            header=header,
            excluded=run.excluded,
            data=run.data,
            recipe_file=RECIPE in run.files,
            evaluations=tuple(card_evaluations),
            example=run.example,
        )
    )
    files: dict[str, Path | bytes] = {
        FILE_NAME: weights,
        CONFIG_FILE: (json.dumps(header.as_object(), indent=1) + "\n").encode(),
        CARD: card.encode(),
        **run.files,
    }
    for evaluation in card_evaluations:
        files |= evaluation.files
    return WeightsRelease(files=files)


def _read_run(folder: Path, header: WeightsHeader) -> _RunFacts:
    """Return the recipe without paths of this machine, the dataset's fingerprint, and the preview of the last step."""
    record, config = header.training, folder / "config.yaml"
    try:
        recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
        decisive_keys = STAGES[recipe["stage"]].model_validate(recipe).decisive_keys()
        data = str(json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise RunError(f"{config}, or run.json next to it, is missing or damaged: {reason_of(error)}") from error
    if record is not None and recipe_digest(decisive_keys) != record.recipe_sha256:
        raise RunError(f"{folder / FILE_NAME} was not trained with the {config.name} next to it")
    excluded = tuple(Path(name).name for name in recipe.get("exclude") or ())
    files: dict[str, Path | bytes] = {RECIPE: _portable(recipe, excluded).encode()}
    steps = int(recipe["steps"])
    preview = RunFolder(folder).previews / f"step-{steps:08d}.png"
    if not preview.is_file():
        return _RunFacts(data=data, excluded=excluded, files=files)
    example = CardExample(step=steps, held_out=recipe.get("validation") is not None)
    return _RunFacts(data=data, excluded=excluded, example=example, files=files | {EXAMPLE: preview})


def _portable(recipe: Mapping[str, Any], excluded: Sequence[str]) -> str:
    """Return the recipe with the file names of lists instead of their paths, and without a tracker's project."""
    portable = dict(recipe) | {"exclude": list(excluded), "wandb": None}
    return yaml.safe_dump(portable, sort_keys=False, allow_unicode=True)
