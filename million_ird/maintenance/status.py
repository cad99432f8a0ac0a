"""The status of a build: its stages, its counts, how fast the last run was, and what to run next."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from million_ird import ledger as ledgers
from million_ird.build_folder import LOCK, RECIPE, open_build
from million_ird.dataset.layout import hub_configs
from million_ird.errors import LedgerError, OutputError
from million_ird.ledger import Funnel
from million_ird.ledger_stream import LedgerStream, count_verdicts
from million_ird.reporting.formatting import duration, plural
from million_ird.runtime.lock import is_locked
from million_ird.runtime.progress import FINISHED, STATUS
from million_ird.runtime.storage import Folder
from million_ird.stages import BuildStages, Stage, find_stages


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStage:
    """What a stage did when it last had something to do."""

    name: str
    done: int
    unit: str
    rate: float
    """Finished items per second, since the stage began."""

    @property
    def text(self) -> str:
        """The stage as text, for people."""
        count = f"{self.done:,} {self.unit.removesuffix('s') if self.done == 1 else self.unit}"
        return f"{count}, {self.rate:.1f}/s" if self.done else count


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStatus:
    """The status of a build, running or not."""

    stage: str
    """The stage that runs, or was interrupted; `finished` otherwise."""
    running: bool
    done: int
    total: int
    unit: str
    rate: float
    """Finished items per second, since the stage began."""
    eta: float | None
    """Seconds until the stage ends; None if it does not run."""
    failures: dict[str, int]
    """Number of failures of the last run by failure class."""
    ended: tuple[RunStage, ...]
    """The last run of each stage that had something to do, with its rate."""
    stages: BuildStages | None
    """The stages that are due; None while another process changes the folder, and before anything was measured."""
    funnel: Funnel | None
    """The verdicts of the ledger; None while another process changes the folder, and before anything was decided."""
    rows: dict[str, int]
    """Rows of the dataset's files, by configuration."""
    next: tuple[str, ...]
    """The commands to run next, in order; none if everything is current."""

    def as_json(self) -> dict[str, object]:
        """Return the status as a JSON object."""
        names = ("stage", "running", "done", "total", "unit", "rate", "eta", "failures", "rows")
        counted = self.funnel
        due = self.stages.due if self.stages else {}
        return {
            **{name: getattr(self, name) for name in names},
            "ended": [{name: getattr(stage, name) for name in RunStage.__slots__} for stage in self.ended],
            "stages": {stage.value: due.get(stage, "current") for stage in Stage} if self.stages else None,
            "unmeasured": self.stages.unmeasured if self.stages else None,
            "candidates": counted.candidates if counted else None,
            "kept": counted.kept if counted else None,
            "dropped": counted.dropped if counted else None,
            "failed": counted.failed if counted else None,
            "next": list(self.next),
        }

    @property
    def text(self) -> str:
        """The status as text, for people."""
        lines = [] if self.stage == FINISHED and not self.running else [self._progress()]
        if self.stages:
            lines += [f"{stage:<8}{self._state(stage, self.stages)}" for stage in Stage]
        if self.failures and not self.funnel:
            lines.append(f"failed  {_counts(self.failures)}")
        if self.stages and self.stages.unmeasured:
            passing = plural(self.stages.unmeasured, "candidate")
            lines.append(f"{passing} pass the gates but were never measured completely")
        if self.next and self.stage == FINISHED:
            lines += [f"{'then' if number else 'next':<8}{command}" for number, command in enumerate(self.next)]
        elif self.stages and not self.next:
            lines.append("Everything is up to date.")
        return "\n".join(lines)

    def _progress(self) -> str:
        if self.stage == FINISHED:
            return "another command is working in this folder"
        activity = "running" if self.running else "stopped; run the same command to continue"
        left = f", {duration(self.eta)} left in this stage" if self.eta is not None else ""
        return f"{self.stage}: {self.done:,} of {self.total:,} {self.unit}, {self.rate:.1f}/s{left} ({activity})"

    def _state(self, stage: Stage, stages: BuildStages) -> str:
        state = f"due: {stages.due[stage]}" if stage in stages.due else "current"
        if stage is Stage.SCAN and stages.cut_off:
            state = "due: the last scan was cut off"
        counted = self.funnel
        counts = {
            Stage.SCAN: plural(counted.candidates, "candidate") if counted else "",
            Stage.DECIDE: _verdicts(counted) if counted else "",
            Stage.WRITE: ", ".join(
                _plural(name, self.rows[name]) for name in ("images", "patches") if name in self.rows
            ),
        }.get(stage, "")
        ran = next((f"last run: {ended.text}" for ended in self.ended if ended.name == stage), "")
        return "; ".join(filter(None, (state, counts, ran)))


def _plural(name: str, count: int) -> str:
    return plural(count, "image") if name == "images" else plural(count, "patch", "patches")


def _verdicts(counted: Funnel) -> str:
    dropped = f"{sum(counted.dropped.values()):,} dropped"
    failed = f"{counted.failed:,} failed" + (f" ({_counts(counted.failures)})" if counted.failures else "")
    return f"{counted.kept:,} kept, {dropped}, {failed}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def read_status(out: str) -> BuildStatus:
    """Read the status of the build in `out`; it may be running.

    Raises:
        OutputError: No build was started there.
        DamagedFile: The ledger or a footer cannot be read.
    """
    folder = Folder(out)
    state = folder.read_json(STATUS)
    if state is None and not folder.exists(RECIPE):
        raise OutputError(f"{out}: no build was started here")
    running = is_locked(folder, LOCK)
    folder, recipe = open_build(out)
    state = state or {"stage": FINISHED, "unit": "", "done": 0, "total": 0, "started": 0, "updated": 0, "failures": {}}
    until = time.time() if running else state["updated"]
    rate = state["done"] / max(1e-6, until - state["started"])
    stages = None if running else find_stages(folder, recipe)
    return BuildStatus(
        stage=state["stage"],
        running=running,
        done=state["done"],
        total=state["total"],
        unit=state["unit"],
        rate=rate,
        eta=(state["total"] - state["done"]) / rate if running and rate > 0 else None,
        failures=state["failures"],
        ended=tuple(_ended(name, entry) for name, entry in state.get("ended", {}).items()),
        stages=stages,
        funnel=None if running else _funnel(folder),
        rows={} if running else {config.name: config.rows for config in hub_configs(folder)},
        next=stages.commands if stages else (),
    )


def _ended(name: str, entry: Mapping[str, Any]) -> RunStage:
    rate = entry["done"] / max(1e-6, entry["seconds"])
    return RunStage(name=name, done=entry["done"], unit=entry["unit"], rate=rate)


def _funnel(folder: Folder) -> Funnel | None:
    try:
        names = ledgers.files(folder)
    except LedgerError:
        return None
    return count_verdicts(LedgerStream.of_build(folder)) if names else None
