"""The progress of a build, from the status file that the build updates."""

import time
from dataclasses import dataclass

from million_ird.build_folder import LOCK
from million_ird.errors import OutputError
from million_ird.runtime.lock import is_locked
from million_ird.runtime.progress import STATUS
from million_ird.runtime.storage import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStatus:
    """The progress of a build, running or not."""

    stage: str
    running: bool
    done: int
    total: int
    unit: str
    rate: float
    """Finished items per second, since the stage began."""
    eta: float | None
    """Seconds until the stage ends; None if it does not run."""
    failures: dict[str, int]
    """Number of failures of this run by failure class."""

    def as_json(self) -> dict[str, object]:
        """Return the status as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def text(self) -> str:
        """The status as text, for people."""
        if self.stage == "finished":
            return "finished"
        activity = "running" if self.running else "stopped; run the same build command to continue"
        remaining = f", {self.eta:.0f} s left in this stage" if self.eta is not None else ""
        line = f"{self.stage}: {self.done:,} of {self.total:,} {self.unit}, {self.rate:.1f}/s{remaining} ({activity})"
        failed = ", ".join(f"{name} {count:,}" for name, count in sorted(self.failures.items()))
        return f"{line}\nfailed: {failed}" if failed else line


def read_status(out: str) -> BuildStatus:
    """Read the progress of the build in `out`.

    Raises:
        OutputError: No build was started there.
    """
    folder = Folder(out)
    state = folder.read_json(STATUS)
    if state is None:
        raise OutputError(f"{out}: no build was started here")
    running = is_locked(folder, LOCK)
    until = time.time() if running else state["updated"]
    rate = state["done"] / max(1e-6, until - state["started"])
    eta = (state["total"] - state["done"]) / rate if running and rate > 0 else None
    return BuildStatus(
        stage=state["stage"],
        running=running,
        done=state["done"],
        total=state["total"],
        unit=state["unit"],
        rate=rate,
        eta=eta,
        failures=state["failures"],
    )
