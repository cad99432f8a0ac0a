"""Results of `dynet evaluate --out`, read for a model card, and only if they belong to the published weights."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dynet.errors import UsageError, reason_of
from dynet.evaluation.evaluate import INPUT
from dynet.evaluation.result_files import CSV, JSON
from dynet.hub.harm import CardHarm


@dataclass(frozen=True, slots=True, kw_only=True)
class CardScore:
    """The mean metrics of one variant, or of the input itself, on one task."""

    psnr: float | None
    """In dB; None where it is not finite."""
    ssim: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTask:
    """One row of a card's table."""

    benchmark: str
    label: str
    """The name of the task in the tables of `dynet evaluate`."""
    images: int
    scores: Mapping[str, CardScore]
    """By variant; the input comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEvaluation:
    """One evaluation by one protocol."""

    protocol: str
    crop_to: int
    noise_rounded: bool
    output_quantised: bool
    device: str
    tile: int | None
    self_ensemble: int
    tasks: tuple[CardTask, ...]
    means: Mapping[str, CardScore]
    """By variant: means over all tasks, each counted once; empty for a single task."""
    harm: CardHarm | None
    """The table and the verdicts of protocol `harm`; None for other protocols."""
    files: Mapping[str, bytes]
    """The published files by their name in the repository, without paths of this machine."""

    @property
    def variants(self) -> tuple[str, ...]:
        """The columns of the table; the input comes first."""
        return tuple(dict.fromkeys(name for task in self.tasks for name in task.scores))

    @classmethod
    def read(cls, folder: Path, sha256: str) -> Self:
        """Read the folder of `--out`.

        Args:
            folder: What `dynet evaluate --out` wrote.
            sha256: The SHA-256 of the weights that are published.

        Raises:
            UsageError: The results are missing, damaged, of other weights, or verdicts on harm by the mean of several
                orientations, which is not what users get unasked; the message names the file.
        """
        file = folder / JSON
        try:
            results = json.loads(file.read_text(encoding="utf-8"))
            same_weights = results["weights"]["sha256"] == sha256
            evaluation = cls._from_results(results, folder) if same_weights else None
        except FileNotFoundError as error:
            raise UsageError(f"--evaluation {folder}: has no {JSON} of `dynet evaluate --out`") from error
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UsageError(f"--evaluation: {file} was not written by `dynet evaluate`: {reason_of(error)}") from error
        if evaluation is not None and evaluation.harm and evaluation.self_ensemble > 1:
            raise UsageError(f"--evaluation: {file} is of protocol harm with --self-ensemble; evaluate without it")
        if evaluation is None:
            raise UsageError(f"--evaluation: {file} belongs to other weights; evaluate the weights to publish")
        return evaluation

    @classmethod
    def _from_results(cls, results: dict[str, Any], folder: Path) -> Self:
        protocol = results["protocol"]
        name = str(protocol["name"])
        if not re.fullmatch(r"[\w-]+", name):  # it becomes part of a file name
            raise ValueError(f"a protocol {name!r}")
        results["weights"]["file"] = Path(results["weights"]["file"]).name  # without the path on this machine
        files = {f"results/{name}.json": (json.dumps(results, indent=1) + "\n").encode()}
        if (folder / CSV).is_file():
            files[f"results/{name}.csv"] = (folder / CSV).read_bytes()
        return cls(
            protocol=name,
            crop_to=int(protocol["crop_to"]),
            noise_rounded=bool(protocol["noise_rounded"]),
            output_quantised=bool(protocol["output_quantised"]),
            device=str(results["device"]),
            tile=results["tile"],
            self_ensemble=int(results.get("self_ensemble", 1)),  # files of earlier versions have none
            tasks=_tasks(results["results"]),
            means=_means(results),
            harm=CardHarm.from_results(results),
            files=files,
        )


def _tasks(rows: Sequence[Mapping[str, Any]]) -> tuple[CardTask, ...]:
    scores_by_task: dict[tuple[str, str], dict[str, CardScore]] = {}
    images: dict[tuple[str, str], int] = {}
    for row in rows:
        task = (str(row["benchmark"]), _label(row))
        score = CardScore(psnr=row["psnr"]["mean"], ssim=row["ssim"]["mean"])
        scores_by_task.setdefault(task, {})[str(row["variant"])] = score
        images[task] = int(row["images"])
    return tuple(
        CardTask(
            benchmark=benchmark,
            label=label,
            images=images[benchmark, label],
            scores=dict(sorted(scores.items(), key=lambda entry: entry[0] != INPUT)),
        )
        for (benchmark, label), scores in scores_by_task.items()
    )


def _label(row: Mapping[str, Any]) -> str:
    sigma = row["sigma"]
    default = "" if sigma is None else f"σ{sigma:g}"
    return f"{row['benchmark']} {row.get('degradation', default)}".strip()


def _means(results: Mapping[str, Any]) -> dict[str, CardScore]:
    tasks = {(row["benchmark"], row["sigma"]) for row in results["results"]}
    if len(tasks) == 1 or not results["mean_over_tasks"]:
        return {}
    rows = results["mean_over_tasks"]
    return {str(row["variant"]): CardScore(psnr=row["psnr"], ssim=row["ssim"]) for row in rows}


def refuse_same_protocol(evaluations: Sequence[CardEvaluation]) -> None:
    """Check that no two evaluations use the same protocol, which would give two values for one cell.

    Raises:
        UsageError: Two of them do.
    """
    names = [evaluation.protocol for evaluation in evaluations]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(
            f"--evaluation: two use the protocol {repeated}: evaluate all benchmarks of a protocol together"
        )
