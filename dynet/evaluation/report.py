"""The report of `dynet evaluate`: a table to read, a JSON object, and a CSV line per image."""

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

from dynet.evaluation.benchmark import BenchmarkTask
from dynet.evaluation.evaluate import EvalResult, Evaluation
from dynet.evaluation.markdown import WIDTH, TableColumn, tables
from dynet.evaluation.result_files import CSV, JSON, MARKDOWN
from dynet.evaluation.summary import Spread, SummaryRow, TaskMean, count_not_finite, means_over_tasks, summarise
from dynet.model.variants import Variant
from dynet.model.weight_parts import sha256_of
from dynet.runtime.atomic_files import write_atomically
from dynet.runtime.printable import printable_lines
from dynet.version import __version__

_BEGIN_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of one evaluation, and what they are of."""

    evaluation: Evaluation
    weights: Path
    memory: str
    """What peak memory includes, in the words of CostMeter."""

    results: Sequence[EvalResult]

    def as_markdown(self) -> str:
        """Return title, tables of at most 80 columns (more if names are longer), and what the figures mean."""
        rows = summarise(self.results)
        text = [
            f"# {self.evaluation.protocol.name}: {self.weights.name}\n",
            self._tables(rows),
            *(textwrap.fill(note, WIDTH) + "\n" for note in self._notes(rows)),
        ]
        return "\n".join(text)

    def _tables(self, rows: Sequence[SummaryRow]) -> str:
        return _tables(rows, self._means(rows) if len(self.evaluation.tasks) > 1 else [], self.evaluation)

    def _means(self, rows: Sequence[SummaryRow]) -> Sequence[TaskMean]:
        return means_over_tasks(rows)

    def _setting(self) -> str:
        """Return where and on what the network ran."""
        tile = self.evaluation.tile
        extent = "whole images" if tile is None else f"in tiles of {tile} pixels, not whole images"
        turned = f"; mean of {count} orientations" if (count := self.evaluation.self_ensemble) > 1 else ""
        return f"On {_device(self.evaluation.device)}; {extent}{turned}."

    def _notes(self, rows: Sequence[SummaryRow]) -> Iterable[str]:
        evaluation = self.evaluation
        yield f"{self._setting()} PSNR in dB; ± is the standard deviation over images."
        yield f"ms: restoring one image that is on the device already. MB: {self.memory} (2^20 bytes)."
        if len(evaluation.tasks) > 1:
            yield f"mean of {len(evaluation.tasks)}: each task counts once, as in the published tables."
        for name, count in count_not_finite(rows, evaluation).items():
            images = "1 image" if count == 1 else f"{count} images"
            if name == "psnr":
                equal = "that equals the clean one" if count == 1 else "that equal the clean ones"
                yield f"PSNR is infinite for {images} {equal}, and so is a mean that includes it."
            else:
                yield f"{name} has no finite value for {images}, and no mean that includes it."

    def as_object(self) -> dict[str, Any]:
        """Return the content of results.json; a value that is not finite is null, with a count of such values."""
        evaluation = self.evaluation
        rows = summarise(self.results)
        return {
            "dynet": __version__,
            "torch": torch.__version__,
            "weights": {"file": str(self.weights), "sha256": sha256_of(self.weights)},
            "protocol": asdict(evaluation.protocol),
            "device": _device(evaluation.device),
            "tile": evaluation.tile,
            "self_ensemble": evaluation.self_ensemble,
            "peak_mb_is": self.memory,
            "variants": {variant.name: _schedule(variant, evaluation) for variant in evaluation.variants},
            "lower_is_better": [metric.name for metric in evaluation.metrics if metric.lower_is_better],
            "results": [
                {
                    **self._task_fields(row.task),
                    "images": row.images,
                    "variant": row.variant,
                    **{name: _spread(value) for name, value in zip(evaluation.value_names, row.values, strict=True)},
                    "ms": _spread(row.ms) if row.ms else None,
                    "peak_mb": row.peak_mb,
                }
                for row in rows
            ],
            "mean_over_tasks": [
                {
                    "variant": mean.variant,
                    **{name: _finite(value) for name, value in zip(evaluation.value_names, mean.values, strict=True)},
                }
                for mean in self._means(rows)
            ],
        }

    def _task_fields(self, task: BenchmarkTask) -> dict[str, Any]:
        """Return what identifies a task in JSON and CSV."""
        return {"benchmark": task.benchmark.name, "sigma": task.sigma}

    def as_csv(self) -> str:
        """Return a line for each image, task and variant; an input has no ms, and an infinite PSNR is `inf`.

        Names of files that a spreadsheet would read as a formula begin with an apostrophe, which it does not show.
        """
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        names = self.evaluation.value_names
        task_names = self._task_fields(self.evaluation.tasks[0])
        lines.writerow([*task_names, "file", "width", "height", "variant", *names, "ms", "peak_mb"])
        for result in self.results:
            image = [result.file, result.width, result.height, result.variant]
            cells = [*self._task_fields(result.task).values(), *image, *result.values, result.ms, result.peak_mb]
            lines.writerow(_not_a_formula(cell) if isinstance(cell, str) else cell for cell in cells)
        return text.getvalue()

    def print(self, *, as_json: bool) -> None:
        """Write the tables to stdout, or the object as one line."""
        text = json.dumps(self.as_object(), allow_nan=False) + "\n" if as_json else self.as_markdown()
        # A terminal that cannot show σ must not lose the results.
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(printable_lines(text).encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()

    def write(self, out: Path) -> None:
        """Write the three files to the folder, each as a whole; those of an earlier evaluation are replaced."""
        write_atomically(out / CSV, self.as_csv())
        write_atomically(out / JSON, json.dumps(self.as_object(), indent=1, allow_nan=False) + "\n")
        write_atomically(out / MARKDOWN, self.as_markdown())


def _tables(rows: Sequence[SummaryRow], means: Sequence[TaskMean], evaluation: Evaluation) -> str:
    """Return the tables; time and memory follow PSNR and SSIM in the first, before other metrics."""
    nothing = (NOTHING,) * len(means)
    labels = (*(row.task.label for row in rows), *(f"mean of {len(evaluation.tasks)}" for _ in means))
    variants = (*(row.variant for row in rows), *(mean.variant for mean in means))
    times = tuple(NOTHING if row.ms is None else f"{row.ms.mean:.0f}" for row in rows)
    peaks = tuple(NOTHING if row.peak_mb is None else f"{row.peak_mb:.0f}" for row in rows)
    first, second, *others = (
        TableColumn(
            head,
            (
                *(_plus_minus(row.values[index], decimals) for row in rows),
                *(_format(mean.values[index], decimals) for mean in means),
            ),
        )
        for index, (head, decimals) in enumerate(_heads(evaluation))
    )
    costs = [TableColumn("ms", times + nothing), TableColumn("MB", peaks + nothing)]
    keys = [TableColumn("task", labels, right=False), TableColumn("variant", variants, right=False)]
    return tables(keys, [first, second, *costs, *others])


def _not_a_formula(text: str) -> str:
    """Return a text that spreadsheets show as it is: https://owasp.org/www-community/attacks/CSV_Injection."""
    return f"'{text}" if text.startswith(_BEGIN_FORMULA) else text


def _schedule(variant: Variant, evaluation: Evaluation) -> dict[str, int] | None:
    """Return how often a DyNet applies its blocks; None for a network of another kind."""
    return None if evaluation.model.architecture is None else asdict(variant.schedule)


def _heads(evaluation: Evaluation) -> list[tuple[str, int]]:
    """Return the head of each metric's column, and its number of decimals."""
    others = [f"{metric.name} {'↓' if metric.lower_is_better else '↑'}" for metric in evaluation.metrics]
    return [("PSNR", 2), ("SSIM", 4), *((head, 4) for head in others)]


def _format(value: float, decimals: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{decimals}f}"


def _plus_minus(spread: Spread, decimals: int) -> str:
    mean = _format(spread.mean, decimals)
    return mean if spread.not_finite else f"{mean} ± {spread.std:.{max(decimals - 1, 2)}f}"


def _spread(spread: Spread) -> dict[str, float | int | None]:
    return {"mean": _finite(spread.mean), "std": _finite(spread.std), "not_finite": spread.not_finite}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()}, threads: {torch.get_num_threads()})"
