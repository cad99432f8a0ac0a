"""What is published of a RUN or of a weights file: gathered and checked here, with nothing of this machine in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dynet.config.recipe import STAGES
from dynet.errors import RunError, UsageError, WeightsError, reason_of
from dynet.hub.card import CardFacts, Example, render_card
from dynet.hub.evaluations import Evaluated, refuse_same_protocol
from dynet.model.hub_download import COUNTED
from dynet.model.network import DyNet
from dynet.model.training_record import digest_of
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import FILE_NAME, Header, parts_of, read_header
from dynet.training.run_folder import RunFolder
from dynet.training.train_state import last_step

RECIPE, EXAMPLE, CARD = "recipe.yaml", "example.png", "README.md"
"""The recipe is not called config.yaml: by requests for such a file, too, the Hub counts downloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The files of a model, by name: paths of large ones, contents of others."""

    files: Mapping[str, Path | bytes]

    @property
    def card(self) -> str:
        """The text of README.md."""
        content = self.files[CARD]
        assert isinstance(content, bytes)
        return content.decode()

    def sizes(self) -> dict[str, int]:
        """In bytes."""
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in sorted(self.files.items())
        }


@dataclass(frozen=True, slots=True)
class _OfRun:
    """What a RUN folder adds to its weights file."""

    data: str | None = None
    excluded: tuple[str, ...] = ()
    example: Example | None = None
    files: Mapping[str, Path | bytes] = field(default_factory=dict)


def gather(source: Path, repo_id: str, licence: str, evaluations: Sequence[Path]) -> Release:
    """All files of the model, the card among them.

    Args:
        source: a finished RUN folder, a folder that holds weights, or a weights file.
        repo_id: user/name, as the card is to say it.
        licence: the Hub's identifier.
        evaluations: folders that `dynet evaluate --out` wrote, of these weights.

    Raises:
        RunError: the run is not finished, or the files in its folder are not of one run.
        WeightsError: the weights are missing, broken or do not fit. UsageError: an evaluation is of other weights.
    """
    weights = _find(source)
    header = read_header(weights)
    DyNet.from_pretrained(weights)  # whole, of its shape, and numbers: nothing that does not load is published
    told = [Evaluated.read(folder, sha256_of(weights)) for folder in evaluations]
    refuse_same_protocol(told)
    run = _of_run(weights.parent, header) if (weights.parent / "run.json").is_file() else _OfRun()
    card = render_card(
        CardFacts(
            repo_id=repo_id,
            licence=licence,
            header=header,
            excluded=run.excluded,
            data=run.data,
            recipe_file=RECIPE in run.files,
            evaluations=tuple(told),
            example=run.example,
        )
    )
    files: dict[str, Path | bytes] = {
        FILE_NAME: weights,
        COUNTED: (json.dumps(header.as_object(), indent=1) + "\n").encode(),
        CARD: card.encode(),
        **run.files,
    }
    for evaluation in told:
        files |= evaluation.files
    return Release(files=files)


def _find(source: Path) -> Path:
    """The weights file of a finished run, of a folder, or the file itself."""
    run = source.parent.parent if source.parent.name == "checkpoints" else source
    if (run / "run.json").is_file() and not RunFolder(run).finished():
        done = last_step(RunFolder(run).checkpoints)
        raise RunError(f"{run} is not finished ({done} steps are done): `dynet train … --resume` goes on with it")
    if source.is_dir():
        if not (source / FILE_NAME).is_file():
            hint = "a finished RUN, or a weights file, can be published; `dynet join` makes one file of parts"
            raise WeightsError(f"{source} holds no {FILE_NAME}: {hint}")
        return source / FILE_NAME
    if not source.is_file():
        raise WeightsError(f"{source}: no such file or folder")
    if len(parts_of(source)) > 1:
        raise WeightsError(f"{source} is a part of weights; `dynet join` makes one file of them")
    return source


def _of_run(folder: Path, header: Header) -> _OfRun:
    """The recipe without places on this machine, and the preview of the last step."""
    record, config = header.training, folder / "config.yaml"
    try:
        recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
        decisive = STAGES[recipe["stage"]].model_validate(recipe).decisive()
        data = str(json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise RunError(
            f"{config} or run.json, which tell of this run, is missing or damaged: {reason_of(error)}"
        ) from error
    if record is not None and digest_of(decisive) != record.recipe_sha256:
        raise RunError(f"{folder / FILE_NAME} is not of the run whose {config.name} lies beside it")
    excluded = tuple(Path(name).name for name in recipe.get("exclude") or ())
    files: dict[str, Path | bytes] = {RECIPE: _portable(recipe, excluded).encode()}
    steps = int(recipe["steps"])
    preview = RunFolder(folder).previews / f"step-{steps:08d}.png"
    if not preview.is_file():
        return _OfRun(data=data, excluded=excluded, files=files)
    example = Example(step=steps, held_out=recipe.get("validation") is not None)
    return _OfRun(data=data, excluded=excluded, example=example, files=files | {EXAMPLE: preview})


def _portable(recipe: Mapping[str, Any], excluded: Sequence[str]) -> str:
    """The recipe with the names of lists instead of their places, and without the project of a tracker."""
    told = dict(recipe) | {"exclude": list(excluded), "wandb": None}
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True)


def check_name(repo_id: str) -> None:
    """Raise UsageError for what is no user/name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"--repo-id {repo_id}: no valid name: {reason_of(error)}") from None
    if repo_id.count("/") != 1:
        raise UsageError(f"--repo-id {repo_id}: no valid name: it is user/name")
