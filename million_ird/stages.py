"""Which stages of a build are due: the only place that knows whether an earlier stage has moved on without a later one.

Each stage says what it was made from. `.work/scan.json` lists the rows of the scan, `.work/decided.json` the scan and
the rules that the ledger was decided by. Card and report end with a mark: digests of the ledger and of the recipe that
they show. The card is the last file that `write` writes, so its mark is that of the shards, too. Marks survive copying,
cleaning and publishing.
"""

import enum
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import pyarrow.compute as pc

from million_ird.build_folder import DECIDED, INDEX, RECIPE, SOURCES, STAGING, open_build, recipe_of
from million_ird.config.recipe import Recipe, digest
from million_ird.dataset.layout import CARD, REPORT
from million_ird.errors import StaleBuild
from million_ird.ledger_stream import LedgerStream
from million_ird.marks import INCOMPLETE, Mark, has_ledger, ledger_digest, read_mark, shards_match
from million_ird.reference_sets import reference_digests
from million_ird.runtime.progress import STATUS
from million_ird.runtime.storage import Folder
from million_ird.schema import NOT_MEASURED, measure_fields


class Stage(enum.StrEnum):
    """The stages of a build, in order; each is the name of its command."""

    SCAN = "scan"
    DECIDE = "decide"
    WRITE = "write"
    REPORT = "report"


IN_LEDGER = (Stage.SCAN, Stage.DECIDE)
"""The stages that the verdicts depend on."""
IN_DATASET = (*IN_LEDGER, Stage.WRITE)
"""The stages that what is published and exported depends on; no other file depends on the report."""


_CHANGED_RECIPE = "the recipe changed since"
_CHANGED_LEDGER = "candidates were decided again since"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStages:
    """Which stages of a build are due, and why."""

    out: str
    due: Mapping[Stage, str]
    """The reason of each stage that is due, in order."""
    unmeasured: int = 0
    """Candidates that the gates let pass and that were never measured completely."""
    cut_off: bool = False
    """Whether the last scan was cut off: there may be candidates that are not measured. The dataset is as before it."""
    has_sources: bool = True
    """Whether the folder still knows its sources; `clean` removes them."""

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that make all stages current, in order."""
        stages = list(Stage) if self.unmeasured or self.cut_off or Stage.SCAN in self.due else list(self.due)
        out = shlex.quote(self.out)
        if not self.has_sources and {Stage.SCAN, Stage.WRITE} & {*stages}:
            return (f"million-ird build --sources … --recipe {shlex.quote(f'{self.out}/{RECIPE}')} --out {out}",)
        return tuple(f"million-ird {stage} {out}" for stage in stages)

    @property
    def next(self) -> str:
        """The commands on one line; empty if nothing is due."""
        return " && ".join(self.commands)

    @property
    def note(self) -> str:
        """What to run next, on one line for people, and why; empty if nothing is due."""
        return f"{self.why}; run {self.next}" if self.why else ""

    @property
    def why(self) -> str:
        """Why something is to be run next, on one line; empty if nothing is due."""
        if self.due:
            first = next(iter(self.due))
            return f"{first} is due: {self.due[first]}"
        if self.unmeasured:
            return f"the gates let {self.unmeasured:,} candidates pass that were never measured"
        return "the last scan was cut off" if self.cut_off else ""

    def line(self, stage: Stage) -> str:
        """Return one line on a stage that is due: why, and what to run."""
        return f"{stage} is due: {self.due[stage]}; run {self.next}"

    def require(self, action: str, stages: Sequence[Stage] = IN_DATASET) -> None:
        """Refuse to work on a dataset that is not that of its recipe, scan and ledger.

        Args:
            action: What is refused: `exported`, `published`.
            stages: The stages that must be current.

        Raises:
            StaleBuild: One of them is due.
        """
        for stage in stages:
            if stage in self.due:
                raise StaleBuild(f"{self.out}: not {action}: {self.line(stage)}")


def find_stages(folder: Folder, recipe: Recipe) -> BuildStages:
    """Find the stages of a build that are due. A stage after one that is due is due, too.

    Where a card has no mark (of an earlier version of the program), the rows of all shards are compared.

    Args:
        folder: The output folder of a build.
        recipe: Its recipe, as `recipe.yaml` has it.

    Raises:
        DamagedFile: The ledger cannot be read.
        LedgerError: It is of another version.
    """
    evidence = _Evidence(folder, recipe)
    checks = {
        Stage.SCAN: _why_scan,
        Stage.DECIDE: _why_decide,
        Stage.WRITE: _why_write,
        Stage.REPORT: _why_report,
    }
    due: dict[Stage, str] = {}
    for stage, check in checks.items():
        before = next(reversed(due), None)
        reason = check(evidence) if before is None else f"it follows {before}"
        if reason:
            due[stage] = reason
    return BuildStages(
        out=folder.url,
        due=MappingProxyType(due),
        unmeasured=_count_unmeasured(folder),
        cut_off=(folder.read_json(STATUS) or {}).get("scanning", False),
        has_sources=folder.exists(SOURCES),
    )


@dataclass(frozen=True)
class _Evidence:
    """What the stages of a build left, read at most once."""

    folder: Folder
    recipe: Recipe

    @cached_property
    def index(self) -> Any:
        """The list of the scan's rows; None where there is none, or it was cleaned."""
        return self.folder.read_json(INDEX)

    @cached_property
    def has_ledger(self) -> bool:
        return has_ledger(self.folder)

    @cached_property
    def card(self) -> Mark | None:
        return read_mark(self.folder, CARD)

    @cached_property
    def ledger(self) -> str:
        return ledger_digest(self.folder)


