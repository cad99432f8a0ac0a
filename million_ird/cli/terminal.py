"""What the command line shows: progress on stderr, results on stdout."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Protocol

import typer
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from million_ird.calibrate import Calibration
from million_ird.config.gates import Gate
from million_ird.ledger import Funnel
from million_ird.workflow import Result

SECONDS_BETWEEN_LINES = 30.0


class Bar:
    """A progress bar on a terminal, a line every 30 s elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: object = None
        self._name, self._unit, self._total, self._done = "", "", 0, 0
        self._started = self._said = time.monotonic()

    def __enter__(self) -> "Bar":
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
        """A stage begins."""
        self._name, self._total, self._unit, self._done = name, total, unit, 0
        self._started = self._said = time.monotonic()
        if total == 0:
            self._console.print(f"{name}: nothing to do, all is there", highlight=False)
        elif self._bar:
            self._task = self._bar.add_task(name, total=total, rate="")
        else:
            self._console.print(f"{name}: {total:,} {unit}", highlight=False)

    def advance(self, done: int) -> None:
        """Some more are done."""
        self._done += done
        elapsed = max(1e-9, time.monotonic() - self._started)
        rate = f"{self._done / elapsed:.1f} {self._unit}/s"
        if self._bar:
            self._bar.update(self._task, advance=done, rate=rate)  # type: ignore[arg-type]
        elif time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            left = (self._total - self._done) * elapsed / max(1, self._done)
            self._console.print(
                f"{self._name}: {self._done:,}/{self._total:,}, {rate}, {left:.0f} s left", highlight=False
            )

    def more(self, things: int) -> None:
        """There is more to do than was known."""
        self._total += things
        if self._bar:
            self._bar.update(self._task, total=self._total)  # type: ignore[arg-type]


@contextlib.contextmanager
def ended_at_once() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the program in this block without waiting for any thread.

    Threads of another library cannot be called off: an exception would wait for the files that they are sending.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        shown = b"\x1b[?25h\r\n" if sys.stderr.isatty() else b""  # the bar has hidden the cursor
        os.write(2, shown + b"million-ird: interrupted; the same command goes on from here\n")
        os._exit(130)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def result_json(result: Result) -> str:
    """The one JSON object that `--json` puts on the last line of stdout."""
    return json.dumps(
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
        },
        ensure_ascii=False,
    )


def funnel_table(funnel: Funnel) -> Table:
    """The funnel: what became of the candidates."""
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


def calibration_table(found: Calibration) -> Group:
    """Each measure's best threshold alone, then the chosen gates together."""
    table = Table(title=f"Thresholds that keep {found.recall:.0%} of the good", title_justify="left", box=None)
    for name in ("measure", "gate", "good kept", "bad dropped", "area"):
        table.add_column(name, justify="left" if name in {"measure", "gate"} else "right")
    for one in found.thresholds:
        shares = (f"{one.good_kept:.1%}", f"{one.bad_dropped:.1%}", f"{one.area:.3f}")
        table.add_row(one.gate.field, _limits(one.gate), *shares)
    joint = found.joint
    chosen = [f"  {gate.field} {_limits(gate)}" for gate in joint.gates] or ["  none that pays"]
    told = (
        f"good kept {joint.good_kept:.1%}, bad dropped {joint.bad_dropped:.1%}, precision {joint.precision:.1%}"
        f"; {found.unreadable} files could not be read"
    )
    return Group(table, "", "Together", *chosen, told)


def calibration_json(found: Calibration) -> str:
    """The same as one JSON object."""
    return json.dumps(
        {
            "recall": found.recall,
            "unreadable": found.unreadable,
            "thresholds": [
                {
                    **one.gate.model_dump(include={"field", "min", "max"}),
                    "good_kept": one.good_kept,
                    "bad_dropped": one.bad_dropped,
                    "area": one.area,
                }
                for one in found.thresholds
            ],
            "joint": {
                "gates": [gate.model_dump(include={"field", "min", "max"}) for gate in found.joint.gates],
                "good_kept": found.joint.good_kept,
                "bad_dropped": found.joint.bad_dropped,
                "precision": None if found.joint.precision != found.joint.precision else found.joint.precision,
            },
        }
    )


def _limits(gate: Gate) -> str:
    return f"≥ {gate.min:g}" if gate.min is not None else f"≤ {gate.max:g}"


class Told(Protocol):
    """A result that is told to a person or to a script."""

    @property
    def text(self) -> str:
        """For a person."""

    def as_json(self) -> Mapping[str, object]:
        """For a script: what JSON can hold."""


def tell(result: Told, as_json: bool) -> None:
    """A result, on stdout: in words, or as one JSON object on one line."""
    if as_json:
        typer.echo(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        say(result.text)


def say(text: object) -> None:
    """A result, on stdout. A file may be named like an emoji's code: it is shown as it is."""
    Console(file=sys.stdout, highlight=False, soft_wrap=True).print(text, markup=False, emoji=False)


def complain(text: str) -> None:
    """One line of what is wrong, on stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False, emoji=False)
