"""What the command line prints: progress on stderr, results on stdout."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Protocol

import typer
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from million_ird.build_result import Result
from million_ird.config.gates import Gate
from million_ird.ledger import Funnel
from million_ird.printable import printable, printable_json, printable_lines
from million_ird.reporting.formatting import plural
from million_ird.stages import BuildStages

if TYPE_CHECKING:  # it loads scipy.stats, which no other command needs: a second at each start
    from million_ird.calibrate import Calibration

SECONDS_BETWEEN_LINES = 30.0
WIDEST = 10_000
"""Columns that a table may take at most."""


class ProgressBar:
    """A progress bar on a terminal; elsewhere a line every 30 s."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: object = None
        self._name, self._unit, self._total, self._done = "", "", 0, 0
        self._started = self._last_line = time.monotonic()

    def __enter__(self) -> "ProgressBar":
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description:<6}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def stage(self, name: str, total: int, unit: str) -> None:
        """Begin a stage of `total` units; `unit` is their plural."""
        self._name, self._total, self._unit, self._done = name, total, unit, 0
        self._started = self._last_line = time.monotonic()
        if total == 0:
            self._console.print(f"{name}: nothing to do", highlight=False)
        elif self._bar:
            self._task = self._bar.add_task(name, total=total, rate="")
        else:
            self._console.print(f"{name}: {total:,} {unit.removesuffix('s') if total == 1 else unit}", highlight=False)

    def advance(self, done: int) -> None:
        """Count `done` more finished units."""
        self._done += done
        elapsed = max(1e-9, time.monotonic() - self._started)
        rate = "" if self._unit == "s" else f"{self._done / elapsed:.1f} {self._unit}/s"  # seconds a second say nothing
        if self._bar:
            self._bar.update(self._task, advance=done, rate=rate)  # type: ignore[arg-type]
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            remaining = (self._total - self._done) * elapsed / max(1, self._done)
            note = rate and f", {rate}"
            self._console.print(
                f"{self._name}: {self._done:,}/{self._total:,}{note}, {remaining:.0f} s left",
                highlight=False,
            )

    def more(self, units: int) -> None:
        """Add units that were not known when the stage began."""
        self._total += units
        if self._bar:
            self._bar.update(self._task, total=self._total)  # type: ignore[arg-type]


@contextlib.contextmanager
def exit_on_signal() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the program within this block without waiting for any thread.

    Threads of another library cannot be cancelled: an exception would wait for the files that they are sending.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        show_cursor = b"\x1b[?25h\r\n" if sys.stderr.isatty() else b""  # the bar has hidden it
        os.write(2, show_cursor + b"million-ird: interrupted; run the same command again to continue\n")
        os._exit(130)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def result_json(result: Result, stages: BuildStages) -> str:
    """Return a build's result as the JSON object that `--json` prints on the last line of stdout."""
    return printable_json(
        {
            "candidates": result.funnel.candidates,
            "kept": result.funnel.kept,
            "dropped": result.funnel.dropped,
            "failed": result.funnel.failed,
            "failures": result.funnel.failures,
            "images": result.written.images,
            "patches": result.written.patches,
            "measured": result.scan.measured,
            "vanished": result.scan.vanished,
            "out": result.out,
            "seconds": round(result.seconds, 3),
            "next": list(stages.commands),
        }
    )


def next_line(stages: BuildStages) -> None:
    """Print which stage is due, why, and what to run; nothing if everything is current.

    Each command has a line of its own, without other words, so that it can be copied on a narrow terminal. `&&` at the
    end of a line makes several lines one command.
    """
    if stages.why:
        info("\n".join([f"Next: {stages.why}", *" &&\n".join(stages.commands).splitlines()]))


def written_line(result: Result) -> str:
    """Return how much of the dataset was written, and where."""
    written = result.written
    return f"{plural(written.images, 'image')} and {plural(written.patches, 'patch', 'patches')} in {result.out}"


def funnel_table(funnel: Funnel) -> Table:
    """Return a table of what became of the candidates."""
    table = Table(title="What became of the candidates", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("images", justify="right")
    table.add_column("share", justify="right")
    rows = [("candidates", funnel.candidates), ("kept", funnel.kept)]
    rows += [(f"  dropped: {reason}", count) for reason, count in funnel.dropped.items()]
    rows += [(f"  failed: {name}", count) for name, count in funnel.failures.items()]
    for name, count in rows:
        table.add_row(name, f"{count:,}", f"{count / max(1, funnel.candidates):.1%}")
    return table


def calibration_table(calibration: "Calibration") -> Group:
    """Return a table of each measure's best threshold alone, and the gates that were chosen together."""
    title = f"Thresholds that keep {calibration.recall:.0%} of the good images"
    table = Table(title=title, title_justify="left", box=None)
    for name in ("measure", "gate", "good kept", "bad dropped", "area"):
        table.add_column(name, justify="left" if name in {"measure", "gate"} else "right")
    for threshold in calibration.thresholds:
        shares = (f"{threshold.good_kept:.1%}", f"{threshold.bad_dropped:.1%}", f"{threshold.area:.3f}")
        table.add_row(threshold.gate.field, _limits(threshold.gate), *shares)
    joint = calibration.joint
    gates = [f"  {gate.field} {_limits(gate)}" for gate in joint.gates] or ["  no gate drops enough bad images"]
    summary = (
        f"good kept {joint.good_kept:.1%}, bad dropped {joint.bad_dropped:.1%}, precision {joint.precision:.1%}"
        f"; {plural(calibration.unreadable, 'file')} could not be read"
    )
    return Group(table, "", "Together", *gates, summary)


def calibration_json(calibration: "Calibration") -> str:
    """Return a calibration as one JSON object."""
    joint = calibration.joint
    return printable_json(
        {
            "recall": calibration.recall,
            "unreadable": calibration.unreadable,
            "thresholds": [
                {
                    **threshold.gate.model_dump(include={"field", "min", "max"}),
                    "good_kept": threshold.good_kept,
                    "bad_dropped": threshold.bad_dropped,
                    "area": threshold.area,
                }
                for threshold in calibration.thresholds
            ],
            "joint": {
                "gates": [gate.model_dump(include={"field", "min", "max"}) for gate in joint.gates],
                "good_kept": joint.good_kept,
                "bad_dropped": joint.bad_dropped,
                "precision": joint.precision,
            },
        }
    )


def _limits(gate: Gate) -> str:
    return f"≥ {gate.min:g}" if gate.min is not None else f"≤ {gate.max:g}"


class Printable(Protocol):
    """A result that can be printed for a person or for a script."""

    @property
    def text(self) -> str:
        """The result for a person."""

    def as_json(self) -> Mapping[str, object]:
        """Return the result for a script: values that JSON can hold."""


def emit(result: Printable, as_json: bool) -> None:
    """Print a result on stdout: as text, or as one JSON object on one line."""
    if as_json:
        typer.echo(printable_json(result.as_json()))
    else:
        info(result.text)


def info(text: RenderableType) -> None:
    """Print lines or a table on stdout: a file name may look like markup or the code of an emoji."""
    console = Console(file=sys.stdout, highlight=False)
    if isinstance(text, str):
        console.print(printable_lines(text), markup=False, emoji=False, soft_wrap=True)
        return
    # A narrow terminal wraps a table's cells between words; never within one, for which the table gets wider.
    width = max(console.width, Measurement.get(console, console.options.update(max_width=WIDEST), text).minimum)
    console.width = width
    console.print(text, markup=False, emoji=False)


def error(text: str) -> None:
    """Print one line on stderr that says what is wrong."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(printable(text), markup=False, emoji=False)
