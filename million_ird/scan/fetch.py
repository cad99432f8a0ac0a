"""Stream a remote chunk into the download cache, once."""

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import ClassVar

from million_ird.candidate import Candidate, Failed
from million_ird.config.recipe import Recipe, digest
from million_ird.errors import BuildError
from million_ird.runtime.public_logs import hide_secrets_in_logs
from million_ird.runtime.storage import Folder
from million_ird.scan.cascade import row_from_declared
from million_ird.scan.deal.stored_entries import StoredEntries
from million_ird.scan.download_cache import ChunkCache, ChunkWriter, Manifest, earlier_rows
from million_ird.sources.source import Deliver, Source, SourceChunk, StreamContext


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTask:
    """All that a worker needs to stream one chunk."""

    io_bound: ClassVar[bool] = True
    """It waits for servers more than it computes."""
    out: Folder
    source: Source
    chunk: SourceChunk
    recipe: Recipe
    name: str
    earlier: tuple[str, ...] = ()
    """Units of earlier runs that may hold some of its images."""
    retry_keys: frozenset[str] = frozenset()
    """Keys that are fetched again, whatever their earlier outcome."""
    concurrency: int = 1
    limit: int | None = None
    """Number of candidates of a stream-only chunk to look at; None is all."""
    stored: StoredEntries | None = None
    """Where the entries are that the chunk lacks."""

    def __call__(self) -> Manifest:
        """Streams what is not there yet; what declared sizes or the licence rule out is not asked for."""
        if not logging.getLogger().handlers:  # in a worker: what it logs goes to the terminal of the program
            hide_secrets_in_logs()
        if self.stored is not None:
            return replace(self, chunk=replace(self.chunk, entries=self.stored.load(self.out)), stored=None)()
        # What a stream-only chunk holds shows only as it is streamed: it is streamed whole.
        before = () if self.chunk.stream_only else (*self.earlier, self.name)
        earlier = earlier_rows(self.out, before, self.retry_keys)
        with ChunkCache(self.out, self.name).writing(earlier) as writing:
            order = None
            if self.chunk.stream_only:
                with contextlib.suppress(_LimitReached):
                    self.source.stream(self.chunk, lambda _: True, self._filtered(writing), self._context)
            else:
                candidates = self.source.candidates(self.chunk)
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
                    self.source.stream(self.chunk, lambda candidate: candidate.key in todo, writing.add, self._context)
                if writing.count != len(order):
                    missing = len(order) - writing.count
                    raise BuildError(f"source {self.source.label}: {missing} images were not delivered")
            return writing.finish(order, gates_digest(self.recipe), self.recipe.passed)

    @property
    def _context(self) -> StreamContext:
        return StreamContext(out=self.out, concurrency=self.concurrency)

    def _filtered(self, writing: ChunkWriter) -> Deliver:
        def filtered(candidate: Candidate, outcome: bytes | Failed) -> None:
            writing.add(candidate, None if row_from_declared(candidate, self.recipe)[1] else outcome)
            if self.limit is not None and writing.count >= self.limit:
                raise _LimitReached

        return filtered


class _LimitReached(Exception):
    """The limit on the number of candidates is reached."""


def fetch_name(chunk: SourceChunk, recipe: Recipe) -> str:
    """Return the name of a chunk's cached images: changes with its entries and with what is read from them."""
    content = [[entry.identity for entry in chunk.entries], recipe.passed, recipe.limits.max_bytes]
    return f"{chunk.slot}-{digest(content)}"


def gates_digest(recipe: Recipe) -> str:
    """Return a digest of the rules that can drop a candidate before it is measured completely."""
    return digest([recipe.measure_all, recipe.licences.model_dump(), [gate.model_dump() for gate in recipe.gates]])
