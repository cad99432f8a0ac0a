"""Decide on the rows of one folder with all that deciding holds in temporary files; as a program, be killed on the way.

`python deciding.py OUT NUMBER` kills itself before operation NUMBER: of a file of the folder, or of a temporary file.
"""

import sys

from million_ird.build_folder import LOCK
from million_ird.decide import stream
from million_ird.dedup import hash_buckets, spilled
from million_ird.runtime.executor import Executor
from million_ird.runtime.lock import locked
from million_ird.runtime.storage import Folder
from million_ird.workflow import decide_stage
from tests.million_ird.decide.test_verdicts import RECIPE
from tests.million_ird.stopping import FILES, kill_this_process, stop_before

SPILLS = {(hash_buckets, "IN_MEMORY"): 0, (spilled, "IN_MEMORY"): 0, (stream, "_UNITS_PER_PART"): 2}
"""So that little is much: all goes to disk."""
PLACES = (
    *FILES,
    (hash_buckets.HashBuckets, "add"),
    (hash_buckets.HashBuckets, "labels"),
    (spilled, "empty"),
)


def decide_locked(out: Folder) -> None:
    """Decide as the command does."""
    with locked(out, LOCK), Executor(0) as executor:
        decide_stage(out, RECIPE, executor)


if __name__ == "__main__":
    for (module, constant), value in SPILLS.items():
        setattr(module, constant, value)
    stop_before(int(sys.argv[2]), kill_this_process, places=PLACES)
    decide_locked(Folder(sys.argv[1]))
