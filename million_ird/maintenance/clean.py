"""Cleaning: removes what a build needs only to go on, so that what is left of it is the data set.

After it the set verifies as before, is decided on from its ledger, and is built again from its sources to the same
bytes. Streamed originals stay unless all is asked for: they alone would have to be fetched again.
"""

import os
from dataclasses import asdict, dataclass, replace

from million_ird.build_folder import LOCK, open_build
from million_ird.dataset.shards import STAGING
from million_ird.errors import OutputError
from million_ird.runtime.lock import is_owned, owned
from million_ird.runtime.storage import Folder
from million_ird.scan.download_cache import FOLDER as ORIGINALS
from million_ird.scan.scan import INDEX
from million_ird.scan.scan_table import DECIDED

WORK = ".work"
_FIRST = (DECIDED, INDEX)
"""Go first: they name files that are gone when a kill comes in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What a cleaning removed, or would remove."""

    out: str
    files: int
    bytes: int
    originals: int
    """Bytes of streamed originals that stay."""
    dry_run: bool

    @property
    def text(self) -> str:
        """For a person."""
        did = "would be removed" if self.dry_run else "removed"
        told = f"{self.files:,} files with {self.bytes:,} bytes {did} from {self.out}"
        if self.originals:
            told += f"; {self.originals:,} bytes of streamed originals stay (--all removes them, too)"
        return told

    def as_json(self) -> dict[str, object]:
        """For a script."""
        return asdict(self)


def clean(out: str, *, everything: bool = False, dry_run: bool = False) -> Cleaned:
    """Removes `.work/` and what killed writers left; with `everything` the streamed originals, too.

    Killed at any moment, it leaves a set that can be cleaned, decided on and built.

    Raises:
        OutputError: no build is there, another process holds it, or a killed run has left shards that are not in
            their places yet.
    """
    folder, _ = open_build(out)
    if dry_run:
        if is_owned(folder, LOCK):
            raise OutputError(f"{folder.url}: held by another process; wait for it or stop it")
        return _to_clean(folder, everything)
    if not folder.exists(WORK) and not any(folder.leftovers()):
        return Cleaned(out=folder.url, files=0, bytes=0, originals=0, dry_run=False)
    planned = _to_clean(folder, everything)  # holding it removes temporary files, which count
    with owned(folder, LOCK):
        if folder.names(STAGING) and not everything:
            raise OutputError(
                f"{folder.url}: a run was cut off while it put shards in place; run build first, or clean with --all"
            )
        for name in _FIRST:
            folder.remove(name)
        for name in folder.names(WORK):
            path = f"{WORK}/{name}"
            if path != LOCK and (path != ORIGINALS or not planned.originals):
                folder.remove(path)
        folder.remove(LOCK)
        if not folder.names(WORK):
            folder.remove(WORK)
    return replace(planned, dry_run=False)


def _to_clean(folder: Folder, everything: bool) -> Cleaned:
    files = dict(folder.find(WORK)) | {name: os.path.getsize(folder.path(name)) for name in folder.leftovers()}
    files.pop(LOCK, None)
    kept = {} if everything else {name: size for name, size in files.items() if name.startswith(f"{ORIGINALS}/")}
    return Cleaned(
        out=folder.url,
        files=len(files) - len(kept),
        bytes=sum(files.values()) - sum(kept.values()),
        originals=sum(kept.values()),
        dry_run=True,
    )
