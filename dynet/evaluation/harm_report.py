"""The report of protocol `harm`: gains and shifts by task and variant, and a verdict for each variant."""

from collections.abc import Iterable, Sequence
from typing import Any

from dynet.evaluation.benchmark import BenchmarkTask
from dynet.evaluation.evaluate import INPUT
from dynet.evaluation.harm import (
    CLEAN_PSNR,
    HIGHEST_PSNR,
    LIMITS,
    MAX_SHIFT,
    SHIFTS,
    HarmRow,
    HarmVerdict,
    harm_rows,
    harm_verdicts,
)
from dynet.evaluation.markdown import TableColumn, tables
from dynet.evaluation.report import NOTHING, Report
from dynet.evaluation.summary import SummaryRow, TaskMean


class HarmReport(Report):
    """The results of an evaluation by protocol `harm`."""

    def rows(self) -> list[HarmRow]:
        """Return the figures of each task and variant."""
        return harm_rows(self.results, self.evaluation.value_names)

    def verdicts(self) -> list[HarmVerdict]:
        """Return a verdict for each variant."""
        return harm_verdicts(self.rows())

    def as_markdown(self) -> str:
        """Return title, table, a line for the verdict on each variant, and what the figures mean."""
        lines = "".join(f"{verdict}\n" for verdict in self.verdicts())
        return f"{super().as_markdown()}\n{lines}"

    def as_object(self) -> dict[str, Any]:
        """Return the content of results.json: that of other protocols, with gains, shifts and verdicts."""
        fields = super().as_object()
        for row, figures in zip(fields["results"], self.rows(), strict=True):
            row["gain"] = {"mean": figures.gain, "worst": figures.worst_gain}
            row["largest_shift"] = dict(figures.largest_shifts)
        verdicts = {
            verdict.variant: {"passes": verdict.passes, "reasons": list(verdict.reasons)} for verdict in self.verdicts()
        }
        return fields | {"harm": {"limits": dict(LIMITS), "variants": verdicts}}

    def _task_fields(self, task: BenchmarkTask) -> dict[str, Any]:
        assert task.degradation is not None
        return super()._task_fields(task) | {"degradation": task.degradation.label}

    def _means(self, rows: Sequence[SummaryRow]) -> Sequence[TaskMean]:
        return []  # a mean over clean and noisy images means nothing

    def _tables(self, rows: Sequence[SummaryRow]) -> str:
        figures = self.rows()
        keys = [
            TableColumn("task", tuple(row.task.label for row in figures), right=False),
            TableColumn("variant", tuple(row.variant for row in figures), right=False),
        ]
        columns = [
            TableColumn("PSNR", tuple(f"{row.psnr:.2f}" for row in figures)),
            TableColumn("gain", tuple(NOTHING if row.variant == INPUT else f"{row.gain:+.2f}" for row in figures)),
            TableColumn(
                "worst", tuple(NOTHING if row.variant == INPUT else f"{row.worst_gain:+.2f}" for row in figures)
            ),
        ]
        shifts = [TableColumn(name, tuple(_shift(row, name) for row in figures)) for name in SHIFTS]
        others = [
            TableColumn(name, tuple(f"{row.values[number].mean:.4f}" for row in rows))
            for number, name in enumerate(self.evaluation.value_names)
            if name not in ("psnr", *SHIFTS)
        ]
        return tables(keys, [*columns, *shifts, *others])

    def _notes(self, rows: Sequence[SummaryRow]) -> Iterable[str]:
        yield f"{self._setting()} Inputs and outputs are files of 8 bits."
        yield (
            f"PSNR in dB, of each image at most {HIGHEST_PSNR:.1f} (half a level); gain: against the input, mean over "
            "images; worst: of the worst image."
        )
        yield (
            "Shifts in levels of 255 against the clean image: mean over images, and in brackets the image with the "
            "largest."
        )
        yield (
            f"Passes: clean at least {CLEAN_PSNR:g} dB, no weak degradation below its input, no mean shift above "
            f"{MAX_SHIFT:g} levels (or that of the input)."
        )


def _shift(row: HarmRow, name: str) -> str:
    return f"{row.shifts[name]:+.2f} ({row.largest_shifts[name]:+.2f})"
