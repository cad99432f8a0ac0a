"""How far a build is, read from the file that the build keeps fresh."""

import time
from dataclasses import dataclass

from million_ird.build_folder import LOCK
from million_ird.errors import OutputError
from million_ird.runtime.lock import is_owned
from million_ird.runtime.progress import STATUS
from million_ird.runtime.storage import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A look at a build, running or not."""

    stage: str
    running: bool
    done: int
    total: int
    unit: str
    rate: float
    """Per second, since the stage began."""
    eta: float | None
    """Seconds left in the stage, if it runs."""
    failures: dict[str, int]
    """By class, of this run."""

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def text(self) -> str:
        """For a person."""
        if self.stage == "finished":
            return "finished"
        state = "running" if self.running else "stopped; the same build command goes on from here"
        left = f", {self.eta:.0f} s left in this stage" if self.eta is not None else ""
        line = f"{self.stage}: {self.done:,} of {self.total:,} {self.unit}, {self.rate:.1f}/s{left} ({state})"
        failed = ", ".join(f"{name} {count:,}" for name, count in sorted(self.failures.items()))
        return f"{line}\nfailed: {failed}" if failed else line


def status(out: str) -> Status:
    """Reads the state of the build in `out`.

    Raises:
        OutputError: no build was ever started there.
    """
    folder = Folder(out)
    said = folder.read_json(STATUS)
    if said is None:
        raise OutputError(f"{out}: no build was started here")
    running = is_owned(folder, LOCK)
    until = time.time() if running else said["updated"]
    rate = said["done"] / max(1e-6, until - said["started"])
    left = (said["total"] - said["done"]) / rate if running and rate > 0 else None
    return Status(
        stage=said["stage"],
        running=running,
        done=said["done"],
        total=said["total"],
        unit=said["unit"],
        rate=rate,
        eta=left,
        failures=said["failures"],
    )
