"""A temporary folder on this machine's disk for data that a stage cannot hold in memory."""

import contextlib
import os
from collections.abc import Iterator

from million_ird.runtime.storage import Folder, disk_errors

SCRATCH = ".work/scratch"


@contextlib.contextmanager
def scratch(folder: Folder) -> Iterator[str | None]:
    """Make a temporary folder in `folder`, empty at first and removed afterwards; None in an object store.

    What a killed run left in it is removed.

    Raises:
        BuildError: the disk is full.
    """
    if not folder.local:
        yield None
        return
    folder.remove(SCRATCH)
    with disk_errors(folder.path(SCRATCH)):
        os.makedirs(folder.path(SCRATCH))
    try:
        yield folder.path(SCRATCH)
    finally:
        folder.remove(SCRATCH)
