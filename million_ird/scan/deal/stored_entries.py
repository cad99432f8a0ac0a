"""Entries of a chunk that are stored under `.work/plan`, read by the worker that needs them."""

from dataclasses import dataclass

import pyarrow as pa

from million_ird.errors import BuildError
from million_ird.runtime.storage import Folder
from million_ird.scan.deal.parts import entry_of
from million_ird.sources.web.links import LinkEntry

CODEC = "zstd"


@dataclass(frozen=True, slots=True)
class StoredEntries:
    """A compressed block of a file."""

    file: str
    start: int
    stop: int
    length: int
    """Bytes, when it is not compressed."""
    rows: int

    def load(self, out: Folder) -> tuple[LinkEntry, ...]:
        """Read the entries.

        Raises:
            BuildError: The file is gone, or cut short.
        """
        try:
            block = out.read_range(self.file, self.start, self.stop)
            content: bytes = pa.decompress(block, self.length, CODEC, asbytes=True)
        except (OSError, pa.ArrowException) as error:
            where = out.path(self.file)
            raise BuildError(f"{where}: is gone or damaged; remove its folder and run the build again") from error
        return tuple(map(entry_of, content.splitlines()))
