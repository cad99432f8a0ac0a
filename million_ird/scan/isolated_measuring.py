"""Measure candidates in a process that may crash: such a candidate becomes a failed row, and the others go on."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2

from million_ird.candidate import Candidate, Failed
from million_ird.config.recipe import Recipe
from million_ird.errors import MillionIRDError, one_line
from million_ird.ledger import Row
from million_ird.measures.identity import MeasuringIdentity
from million_ird.measures.neural import BATCH
from million_ird.runtime.sandbox import WorkerDied, WorkerProcess, worker_process
from million_ird.runtime.threads import single_threaded
from million_ird.scan.cascade import Cascade, failed, row_from_declared
from million_ird.scan.warm_up import compile_measures

TRIES_WHEN_KILLED = 3
"""Something else kills a process: the image is likely not at fault, unless it happens again and again."""
_OF_A_START = 0.25
"""How much of a try a process is that was killed before it was ready to read an image: it was surely not at fault."""
Fetch = Callable[[Candidate], bytes | Failed]


def prepare_before_fork() -> None:
    """Load the compiled measures, and what decoders load at their first image."""
    with single_threaded():
        compile_measures()


class MeasureWorker:
    """The side of the worker process: a cascade that answers with rows.

    Raises:
        VersionMismatch: this process would fill other columns than `expected`.
    """

    def __init__(self, recipe: Recipe, models: str | None, expected: MeasuringIdentity) -> None:
        expected.require_here("the measuring process")
        self._one_thread = single_threaded()
        self._one_thread.__enter__()  # for as long as the process lives
        self._cascade = Cascade(recipe, models)

    def push(self, candidate: Candidate, row: Row, encoded: bytes) -> Row | None:
        """Return the row, or None where it waits for the networks.

        An error that no code here expects of an image makes a failed row of class `unexpected`: a bug of this program,
        but no reason to lose the other images.
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
        """Return the rows that waited for the networks."""
        return self._cascade.flush()

    def seconds(self) -> dict[str, float]:
        """Return the seconds that each measure took since the last call."""
        seconds = dict(self._cascade.seconds)
        self._cascade.seconds.clear()
        return seconds


@dataclass(slots=True)
class IsolatedMeasurer:
    """Turns candidates into ledger rows in a worker process that does not have to survive them."""

    recipe: Recipe
    models: str | None = None
    memory: int = 0
    """Bytes that the process may allocate; 0 for no limit."""
    expected: MeasuringIdentity | None = None
    """What the driver expects to be measured; by default, what this process expects."""
    seconds: Counter[str] = field(default_factory=Counter)
    """By measure, and of `decode` and `signature`."""
    _waiting: list["_Pushed"] = field(default_factory=list)
    _holder: WorkerProcess | None = None
    """The process in which they wait."""

    def rows(self, candidates: Iterable[Candidate], fetch: Fetch) -> Iterator[Row]:
        """Yield one row per candidate, in any order; the numbers are those of `Cascade.rows`.

        An image that crashes, hangs or exhausts the process that decodes it gives a row that failed as `crashed`,
        `hung`, `killed` or `out_of_memory`.

        Raises:
            VersionMismatch: the process would measure other columns than expected.
        """
        expected = self.expected or MeasuringIdentity.expected(self.recipe.measures)
        arguments = (self.recipe, self.models, expected)
        with worker_process("million_ird.scan.isolated_measuring:MeasureWorker", arguments, self.memory) as process:
            pushed = False
            for candidate in candidates:
                row, dropped = row_from_declared(candidate, self.recipe)
                encoded = b"" if dropped else fetch(candidate)
                if dropped:
                    yield row
                elif isinstance(encoded, Failed):
                    yield failed(row, encoded)
                else:
                    pushed = True
                    yield from self._push(process, (candidate, row, encoded))
                if len(self._waiting) >= BATCH:
                    yield from self._flush(process)
            yield from self._flush(process)
            if pushed:
                # A process that is killed here has given all its rows; only its times are lost.
                with contextlib.suppress(WorkerDied):
                    self.seconds.update(process().call("seconds"))

    def _push(self, process: Callable[[], WorkerProcess], pushed: "_Pushed", tries: float = 0) -> list[Row]:
        before = self._move(process)
        try:
            row = process().call("push", *pushed, seconds=self.recipe.limits.seconds)
        except WorkerDied as death:
            before += self._push_again(process)
            if (tries := tries + _tries_of(death)) < TRIES_WHEN_KILLED:
                return [*before, *self._push(process, pushed, tries)]
            return [*before, _failed_row(pushed, death)]
        if row is None:
            self._waiting.append(pushed)
            return before
        return [*before, row]

    def _move(self, process: Callable[[], WorkerProcess]) -> list[Row]:
        """Give the candidates that waited in a process that has died since, between two calls, to the one at hand."""
        current = process()
        if current is self._holder:
            return []
        self._holder = current
        return self._push_again(process)

    def _push_again(self, process: Callable[[], WorkerProcess]) -> list[Row]:
        """Give the candidates that waited in a dead process to the one at hand."""
        waiting, self._waiting = self._waiting, []
        return [row for pushed in waiting for row in self._push(process, pushed)]

    def _flush(self, process: Callable[[], WorkerProcess], tries: float = 0) -> list[Row]:
        if not self._waiting:
            return []
        before = self._move(process)
        waiting, self._waiting = self._waiting, []
        try:
            rows: list[Row] = process().call("flush")
            return [*before, *rows]
        except WorkerDied as death:
            # One of several is found by flushing each by itself, which is no second try of any of them.
            tries = tries + _tries_of(death) if len(waiting) == 1 else 0
            if tries >= TRIES_WHEN_KILLED:
                return [*before, _failed_row(waiting[0], death)]
        again = [row for pushed in waiting for row in (*self._push(process, pushed), *self._flush(process, tries))]
        return [*before, *again]


_Pushed: TypeAlias = tuple[Candidate, Row, bytes]
"""A candidate, its row as `row_from_declared` made it, and its bytes."""


def _tries_of(death: WorkerDied) -> float:
    """Return how many tries an image has had by a death of its process; all of them if the image caused it."""
    if death.failure_class != "killed":
        return TRIES_WHEN_KILLED
    return 1 if death.started else _OF_A_START


def _failed_row(pushed: _Pushed, death: WorkerDied) -> Row:
    return failed(pushed[1], Failed(death.failure_class, death.detail))
