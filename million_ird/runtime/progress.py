"""Progress of a build: for the terminal that runs it and, through a file, for any other."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from million_ird.runtime.storage import Folder

STATUS = ".work/progress.json"
SCAN = "scan"
FINISHED = "finished"
"""The stage that the status file names after the last one."""
SECONDS_BETWEEN_WRITES = 1.0


class Listener(Protocol):
    """Shows progress to a person; the command line has one, and a library user may pass their own."""

    def stage(self, name: str, total: int, unit: str) -> None:
        """Begin a stage with `total` items."""

    def advance(self, done: int) -> None:
        """Count `done` more items as done."""

    def more(self, items: int) -> None:
        """Add items to the total of the stage."""


@dataclass(slots=True)
class Progress:
    """Counts items, informs the listener, and keeps `.work/progress.json` current for `million-ird status`."""

    out: Folder
    listener: Listener | None = None
    name: str = ""
    unit: str = ""
    total: int = 0
    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    started: float = 0.0
    ended: dict[str, dict[str, object]] = field(default_factory=dict)
    """The last run of each stage that had something to do, by name: unit, done, seconds."""
    scanning: bool = False
    """Whether a scan was begun and has not ended, in this run or in an earlier one that was cut off."""
    _written: float = 0.0

    def __post_init__(self) -> None:
        earlier = self.out.read_json(STATUS) or {}
        self.ended, self.scanning = earlier.get("ended", {}), earlier.get("scanning", False)

    def stage(self, name: str, total: int, unit: str) -> None:
        """Begin a stage with `total` items of kind `unit`."""
        self.name, self.total, self.unit, self.done = name, total, unit, 0
        self.started = time.time()
        if self.listener:
            self.listener.stage(name, total, unit)
        self._write()

    def advance(self, done: int, failures: Mapping[str, int] | None = None) -> None:
        """Count `done` more items as done; `failures` counts those that failed, by class."""
        self.done += done
        self.failures.update(failures or {})
        if self.listener:
            self.listener.advance(done)
        if time.time() - self._written >= SECONDS_BETWEEN_WRITES:
            self._write()

    def more(self, items: int) -> None:
        """Add items to the total of the stage."""
        self.total += items
        if self.listener:
            self.listener.more(items)

    def finish(self) -> None:
        """Record that the build has finished."""
        self._end_stage()
        self.name = FINISHED
        self._write()

    def _end_stage(self) -> None:
        self.scanning &= self.name != SCAN
        if self.done:
            seconds = round(time.time() - self.started, 3)
            self.ended[self.name] = {"unit": self.unit, "done": self.done, "seconds": seconds}

    def _write(self) -> None:
        now = self._written = time.time()
        self.out.write_json(
            STATUS,
            {
                "stage": self.name,
                "unit": self.unit,
                "done": self.done,
                "total": self.total,
                "started": self.started,
                "updated": now,
                "failures": dict(self.failures),
                "ended": self.ended,
                "scanning": self.scanning,
            },
        )
