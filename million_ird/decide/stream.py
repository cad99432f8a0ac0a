"""Deciding as a stream: workers refuse rows and write the ledger; the driver compares only the rows that pass.

Memory of the driver: some bytes for each row that passes, and the names of files; nothing of rows that are refused.
Every step leaves files under `.work/decide` that have the name of all that they depend on, and a run that was killed
goes on from them. The ledger is replaced when all its files are there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from million_ird import ledger
from million_ird.config.recipe import Recipe, digest
from million_ird.decide.leaks import ReferenceFingerprints
from million_ird.decide.ledger_parts import LedgerTask, write_ledger_part
from million_ird.decide.passing import settle
from million_ird.decide.passing_reader import PassingReader
from million_ird.decide.refusals import Outcomes
from million_ird.decide.verdict_parts import FOLDER, RefusalTask, VerdictPart, refuse_files
from million_ird.dedup.search import HashPairSearch
from million_ird.ledger import ROWS_PER_FILE, Funnel, in_order, part_names
from million_ird.runtime.executor import Executor
from million_ird.runtime.scratch import scratch
from million_ird.runtime.storage import Folder
from million_ird.scan.row_index import RowSpan
from million_ird.scan.scan_table import ScanTable
from million_ird.schema import KEPT

_UNITS_PER_PART = 1024
"""Units of the scan, of some hundred rows each, that one worker decides on at once."""
_STAGED = f"{FOLDER}/ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a ledger is decided from."""

    out: Folder
    rows: ScanTable
    recipe: Recipe
    references: ReferenceFingerprints
    removed: str | None
    """The file of fingerprints of removed images, where there is one."""
    rules: str
    """Digest of all that the verdicts depend on beside the rows."""

    def run(self, executor: Executor) -> "StagedLedger":
        """Write all files of the new ledger, and leave the present one as it is."""
        tasks = list(self._refusal_tasks())
        parts = sorted(executor.run(refuse_files, tasks), key=lambda part: part.number)
        spans = [task.spans for task in tasks]
        entries = [self.rows.measures, [[part.name, part.stamp] for part in parts]]
        folder = f"{_STAGED}-{digest([self.rules, *entries])}"
        settled = self.out.read_json(f"{folder}/settled.json")
        if settled is None:
            settled = self._settle(parts, spans, folder, executor)
        ledger_tasks = list(self._ledger_tasks(parts, spans, folder))
        for _ in executor.run(write_ledger_part, ledger_tasks):
            pass
        return StagedLedger(self.out, tuple(task.name for task in ledger_tasks), _funnel(parts, settled))

    def _refusal_tasks(self) -> Iterator[RefusalTask]:
        for number, (spans, gone_from) in enumerate(self.rows.parts(_UNITS_PER_PART)):
            yield RefusalTask(
                out=self.out,
                number=number,
                spans=spans,
                measures=self.rows.measures,
                gone_from=gone_from,
                recipe=self.recipe,
                removed=self.removed,
                rules=self.rules,
            )

    def _settle(
        self, parts: Sequence[VerdictPart], spans: Sequence[Sequence[RowSpan]], folder: str, executor: Executor
    ) -> dict[str, int]:
        """Decide on the rows that pass; write what is decided by file of the ledger; return how many have a reason."""
        reader = PassingReader(self.out, self.rows.measures, parts, spans)
        with scratch(self.out) as disk:
            settled = settle(
                reader.rows(disk),
                self.recipe.duplicates,
                self.recipe.validation,
                self.references,
                HashPairSearch(scratch=disk, run=executor.run),
                drop_shared_marks=self.recipe.shared_marks == "drop",
            )
        positions = reader.positions()
        for number, _ in enumerate(part_names(sum(part.rows for part in parts))):
            first = number * ROWS_PER_FILE
            low, high = np.searchsorted(positions, [first, first + ROWS_PER_FILE])
            own = settled.slice(low, high - low).append_column("row", pa.array(positions[low:high] - first))
            self.out.write_table(_settled_name(folder, number), own)
        reasons = Outcomes.of(self.recipe).reasons
        counted = np.bincount(settled["outcome"].to_numpy(), minlength=len(reasons)).tolist()
        counts = {reason or KEPT: count for reason, count in zip(reasons, counted, strict=True) if count}
        self.out.write_json(f"{folder}/settled.json", counts)
        return counts

    def _ledger_tasks(
        self, parts: Sequence[VerdictPart], spans: Sequence[Sequence[RowSpan]], folder: str
    ) -> Iterator[LedgerTask]:
        total = sum(part.rows for part in parts)
        span_rows = [rows for part in parts for rows in part.span_rows]
        every = [span for group in spans for span in group]
        span_ends = np.cumsum([0, *span_rows], dtype=np.int64)
        part_ends = np.cumsum([0, *(part.rows for part in parts)], dtype=np.int64)
        for number, name in enumerate(part_names(total)):
            first = number * ROWS_PER_FILE
            stop = min(total, first + ROWS_PER_FILE)
            low, high = _covering(span_ends, first, stop)
            part_low, part_high = _covering(part_ends, first, stop)
            yield LedgerTask(
                out=self.out,
                name=f"{folder}/{name}",
                recipe=self.recipe,
                measures=self.rows.measures,
                rows=stop - first,
                spans=tuple(every[low:high]),
                skip=int(first - span_ends[low]),
                parts=tuple(part.name for part in parts[part_low:part_high]),
                parts_skip=int(first - part_ends[part_low]),
                settled=_settled_name(folder, number),
                gone_from=total - self.rows.vanished - first,
            )


@dataclass(frozen=True, slots=True)
class StagedLedger:
    """A new ledger whose files are complete, and not in their place yet."""

    out: Folder
    files: tuple[str, ...]
    funnel: Funnel

    def publish(self) -> None:
        """Move the files into place, and remove the present ones; a kill in between leaves some of both."""
        names = {file.rsplit("/", 1)[-1]: file for file in self.files}
        for name, file in names.items():
            self.out.rename(file, f"{ledger.FOLDER}/{name}")
        for name in set(self.out.names(ledger.FOLDER)) - set(names):
            self.out.remove(f"{ledger.FOLDER}/{name}")


def clean_decided(out: Folder) -> None:
    """Remove what deciding has left under `.work`, once the ledger is in place."""
    out.remove(FOLDER)


def _covering(ends: NDArray[np.int64], first: int, stop: int) -> tuple[int, int]:
    """Return the range of the pieces, whose borders are `ends`, that have the rows from `first` to `stop`."""
    low = max(0, int(np.searchsorted(ends, first, side="right")) - 1)
    return low, max(low, int(np.searchsorted(ends, stop, side="left")))


def _settled_name(folder: str, number: int) -> str:
    return f"{folder}/settled-{number:05d}.parquet"


def _funnel(parts: Sequence[VerdictPart], settled: Mapping[str, int]) -> Funnel:
    dropped: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for part in parts:
        dropped.update(part.dropped)
        failures.update(part.failures)
    dropped.update({reason: count for reason, count in settled.items() if reason != KEPT})
    return Funnel(
        candidates=sum(part.rows for part in parts),
        kept=settled.get(KEPT, 0),
        dropped=in_order(dropped),
        failures=in_order(failures),
    )
