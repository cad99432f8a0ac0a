"""Cleaning: remove from a build what only further runs need, so that the dataset itself is left.

A cleaned dataset verifies as before, can be decided again from its ledger, and a build from the same sources gives the
same bytes. The download cache stays unless everything is to be removed: only it would have to be fetched again.
"""

import os
from dataclasses import asdict, dataclass, replace

from million_ird.build_folder import DECIDED, INDEX, LOCK, STAGING, open_build
from million_ird.errors import OutputError
from million_ird.printable import printable
from million_ird.reporting.formatting import plural
from million_ird.runtime.lock import is_locked, locked
from million_ird.runtime.storage import Folder
from million_ird.scan.download_cache import FOLDER as ORIGINALS
from million_ird.stages import Stage, find_stages, has_undecided_rows

WORK = ".work"
_FIRST = (DECIDED, INDEX)
"""Removed first, because they name the other files: a kill in between leaves no reference to a missing file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanResult:
    """What a cleaning removed, or would remove with `dry_run`."""

    out: str
    files: int
    bytes: int
    originals: int
    """Bytes of downloaded originals that stay."""
    dry_run: bool

    @property
    def text(self) -> str:
        """The result as text, for people."""
        action = "would be removed" if self.dry_run else "removed"
        text = f"{plural(self.files, 'file')} with {plural(self.bytes, 'byte')} {action} from {printable(self.out)}"
        if self.originals:
            text += f"; {plural(self.originals, 'byte')} of streamed originals stay (--all removes them too)"
        return text

    def as_json(self) -> dict[str, object]:
        """Return the result as a JSON object."""
        return asdict(self)


def clean(out: str, *, everything: bool = False, dry_run: bool = False) -> CleanResult:
    """Remove `.work/` and temporary files of killed processes.

    If killed, it leaves a dataset that can be cleaned, decided on and built.

    Args:
        out: Output folder of a build.
        everything: Whether to remove the download cache too.
        dry_run: Whether only to count.

    Raises:
        OutputError: There is no build, another process holds it, or a killed run left shards that were not moved into
            place yet.
        StaleBuild: Measured rows are in no ledger yet, and would be lost.
    """
    folder, recipe = open_build(out)
    if dry_run:
        if is_locked(folder, LOCK):
            raise OutputError(f"{folder.url}: held by another process; wait for it or stop it")
        return _count(folder, everything)
    if not folder.exists(WORK) and not any(folder.leftovers()):
        return CleanResult(out=folder.url, files=0, bytes=0, originals=0, dry_run=False)
    result = _count(folder, everything)  # before taking the lock, which removes temporary files
    with locked(folder, LOCK):
        if folder.names(STAGING) and not everything:
            raise OutputError(
                f"{folder.url}: a run was cut off while moving shards into place; run build first, or clean with --all"
            )
        if not everything and has_undecided_rows(folder):
            action = "cleaned, which would lose measured rows (clean with --all does it)"
            find_stages(folder, recipe).require(action, (Stage.DECIDE,))
        for name in _FIRST:
            folder.remove(name)
        for name in folder.names(WORK):
            path = f"{WORK}/{name}"
            if path != LOCK and (path != ORIGINALS or not result.originals):
                folder.remove(path)
        folder.remove(LOCK)
        folder.remove_empty(WORK)
    return replace(result, dry_run=False)


def _count(folder: Folder, everything: bool) -> CleanResult:
    files = dict(folder.find(WORK)) | {name: os.path.getsize(folder.path(name)) for name in folder.leftovers()}
    files.pop(LOCK, None)
    kept = {} if everything else {name: size for name, size in files.items() if name.startswith(f"{ORIGINALS}/")}
    return CleanResult(
        out=folder.url,
        files=len(files) - len(kept),
        bytes=sum(files.values()) - sum(kept.values()),
        originals=sum(kept.values()),
        dry_run=True,
    )
