"""Which units a running scan can join: those of a block of neighbouring chunks that are all finished."""

from collections import Counter, deque
from collections.abc import Sequence

from million_ird.runtime.storage import Folder
from million_ird.scan.join_units import BLOCK_UNITS, JoinTask, is_small, join_tasks
from million_ird.scan.row_index import RowIndex


class JoinedBlocks:
    """Counts the tasks of blocks of chunks, and has the units of a block joined when its last task has ended.

    So the units of a part are neighbours in the order of the sources, whatever the order in which tasks end.
    """

    def __init__(self, out: Folder, index: RowIndex, names: Sequence[Sequence[str]]) -> None:
        """Prepare for the chunks of a scan.

        Args:
            out: The output folder of the build.
            index: The places of all units when the scan began.
            names: The units of each chunk, which the scan fills in.
        """
        self._out, self._index, self._names = out, index, names
        self._running: Counter[int] = Counter()
        self._waiting: deque[JoinTask] = deque()
        self._rewritten: set[str] = set()

    def began(self, chunk: int, unit: str | None = None) -> None:
        """Note that one more task of a chunk must end, which measures this unit, or streams the chunk."""
        if unit is not None and unit in self._index:
            self._rewritten.add(unit)
        self._running[chunk // BLOCK_UNITS] += 1

    def ended(self, chunk: int) -> None:
        """Note that a task of a chunk has ended."""
        block = chunk // BLOCK_UNITS
        self._running[block] -= 1
        if not self._running[block]:
            del self._running[block]
            self._waiting.extend(join_tasks(self._out, self._units_alone(block)))

    def next(self) -> JoinTask | None:
        """Return a task that joins, if one is ready."""
        return self._waiting.popleft() if self._waiting else None

    def _units_alone(self, block: int) -> list[tuple[str, int]]:
        """Return the units of a block that have files of their own now, with their revisions."""
        chunks = self._names[block * BLOCK_UNITS : (block + 1) * BLOCK_UNITS]
        units = dict.fromkeys(name for names in chunks for name in names)
        return [(name, self._index.revision_to_write(name)) for name in units if self._is_alone(name)]

    def _is_alone(self, name: str) -> bool:
        return name not in self._index or name in self._rewritten or is_small(self._index, name)
