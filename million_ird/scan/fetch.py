"""Streams a remote unit into `.work/originals`, once."""

import contextlib
from dataclasses import dataclass
from typing import ClassVar

from million_ird.candidate import Candidate, Failed
from million_ird.config.recipe import Recipe, digest
from million_ird.errors import BuildError
from million_ird.runtime.storage import Folder
from million_ird.scan.cascade import row_from_declared
from million_ird.scan.download_cache import Manifest, UnitCache, UnitWriter, earlier_rows
from million_ird.sources.source import Deliver, Journey, Source, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTask:
    """All that a worker needs to stream one unit."""

    io_bound: ClassVar[bool] = True
    """It waits for others more than it computes."""
    out: Folder
    source: Source
    unit: Unit
    recipe: Recipe
    name: str
    earlier: tuple[str, ...] = ()
    """Units of earlier runs that may hold some of its pictures."""
    retry_keys: frozenset[str] = frozenset()
    """Keys that are asked for again, whatever became of them before."""
    concurrency: int = 1
    limit: int | None = None
    """Look at so many candidates of an opaque unit."""

    def __call__(self) -> Manifest:
        """Streams what is not there yet; what declared sizes or the licence rule out is not asked for."""
        # What an opaque unit holds shows only as it is streamed: it is streamed whole.
        before = () if self.unit.opaque else (*self.earlier, self.name)
        earlier = earlier_rows(self.out, before, self.retry_keys)
        with UnitCache(self.out, self.name).writing(earlier) as writing:
            order = None
            if self.unit.opaque:
                with contextlib.suppress(_Enough):
                    self.source.stream(self.unit, lambda _: True, self._sifted(writing), self._journey)
            else:
                candidates = self.source.candidates(self.unit)
                order = [candidate.key for candidate in candidates]
                todo = set()
                for candidate in candidates:
                    if writing.keep(candidate):
                        continue
                    if row_from_declared(candidate, self.recipe)[1]:
                        writing.add(candidate, None)
                    else:
                        todo.add(candidate.key)
                if todo:
                    self.source.stream(self.unit, lambda one: one.key in todo, writing.add, self._journey)
                if writing.known != len(order):
                    raise BuildError(
                        f"source {self.source.label}: {len(order) - writing.known} pictures were not told of"
                    )
            return writing.finish(order, gates_digest(self.recipe), self.recipe.passed)

    @property
    def _journey(self) -> Journey:
        return Journey(out=self.out, concurrency=self.concurrency)

    def _sifted(self, writing: UnitWriter) -> Deliver:
        def sifted(candidate: Candidate, found: bytes | Failed) -> None:
            writing.add(candidate, None if row_from_declared(candidate, self.recipe)[1] else found)
            if self.limit is not None and writing.known >= self.limit:
                raise _Enough

        return sifted


class _Enough(Exception):
    """So many candidates were asked for."""


def fetch_name(unit: Unit, recipe: Recipe) -> str:
    """The name of a unit's originals: changes with its entries, and with what is taken over from them."""
    terms = [[entry.identity for entry in unit.entries], recipe.passed, recipe.limits.max_bytes]
    return f"{unit.slot}-{digest(terms)}"


def gates_digest(recipe: Recipe) -> str:
    """Names the rules by which a candidate is ruled out before it is measured whole."""
    return digest([recipe.measure_all, recipe.licences.model_dump(), [gate.model_dump() for gate in recipe.gates]])
