"""What `dynet evaluate` leaves: a table to read, an object for programs, and a line per picture."""

import csv
import io
import json
import math
import platform
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import dynet
from dynet.evaluation.evaluate import Evaluation, Measured
from dynet.evaluation.markdown import WIDTH, Column, tables
from dynet.evaluation.summary import Row, Spread, TaskMean, count_not_finite, means_over_tasks, summarise
from dynet.model.weight_parts import sha256_of
from dynet.runtime.atomic_files import write_whole

CSV, JSON, MARKDOWN = "per_image.csv", "results.json", "results.md"
NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of one evaluation."""

    how: Evaluation
    weights: Path
    memory: str
    """What the peak memory is of, as CostMeter says it."""

    measured: Sequence[Measured]

    def as_markdown(self) -> str:
        """Title, tables of at most 80 columns (unless names alone are longer), and what the figures mean."""
        rows = summarise(self.measured)
        means = means_over_tasks(rows) if len(self.how.tasks) > 1 else []
        text = [
            f"# {self.how.protocol.name}: {self.weights.name}\n",
            _tables(rows, means, self.how),
            *(textwrap.fill(note, WIDTH) + "\n" for note in self._notes(rows)),
        ]
        return "\n".join(text)

    def _notes(self, rows: Sequence[Row]) -> Iterable[str]:
        how = self.how
        pieces = "whole pictures" if how.tile is None else f"in tiles of {how.tile} pixels, not whole pictures"
        yield f"On {_device(how.device)}; {pieces}. PSNR in dB; ± is the standard deviation over images."
        yield f"ms: restoring one image, read and on the device. MB: {self.memory} (2^20 bytes)."
        if len(how.tasks) > 1:
            yield f"mean of {len(how.tasks)}: each task counts once, as in the published tables."
        for name, count in count_not_finite(rows, how).items():
            if name == "psnr":
                yield f"PSNR is infinite for {count} pictures that equal the clean ones, and so is a mean with them."
            else:
                yield f"{name} has no finite number for {count} pictures, and so no mean where they are part of it."

    def as_object(self) -> dict[str, Any]:
        """What results.json holds. A number that is not finite is null, with a count beside it: JSON has no other."""
        how = self.how
        rows = summarise(self.measured)
        return {
            "dynet": dynet.__version__,
            "torch": torch.__version__,
            "weights": {"file": str(self.weights), "sha256": sha256_of(self.weights)},
            "protocol": asdict(how.protocol),
            "device": _device(how.device),
            "tile": how.tile,
            "peak_mb_is": self.memory,
            "variants": {variant.name: asdict(variant.schedule) for variant in how.variants},
            "lower_is_better": [metric.name for metric in how.metrics if metric.lower_is_better],
            "results": [
                {
                    "benchmark": row.task.benchmark.name,
                    "sigma": row.task.sigma,
                    "images": row.images,
                    "variant": row.variant,
                    **{name: _spread(value) for name, value in zip(how.value_names, row.values, strict=True)},
                    "ms": _spread(row.ms) if row.ms else None,
                    "peak_mb": row.peak_mb,
                }
                for row in rows
            ],
            "mean_over_tasks": [
                {
                    "variant": mean.variant,
                    **{name: _finite(value) for name, value in zip(how.value_names, mean.values, strict=True)},
                }
                for mean in means_over_tasks(rows)
            ],
        }

    def as_csv(self) -> str:
        """A line for each picture, task and variant; an input has no ms, and an infinite PSNR is `inf`."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        names = self.how.value_names
        lines.writerow(["benchmark", "sigma", "file", "width", "height", "variant", *names, "ms", "peak_mb"])
        for one in self.measured:
            place = [one.task.benchmark.name, one.task.sigma, one.file, one.width, one.height, one.variant]
            lines.writerow([*place, *one.values, one.ms, one.peak_mb])
        return text.getvalue()

    def print(self, *, as_json: bool) -> None:
        """Write the tables to stdout, or the object as one line."""
        text = json.dumps(self.as_object(), allow_nan=False) + "\n" if as_json else self.as_markdown()
        # A terminal that has no σ shall not cost the results.
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()

    def write(self, out: Path) -> None:
        """Write the three files into the folder, each whole, in place of those of an evaluation before."""
        write_whole(out / CSV, self.as_csv())
        write_whole(out / JSON, json.dumps(self.as_object(), indent=1, allow_nan=False) + "\n")
        write_whole(out / MARKDOWN, self.as_markdown())


def _tables(rows: Sequence[Row], means: Sequence[TaskMean], how: Evaluation) -> str:
    """Beside PSNR and SSIM stand time and memory in the first table, whatever other metrics follow."""
    nothing = (NOTHING,) * len(means)
    labels = (*(row.task.label for row in rows), *(f"mean of {len(how.tasks)}" for _ in means))
    variants = (*(row.variant for row in rows), *(mean.variant for mean in means))
    times = tuple(NOTHING if row.ms is None else f"{row.ms.mean:.0f}" for row in rows)
    peaks = tuple(NOTHING if row.peak_mb is None else f"{row.peak_mb:.0f}" for row in rows)
    first, second, *others = (
        Column(
            head,
            (
                *(_plus_minus(row.values[place], decimals) for row in rows),
                *(_shown(mean.values[place], decimals) for mean in means),
            ),
        )
        for place, (head, decimals) in enumerate(_heads(how))
    )
    costs = [Column("ms", times + nothing), Column("MB", peaks + nothing)]
    keys = [Column("task", labels, right=False), Column("variant", variants, right=False)]
    return tables(keys, [first, second, *costs, *others])


def _heads(how: Evaluation) -> list[tuple[str, int]]:
    """Of each thing measured the head of its column, and with how many decimals it is shown."""
    others = [f"{metric.name} {'↓' if metric.lower_is_better else '↑'}" for metric in how.metrics]
    return [("PSNR", 2), ("SSIM", 4), *((head, 4) for head in others)]


def _shown(value: float, decimals: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{decimals}f}"


def _plus_minus(spread: Spread, decimals: int) -> str:
    mean = _shown(spread.mean, decimals)
    return mean if spread.not_finite else f"{mean} ± {spread.std:.{max(decimals - 1, 2)}f}"


def _spread(spread: Spread) -> dict[str, float | int | None]:
    return {"mean": _finite(spread.mean), "std": _finite(spread.std), "not_finite": spread.not_finite}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()}, threads: {torch.get_num_threads()})"
