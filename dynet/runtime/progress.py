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

LINE_EVERY_S = 30.0


class ProgressReport:
    """Steps done of a total, with what the caller wants said beside them."""

    def __init__(
        self, title: str, total: float, done: float = 0, *, shown: bool = True, as_percentage: bool = False
    ) -> None:
        """`as_percentage`: say how much of the total is done in percent, where steps are of no use to a reader."""
        self._title, self._total, self._first, self._done = title, total, done, done
        self._as_percentage = as_percentage
        self._console = Console(stderr=True, quiet=not shown, emoji=False)  # names may hold :cat:
        self._began = self._last_line = time.monotonic()
        columns: tuple[ProgressColumn, ...] = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn() if as_percentage else MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
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
        """Count steps as done."""
        self._done += steps
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, note=note)
            return
        now = time.monotonic()
        ended = steps > 0 and self._total - self._done <= 1e-6 * self._total  # parts of steps add up within rounding
        if now - self._last_line >= LINE_EVERY_S or ended:
            self._last_line = now
            rate = (self._done - self._first) / max(now - self._began, 1e-9)
            left = max(self._total - self._done, 0) / max(rate, 1e-9)
            done = f"{self._done / self._total:.0%}" if self._as_percentage else f"{self._done}/{self._total}"
            line = f"{self._title} {done} {note} ETA {int(left // 60)}:{int(left % 60):02d}"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
