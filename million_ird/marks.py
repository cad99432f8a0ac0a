"""Marks of what a card or a report was made from, and the digest of a ledger that they hold."""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from million_ird import ledger as ledgers
from million_ird.config.recipe import Recipe, digest
from million_ird.dataset.columns import image_columns
from million_ird.dataset.layout import CARD, CONFIGS, REPORT, SPLITS
from million_ird.errors import DamagedFile
from million_ird.runtime.storage import Folder
from million_ird.schema import KEPT

Run = Callable[[Callable[[str], tuple[str, str]], Iterable[str]], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a card or report was made from."""

    ledger: str
    """Digest of the ledger; `none` in the card of a dataset that lacks images of its ledger."""
    recipe: str
    """Digest of the recipe."""

    @property
    def text(self) -> str:
        """The mark as a comment of HTML and Markdown."""
        return f"<!-- million-ird: ledger {self.ledger}, recipe {self.recipe} -->"


_MARK = re.compile(r"<!-- million-ird: ledger (\w+), recipe (\w+) -->\s*\Z")
_DIGEST_IN_CARD = re.compile(r"`recipe\.yaml`, digest\s+`([0-9a-f]{16})`")
INCOMPLETE = "none"
_KNOWN = ".work/ledger.json"


def make_mark(folder: Folder, recipe: Recipe) -> Mark:
    """Return the mark of a file that shows the present ledger."""
    return Mark(ledger_digest(folder), recipe.digest)


def mark_of_shards(folder: Folder, recipe: Recipe) -> Mark:
    """Return the mark of a card whose shards were changed without their sources, by a takedown or for a release.

    They are as `write` would make them where they were written by the same recipe and have the rows of the ledger.
    """
    earlier = read_mark(folder, CARD)
    same = earlier is not None and earlier.ledger != INCOMPLETE and earlier.recipe == recipe.digest
    current = ledger_digest(folder)
    if same and earlier and (earlier.ledger == current or shards_match(folder, recipe)):
        return Mark(current, recipe.digest)
    return Mark(INCOMPLETE, earlier.recipe if earlier else recipe.digest)


def read_mark(folder: Folder, name: str) -> Mark | None:
    """Return the mark of a card or report; None if there is no such report or dataset, or the report has none.

    An earlier version's card has no mark, but the digest of the recipe. What is not known of a dataset is empty.
    """
    text = folder.read(name).decode(errors="replace") if folder.exists(name) else ""
    if match := _MARK.search(text):
        return Mark(match[1], match[2])
    if name == REPORT or not folder.names(CONFIGS["images"]):
        return None
    recipe = _DIGEST_IN_CARD.search(text)
    return Mark("", recipe[1] if recipe else "")


def ledger_digest(folder: Folder, run: Run = map) -> str:
    """Return a digest of what the ledger says: of all columns but the signatures, 16 hex digits; empty without one.

    Rows are read in groups, so that memory does not grow with the ledger; not at all where the digest of these files is
    known.

    Args:
        folder: The build.
        run: Applies a function to each file, in any order, perhaps in other processes.
    """
    if not has_ledger(folder):
        return ""
    known = folder.read_json(_KNOWN)
    if known is not None and known["files"] == ledgers.versions(folder):
        return str(known["digest"])
    return digest(sorted(run(partial(_digest_of_file, folder), ledgers.files(folder))))


def keep_ledger_digest(folder: Folder, run: Run = map) -> None:
    """Store the digest of the present ledger, so that other commands need not read all of its rows for it."""
    folder.write_json(_KNOWN, {"files": ledgers.versions(folder), "digest": ledger_digest(folder, run)})


def _digest_of_file(folder: Folder, name: str) -> tuple[str, str]:
    """Return the name of a file of the ledger and a digest of its rows."""
    found = hashlib.blake2b(digest_size=16)
    with folder.parquet(name) as file:
        wanted = [field for field in file.schema_arrow.names if field not in ledgers.SIGNATURE]
        for group in range(file.num_row_groups):
            bare = file.read_row_group(group, columns=wanted, use_threads=False).replace_schema_metadata(None)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, bare.schema) as stream:
                stream.write_table(bare.combine_chunks())
            found.update(memoryview(sink.getvalue()))
    return name, found.hexdigest()


def shards_match(folder: Folder, recipe: Recipe) -> bool:
    """Return whether the shards have the rows that the ledger keeps, each in its split, and no others.

    The columns that images share with the ledger are compared, and whose patches there are; no image is read.
    """
    columns = image_columns(recipe.ledger_entries)
    try:
        tables = (folder.read_table(name, [*columns, "split", "verdict"]) for name in ledgers.files(folder))
        rows = pa.concat_tables([table.filter(pc.equal(table["verdict"], KEPT)) for table in tables])
        for split in SPLITS:
            kept = rows.filter(pc.equal(rows["split"], split)).select(columns).sort_by("key")
            written = _shard_rows(folder, "data", split, columns)
            if (kept if written is None else written.sort_by("key")) != kept or (written is None and kept.num_rows):
                return False
            patches = _shard_rows(folder, "patches", split, ["key"])
            if patches is not None and not pc.all(pc.is_in(patches["key"], value_set=kept["key"])).as_py():
                return False
    except (DamagedFile, pa.ArrowInvalid, KeyError):  # other columns: shards of another recipe
        return False
    return True


def _shard_rows(folder: Folder, kind: str, split: str, columns: list[str]) -> pa.Table | None:
    names = [f"{kind}/{name}" for name in folder.names(kind) if name.startswith(f"{split}-")]
    tables = [folder.read_table(name, columns).select(columns).replace_schema_metadata(None) for name in names]
    return pa.concat_tables(tables) if tables else None


def has_ledger(folder: Folder) -> bool:
    """Return whether a folder has the files of a ledger."""
    return any(name.endswith(".parquet") for name in folder.names(ledgers.FOLDER))
