"""Cleaning: removes what a build needs only to go on, so that what is left of it is the data set.

After it the set verifies as before, is decided on from its ledger, and is built again from its sources to the same
bytes. Streamed originals stay unless all is asked for: they alone would have to be fetched again.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from million_ird.build import LOCK, open_build
from million_ird.errors import OutputError
from million_ird.lock import is_owned, owned
from million_ird.originals import FOLDER as ORIGINALS
from million_ird.scan import INDEX
from million_ird.scanned import DECIDED
from million_ird.storage import TEMPORARY, Folder
from million_ird.write.shards import STAGING

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
        return _cleaned(folder, everything, dry_run=True)
    if not folder.exists(WORK) and not any(_left_by_the_killed(folder)):
        return Cleaned(out=folder.url, files=0, bytes=0, originals=0, dry_run=False)
    size = _cleaned(folder, everything, dry_run=True)  # holding it removes temporary files, which count
    with owned(folder, LOCK):
        if folder.names(STAGING) and not everything:
            raise OutputError(
                f"{folder.url}: a run was cut off while it put shards in place; run build first, or clean with --all"
            )
        for name in _FIRST:
            folder.remove(name)
        for name in folder.names(WORK):
            path = f"{WORK}/{name}"
            if path != LOCK and (path != ORIGINALS or not size.originals):
                folder.remove(path)
        folder.remove(LOCK)
        if not folder.names(WORK):
            folder.remove(WORK)
    return Cleaned(out=folder.url, files=size.files, bytes=size.bytes, originals=size.originals, dry_run=False)


def _cleaned(folder: Folder, everything: bool, *, dry_run: bool) -> Cleaned:
    files = dict(_files(folder, WORK)) | dict(_left_by_the_killed(folder))
    files.pop(LOCK, None)
    kept = {} if everything else {name: size for name, size in files.items() if name.startswith(f"{ORIGINALS}/")}
    return Cleaned(
        out=folder.url,
        files=len(files) - len(kept),
        bytes=sum(files.values()) - sum(kept.values()),
        originals=sum(kept.values()),
        dry_run=dry_run,
    )


def _left_by_the_killed(folder: Folder) -> Iterator[tuple[str, int]]:
    for where, _, names in os.walk(folder.root) if folder.local else ():
        for name in names:
            if name.startswith(TEMPORARY):
                path = os.path.join(where, name)
                yield os.path.relpath(path, folder.root), os.path.getsize(path)


def _files(folder: Folder, name: str) -> Iterator[tuple[str, int]]:
    """All files below a folder, with their sizes."""
    found = folder.fs.find(folder.path(name), detail=True) if folder.exists(name) else {}
    prefix = folder.root.rstrip("/") + "/"
    for path, info in found.items():
        yield path.removeprefix(prefix), int(info["size"] or 0)
