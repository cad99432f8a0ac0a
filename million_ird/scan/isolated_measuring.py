"""Measures candidates in a process that they may kill: each that does becomes a failed row, and the others go on."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2

from million_ird.candidate import Candidate, Failed
from million_ird.config.recipe import Recipe
from million_ird.errors import MillionIRDError, one_line
from million_ird.ledger import Row
from million_ird.measures.neural import BATCH
from million_ird.runtime.sandbox import Child, Lost, borrowed
from million_ird.runtime.threads import single_threaded
from million_ird.scan.cascade import Cascade, begin, failed

TRIES_WHEN_KILLED = 3
"""Somebody else kills a process: the picture is likely not at fault, unless it happens again and again."""
Fetch = Callable[[Candidate], bytes | Failed]


class Bench:
    """The child's side: a cascade that answers with rows."""

    def __init__(self, recipe: Recipe, models: str | None) -> None:
        self._alone = single_threaded()
        self._alone.__enter__()  # for as long as the process lives
        self._cascade = Cascade(recipe, models)

    def push(self, candidate: Candidate, row: Row, encoded: bytes) -> Row | None:
        """The row, or None where it waits for the networks.

        What no code here foresaw in a picture is `unexpected`: a fault of ours, but no reason to lose the others.
        """
        try:
            return row if self._cascade.push(candidate, row, encoded) else None
        except MillionIRDError:
            raise
        except Exception as error:
            if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
                raise MemoryError from error
            text = one_line(error)
            return failed(row, Failed("unexpected", f"{type(error).__name__}: {text}"))

    def flush(self) -> list[Row]:
        """The rows that waited."""
        return self._cascade.flush()

    def seconds(self) -> dict[str, float]:
        """What each measure took since this was asked last."""
        taken = dict(self._cascade.seconds)
        self._cascade.seconds.clear()
        return taken


@dataclass(slots=True)
class Quarantine:
    """Turns candidates into ledger rows, each in a process that does not have to survive it."""

    recipe: Recipe
    models: str | None = None
    memory: int = 0
    """Bytes that the process may allocate; 0 for no limit."""
    seconds: Counter[str] = field(default_factory=Counter)
    """By measure, and of `decode` and `signature`."""
    _held: list["_Held"] = field(default_factory=list)

    def rows(self, candidates: Iterable[Candidate], fetch: Fetch) -> Iterator[Row]:
        """One row per candidate, in any order; the numbers are those of `Cascade.rows`.

        A picture that crashes, hangs or exhausts the process that decodes it is a row that failed as `crashed`,
        `hung`, `killed` or `out_of_memory`.
        """
        with borrowed("million_ird.scan.isolated_measuring:Bench", (self.recipe, self.models), self.memory) as child:
            pushed = False
            for candidate in candidates:
                row, stopped = begin(candidate, self.recipe)
                encoded = b"" if stopped else fetch(candidate)
                if stopped:
                    yield row
                elif isinstance(encoded, Failed):
                    yield failed(row, encoded)
                else:
                    pushed = True
                    yield from self._push(child, (candidate, row, encoded))
                if len(self._held) >= BATCH:
                    yield from self._flush(child)
            yield from self._flush(child)
            if pushed:
                self.seconds.update(child().call("seconds"))

    def _push(self, child: Callable[[], Child], one: "_Held", tries: int = 1) -> list[Row]:
        try:
            done = child().call("push", *one, seconds=self.recipe.limits.seconds)
        except Lost as lost:
            before = self._again(child)
            if lost.failure_class == "killed" and tries < TRIES_WHEN_KILLED:
                return [*before, *self._push(child, one, tries + 1)]
            return [*before, _lost_row(one, lost)]
        if done is None:
            self._held.append(one)
            return []
        return [done]

    def _again(self, child: Callable[[], Child]) -> list[Row]:
        """Those that waited in a child that is gone wait in the next."""
        waiting, self._held = self._held, []
        return [row for one in waiting for row in self._push(child, one)]

    def _flush(self, child: Callable[[], Child]) -> list[Row]:
        if not self._held:
            return []
        waiting, self._held = self._held, []
        try:
            rows: list[Row] = child().call("flush")
            return rows
        except Lost as lost:
            if len(waiting) == 1:
                return [_lost_row(waiting[0], lost)]
        return [row for one in waiting for row in (*self._push(child, one), *self._flush(child))]


_Held: TypeAlias = tuple[Candidate, Row, bytes]
"""A candidate, its row as `begin` made it, and its bytes."""


def _lost_row(one: _Held, lost: Lost) -> Row:
    return failed(one[1], Failed(lost.failure_class, lost.detail))
