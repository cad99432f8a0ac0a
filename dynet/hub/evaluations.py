"""What `dynet evaluate --out` left, read back for a card, and only if it is of the weights that are published."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dynet.errors import UsageError, reason_of

# Said again, and a test compares them: saving weights shall not wait for all that evaluating needs.
INPUT, JSON, CSV = "input", "results.json", "per_image.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of one variant, or of the input itself, on one task."""

    psnr: float | None
    """In dB; None where it is not finite."""
    ssim: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One row of a card's table."""

    benchmark: str
    sigma: float | None
    images: int
    scores: Mapping[str, Score]
    """By variant, the input first."""

    @property
    def label(self) -> str:
        """As `dynet evaluate` prints it."""
        return self.benchmark if self.sigma is None else f"{self.benchmark} σ{self.sigma:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One evaluation, by one protocol."""

    protocol: str
    crop_to: int
    noise_rounded: bool
    output_quantised: bool
    device: str
    tile: int | None
    tasks: tuple[TaskResult, ...]
    means: Mapping[str, Score]
    """Over tasks, each counted once; empty of a single task."""
    files: Mapping[str, bytes]
    """What is published of it, by name in the repository, without places on this machine."""

    @property
    def variants(self) -> tuple[str, ...]:
        """The columns, the input first."""
        return tuple(dict.fromkeys(name for task in self.tasks for name in task.scores))

    @classmethod
    def read(cls, folder: Path, sha256: str) -> Self:
        """Read the folder of `--out`.

        Raises UsageError, naming the file: it is missing, damaged, or of other weights than those of this SHA-256.
        """
        file = folder / JSON
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            theirs = told["weights"]["sha256"]
            read = cls._of(told, folder) if theirs == sha256 else None
        except FileNotFoundError as error:
            raise UsageError(f"--evaluation {folder}: no {JSON} of `dynet evaluate --out` there") from error
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UsageError(f"--evaluation: {file} is not what `dynet evaluate` writes: {reason_of(error)}") from error
        if read is None:
            raise UsageError(f"--evaluation: {file} is of other weights than those to publish: evaluate these")
        return read

    @classmethod
    def _of(cls, told: dict[str, Any], folder: Path) -> Self:
        rules = told["protocol"]
        name = str(rules["name"])
        if not re.fullmatch(r"[\w-]+", name):  # it is to be part of a file's name
            raise ValueError(f"a protocol {name!r}")
        told["weights"]["file"] = Path(told["weights"]["file"]).name  # where it lay is nobody's business
        files = {f"results/{name}.json": (json.dumps(told, indent=1) + "\n").encode()}
        if (folder / CSV).is_file():
            files[f"results/{name}.csv"] = (folder / CSV).read_bytes()
        return cls(
            protocol=name,
            crop_to=int(rules["crop_to"]),
            noise_rounded=bool(rules["noise_rounded"]),
            output_quantised=bool(rules["output_quantised"]),
            device=str(told["device"]),
            tile=told["tile"],
            tasks=_tasks(told["results"]),
            means={str(row["variant"]): Score(psnr=row["psnr"], ssim=row["ssim"]) for row in told["mean_over_tasks"]}
            if len({(row["benchmark"], row["sigma"]) for row in told["results"]}) > 1
            else {},
            files=files,
        )


def _tasks(rows: Sequence[Mapping[str, Any]]) -> tuple[TaskResult, ...]:
    found: dict[tuple[str, float | None], dict[str, Score]] = {}
    images: dict[tuple[str, float | None], int] = {}
    for row in rows:
        task = (str(row["benchmark"]), row["sigma"])
        score = Score(psnr=row["psnr"]["mean"], ssim=row["ssim"]["mean"])
        found.setdefault(task, {})[str(row["variant"])] = score
        images[task] = int(row["images"])
    return tuple(
        TaskResult(
            benchmark=benchmark,
            sigma=sigma,
            images=images[benchmark, sigma],
            scores=dict(sorted(scores.items(), key=lambda entry: entry[0] != INPUT)),
        )
        for (benchmark, sigma), scores in found.items()
    )


def refuse_same_protocol(evaluations: Sequence[Evaluated]) -> None:
    """Raise UsageError for two evaluations by one protocol: a table would have two figures for one thing."""
    names = [one.protocol for one in evaluations]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--evaluation: two are by protocol {twice}: evaluate all benchmarks of one protocol together")
