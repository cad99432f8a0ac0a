"""The one folder that the page's files are in: examples, what was uploaded, and what came of it."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynet.errors import PictureError

SECONDS_KEPT = 3600
"""How long what somebody uploaded, and what came of it, is kept while the page is served."""


class PageFolder:
    """A folder that exists, and is removed by who made it once `end` has returned."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lasting: frozenset[Path] = frozenset()
        self._writing = threading.Lock()
        self._ended = False

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A new folder in it to write to, for one at a time. Raises PictureError after the end."""
        with self._writing:
            if self._ended:
                raise PictureError("The page has ended.")
            yield Path(tempfile.mkdtemp(dir=self.path))

    def keep(self) -> None:
        """What is in it now stays until the end."""
        self._lasting = frozenset(self.path.rglob("*"))

    def remove_old(self) -> None:
        """Remove what is older than SECONDS_KEPT."""
        before = time.time() - SECONDS_KEPT
        for path in self.path.rglob("*"):
            try:
                if path not in self._lasting and path.is_file() and path.stat().st_mtime < before:
                    path.unlink()
            except FileNotFoundError:  # another request was first
                continue

    def end(self) -> None:
        """Wait for what is being written; nothing is written into it any more when this returns."""
        with self._writing:
            self._ended = True
