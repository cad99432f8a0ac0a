"""Progress on stderr: a bar on a terminal, a line every 30 seconds elsewhere. stdout is for results."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from dynet.runtime.printable import printable

LINE_EVERY_S = 30.0


class ProgressReport:
    """A display of how many steps of a total are done, with a note from the caller."""

    def __init__(
        self, title: str, total: float, done: float = 0, *, shown: bool = True, as_percentage: bool = False
    ) -> None:
        """Set up the display.

        Args:
            title: What is done.
            total: The number of steps.
            done: How many of them were done before.
            shown: Whether to show anything.
            as_percentage: Show percent instead of steps, where the number of steps means nothing to a reader.
        """
        self._title, self._total, self._first, self._done = title, total, done, done
        self._as_percentage = as_percentage
        self._console = Console(stderr=True, quiet=not shown, emoji=False)  # names may contain :cat:
        self._started = self._last_line = time.monotonic()
        columns: tuple[ProgressColumn, ...] = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn() if as_percentage else MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console) if self._console.is_terminal and shown else None
        self._task = self._bar.add_task(title, total=total, note="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self._first)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, note: str, steps: float = 1) -> None:
        """Count steps as done, and show the note."""
        self._done += steps
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, note=printable(note))
            return
        now = time.monotonic()
        finished = steps > 0 and self._total - self._done <= 1e-6 * self._total  # fractions of steps add up inexactly
        if now - self._last_line >= LINE_EVERY_S or finished:
            self._last_line = now
            rate = (self._done - self._first) / max(now - self._started, 1e-9)
            remaining = max(self._total - self._done, 0) / max(rate, 1e-9)
            done = f"{self._done / self._total:.0%}" if self._as_percentage else f"{self._done}/{self._total}"
            line = f"{self._title} {done} {printable(note)} ETA {int(remaining // 60)}:{int(remaining % 60):02d}"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