def _why_scan(found: _Evidence) -> str:
    if found.index is None:
        return "" if found.has_ledger else "nothing was measured yet"
    missing = {*measure_fields(found.recipe.ledger_entries)} - {*measure_fields(found.index["measures"])}
    return f"{', '.join(sorted(missing))} was never measured" if missing else ""


def _why_decide(found: _Evidence) -> str:
    decided = found.folder.read_json(DECIDED)
    if not found.has_ledger:
        return "nothing was decided yet"
    if decided == {} or (decided is None and found.index is not None):
        return "the scan was not decided, or deciding was interrupted"
    if decided is None:  # cleaned; the recipe was not touched where the card still names it
        return _CHANGED_RECIPE if found.card and found.card.recipe not in ("", found.recipe.digest) else ""
    if found.index is not None and decided["scan"] != digest(found.index):
        return "candidates were scanned since"
    if decided["rules"][1] != found.recipe.digest:
        return _CHANGED_RECIPE
    if decided["rules"][2] != reference_digests(found.folder):
        return "the evaluation sets or the list of removed images changed since"
    return ""


def _why_write(found: _Evidence) -> str:
    card = found.card
    if found.folder.names(STAGING):
        return "it was interrupted"
    if card is None:
        return "nothing was written yet"
    if card.ledger == INCOMPLETE:
        return "the shards lack kept images"
    if card.recipe not in ("", found.recipe.digest):
        return _CHANGED_RECIPE
    current = card.ledger == found.ledger if card.ledger else shards_match(found.folder, found.recipe)
    return "" if current else _CHANGED_LEDGER


def _why_report(found: _Evidence) -> str:
    mark = read_mark(found.folder, REPORT)
    if mark is None:
        return "it was written by an earlier version" if found.folder.exists(REPORT) else "there is none yet"
    if mark.recipe != found.recipe.digest:
        return _CHANGED_RECIPE
    return "" if mark.ledger == found.ledger else _CHANGED_LEDGER


def read_stages(out: str) -> BuildStages:
    """Find the stages of the build in `out` that are due.

    Raises:
        OutputError: There is no build.
        DamagedFile: The ledger cannot be read.
    """
    return find_stages(*open_build(out))


def has_undecided_rows(folder: Folder) -> bool:
    """Return whether a scan measured what no ledger has yet, so that only `.work` holds it."""
    index = folder.read_json(INDEX)
    return index is not None and (folder.read_json(DECIDED) or {}).get("scan") != digest(index)


def require_current(folder: Folder, action: str) -> None:
    """Refuse to work on a dataset that is not that of its recipe, scan and ledger; see `BuildStages.require`.

    A dataset without recipe or ledger, such as one that was downloaded in part, has nothing to be compared with.
    """
    if folder.exists(RECIPE) and (has_ledger(folder) or folder.exists(INDEX)):
        find_stages(folder, recipe_of(folder)).require(action)


def _count_unmeasured(folder: Folder) -> int:
    if not has_ledger(folder):
        return 0
    batches = LedgerStream.of_build(folder).batches(["reason"])
    return sum(int(pc.sum(pc.equal(table["reason"], NOT_MEASURED)).as_py() or 0) for table in batches)
