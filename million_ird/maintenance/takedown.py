"""Take-down: removes pictures from a built set for good, with or without its sources.

What is refused goes into `removed.parquet` before anything else is touched: hashes and points by which a picture is
known again, under another name, re-encoded, resized or cropped, and nothing that a picture could be made from. It is
published with the set, and every later build drops by it. Copies of a picture, and what the set holds that shows it in
part, go with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from million_ird.build_folder import LOCK, open_build
from million_ird.dataset.rewrite_shards import withdraw
from million_ird.errors import UsageError
from million_ird.export.destination import INSIDE, STATE
from million_ird.maintenance.blocklist import refuse
from million_ird.maintenance.purge import forget
from million_ird.maintenance.releases import Release, make, name_in_card
from million_ird.runtime.executor import Engine
from million_ird.runtime.lock import owned
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder
from million_ird.workflow import decide_stage, report_stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a take-down did."""

    out: str
    refused: int
    """Candidates that are refused now and were not before."""
    unknown: int
    """Named candidates that were never read, so that there is nothing to know them again by."""
    images: int
    """Left in the set."""
    patches: int
    lacking: int
    """Kept by the ledger, but in no shard: a build has to bring them."""
    release: Release | None
    """The next release; None where the set held nothing of what was named."""
    exports: tuple[str, ...]
    """Commands that take the pictures out of the exports in the folder, too."""

    @property
    def text(self) -> str:
        """For a person."""
        lines = [f"{self.refused:,} candidates are refused from now on, their copies among them"]
        if self.unknown:
            lines.append(f"{self.unknown:,} that were named were never read: nothing is known to refuse them by")
        lines.append(f"{self.images:,} images and {self.patches:,} patches are left in {self.out}")
        if self.lacking:
            lines.append(f"{self.lacking:,} images are kept now and not in the shards yet: run million-ird build")
        if self.release:
            lines.append(f"This is version {self.release.version}; publish it, what is published still has them")
        lines += [f"An export still has them, until you run: {command}" for command in self.exports]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """For a script."""
        told = {name: getattr(self, name) for name in ("out", "refused", "unknown", "images", "patches", "lacking")}
        release = self.release.as_json() if self.release else None
        return {**told, "release": release, "exports": list(self.exports)}


def read_names(lines: Iterable[str]) -> list[str]:
    """The names in a list: one a line, but for empty lines and those that begin with `#`."""
    stripped = (line.strip() for line in lines)
    return list(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))


def remove(
    out: str, names: Sequence[str], *, today: date, reason: str = "", listener: Listener | None = None
) -> Removal:
    """Takes pictures down, and makes the next release.

    Killed at any moment and run again with the same names, it ends as if it had not been; what was named is refused
    from before the first file of the set is touched.

    Args:
        out: the output folder of a build.
        names: ids, keys, uris or `source/uri`s of candidates, kept or not.
        today: the date of the release.
        reason: stands in the change list; it is published.
        listener: is told of progress.

    Raises:
        UsageError: nothing is named, or nothing goes by one of the names; nothing was changed.
        OutputError: no build is there, or another process holds it.
        LedgerError: nothing was decided yet.
        BuildError: the disk is full; run again to go on.
    """
    folder, recipe = open_build(out)
    if not names:
        raise UsageError("no candidate is named: give a file with an id, key or uri a line")
    with owned(folder, LOCK), Engine(0) as engine:
        found = refuse(folder, names)
        forget(folder, found.keys)
        decide_stage(folder, recipe, engine)
        left = withdraw(folder, listener)
        release = None if left.lacking else make(folder, today=today, note=reason)
        report_stage(folder, recipe)
        name_in_card(folder)
    return Removal(
        out=folder.url,
        refused=found.new,
        unknown=found.unknown,
        images=left.images,
        patches=left.patches,
        lacking=left.lacking,
        release=release,
        exports=_exports(folder),
    )


def _exports(folder: Folder) -> tuple[str, ...]:
    """How the exports that lie in the set are brought up to it."""
    return tuple(
        f"million-ird export {folder.url} --format {form} --config {config}"
        for form in folder.names(INSIDE)
        for config in folder.names(f"{INSIDE}/{form}")
        if folder.exists(f"{INSIDE}/{form}/{config}/{STATE}")
    )
