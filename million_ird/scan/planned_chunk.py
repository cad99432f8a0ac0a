"""A chunk as a scan plans it: with the name of its results, and without its entries where these are stored."""

from dataclasses import dataclass

from million_ird.config.recipe import Recipe
from million_ird.scan.deal.stored_entries import StoredEntries
from million_ird.scan.fetch import fetch_name
from million_ird.scan.measuring import rows_name
from million_ird.sources.source import Source, SourceChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChunk:
    """A chunk, its source, and the name of its results."""

    source: Source
    chunk: SourceChunk
    name: str
    """That of the cached images of a remote chunk, the file of rows of any other."""
    stored: StoredEntries | None = None
    """Where the entries are that the chunk lacks."""

    @property
    def size(self) -> int:
        """How many entries the chunk has."""
        return self.stored.rows if self.stored else len(self.chunk.entries)


def chunk_name(chunk: SourceChunk, recipe: Recipe) -> str:
    """Return the name of a chunk's results: changes with its entries and with all that the results depend on."""
    return fetch_name(chunk, recipe) if chunk.remote else rows_name(chunk, recipe)
