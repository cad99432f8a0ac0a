"""How far a build is: for the terminal that runs it and, through a file, for any other."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from million_ird.runtime.storage import Folder

STATUS = ".work/progress.json"
SECONDS_BETWEEN_WRITES = 1.0


class Listener(Protocol):
    """Shows progress to a person; the command line has one, a library user may bring none."""

    def stage(self, name: str, total: int, unit: str) -> None:
        """A stage begins that has `total` things to do."""

    def advance(self, done: int) -> None:
        """`done` of them are done now."""

    def more(self, things: int) -> None:
        """There are so many more to do than was known."""


@dataclass(slots=True)
class Progress:
    """Counts what is done, tells the listener, and keeps `.work/progress.json` fresh for `million-ird status`."""

    out: Folder
    listener: Listener | None = None
    name: str = ""
    unit: str = ""
    total: int = 0
    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    started: float = 0.0
    _written: float = 0.0

    def stage(self, name: str, total: int, unit: str) -> None:
        """A stage begins that has `total` things of kind `unit` to do."""
        self.name, self.total, self.unit, self.done = name, total, unit, 0
        self.started = time.time()
        if self.listener:
            self.listener.stage(name, total, unit)
        self._write()

    def advance(self, done: int, failures: Mapping[str, int] | None = None) -> None:
        """`done` more are done, some of which failed by class."""
        self.done += done
        self.failures.update(failures or {})
        if self.listener:
            self.listener.advance(done)
        if time.time() - self._written >= SECONDS_BETWEEN_WRITES:
            self._write()

    def more(self, things: int) -> None:
        """There are so many more to do than was known."""
        self.total += things
        if self.listener:
            self.listener.more(things)

    def finish(self) -> None:
        """The build ended well."""
        self.name = "finished"
        self._write()

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
            },
        )
