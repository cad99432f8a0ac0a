"""Takedown: removes images from a built dataset for good, with or without its sources.

Before anything else is changed, `removed.parquet` (the blocklist) gets hashes and keypoints of the images. They
recognise an image under another name, re-encoded, resized or cropped, and no image can be made from them. The blocklist
is published with the dataset, and every later build drops the images that it recognises. Copies of an image, and
images of the dataset that show a part of it, are removed too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from million_ird.build_folder import LOCK, open_build
from million_ird.dataset.rewrite_shards import rewrite_shards
from million_ird.errors import UsageError, one_line
from million_ird.export.exports_inside import commands_where_held
from million_ird.maintenance.blocklist import add_to_blocklist, removed_ids
from million_ird.maintenance.purge import purge
from million_ird.maintenance.releases import DatasetRelease, make_release, update_card
from million_ird.printable import printable
from million_ird.reporting.formatting import plural
from million_ird.runtime.executor import Executor
from million_ird.runtime.file_names import as_typed
from million_ird.runtime.lock import locked
from million_ird.runtime.progress import Listener
from million_ird.workflow import decide_stage, report_stage


@dataclass(frozen=True, slots=True, kw_only=True)
class TakedownResult:
    """The result of a takedown."""

    out: str
    refused: int
    """Candidates that are on the blocklist now and were not before."""
    unknown: int
    """Named candidates that were never read, so that nothing is known to recognise them by."""
    images: int
    """Images that are left in the dataset."""
    patches: int
    """Patches that are left in the dataset."""
    lacking: int
    """Images that the ledger keeps but no shard has: a build must add them."""
    release: DatasetRelease | None
    """The next release; None if the dataset had nothing of what was named, or lacks images."""
    exports: tuple[str, ...]
    """Commands that update the exports in the folder that have images that were removed, now or before."""

    @property
    def text(self) -> str:
        """The result as text, for people."""
        lines = [f"{plural(self.refused, 'candidate')} added to the blocklist, copies included"]
        if self.unknown:
            lines.append(f"{self.unknown:,} of the named candidates were never read: nothing is known to block them by")
        images, patches = plural(self.images, "image"), plural(self.patches, "patch", "patches")
        lines.append(f"{images} and {patches} left in {self.out}")
        if self.lacking:
            lines.append(f"{plural(self.lacking, 'image')} kept now but not in the shards yet: run million-ird build")
        if self.release:
            lines.append(f"This is version {self.release.version}; publish it: a published earlier one still has them")
        lines += [f"An export has removed images until you run: {printable(command)}" for command in self.exports]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return the result as a JSON object."""
        counts = {name: getattr(self, name) for name in ("out", "refused", "unknown", "images", "patches", "lacking")}
        release = self.release.as_json() if self.release else None
        return {**counts, "release": release, "exports": list(self.exports)}


def read_names(lines: Iterable[str]) -> list[str]:
    """Return the names in a list with one name per line, without empty lines and lines that begin with `#`.

    Raises:
        UsageError: The file that the lines are read from is not UTF-8.
    """
    stripped = (line.removeprefix("\ufeff").strip() for line in lines)  # the byte-order mark of some editors
    try:
        return list(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))
    except UnicodeDecodeError as error:
        raise UsageError(f"--ids {getattr(lines, 'name', '')}: not UTF-8 ({one_line(error)})") from error


def take_down(
    out: str, names: Sequence[str], *, today: date, reason: str = "", listener: Listener | None = None
) -> TakedownResult:
    """Remove images from a dataset, and make the next release.

    If it is killed and run again with the same names, the result is the same as without the kill. The named images are
    on the blocklist before the first file of the dataset is changed.

    Args:
        out: Output folder of a build.
        names: Ids, keys, uris or `source/uri`s of candidates, kept or not.
        today: Date of the release.
        reason: Note in the change list, which is published.
        listener: Receives progress.

    Raises:
        UsageError: There are no names, or no candidate has one of them; nothing was changed.
        OutputError: There is no build, or another process holds it.
        LedgerError: Nothing was decided yet.
        BuildError: The disk is full; run again to continue.
    """
    folder, recipe = open_build(out)
    if not names:
        raise UsageError("no candidate is named: give a file with one id, key or uri per line")
    with locked(folder, LOCK), Executor(0) as executor:
        update = add_to_blocklist(folder, [*map(as_typed, names)])
        purge(folder, update.keys)
        decide_stage(folder, recipe, executor)
        rewritten = rewrite_shards(folder, listener)
        release = None if rewritten.missing_images else make_release(folder, today=today, note=as_typed(reason))
        report_stage(folder, recipe)
        update_card(folder)
    return TakedownResult(
        out=folder.url,
        refused=update.new,
        unknown=update.unknown,
        images=rewritten.images,
        patches=rewritten.patches,
        lacking=rewritten.missing_images,
        release=release,
        exports=tuple(commands_where_held(folder, removed_ids(folder))),
    )
