"""Releases: what a set held at each of them, and what has changed since the one before.

`releases/releases.json` lists them, oldest first; `releases/kept.parquet` is what the last one held; `CHANGES.md` says
the same to people, newest first. Making one reads the ledger and the footers of the shards, and changes none of them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from million_ird import ledger as ledgers
from million_ird.build_folder import recipe_of
from million_ird.dataset.layout import CHANGES, RELEASES, parts
from million_ird.dataset.markdown import escaped
from million_ird.dataset.shards import Written
from million_ird.fingerprints import benchmark_names, load_removed
from million_ird.ledger import KEPT, REMOVED, VANISHED
from million_ird.reporting.card import write_card
from million_ird.runtime.storage import Folder

HELD = "releases/kept.parquet"
CHANGED = "changed"
"""Why a picture left: its file is there, and holds another one now."""
_RELEASE = b"million_ird.release"
"""In the footer of `HELD`: the release that it belongs to, so that a kill between two files loses nothing."""
_SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("id", "key", "split", "source")])
_LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release, and how it differs from the one before."""

    version: int
    """1, 2, 3, …"""
    date: str
    """YYYY-MM-DD."""
    images: int
    patches: int
    bytes: int
    """Of the files of images and patches."""
    added: int
    """Images that the release before did not hold."""
    removed: int
    """Images that it held and this one does not."""
    moved: int
    """Images that both hold, in another split."""
    reasons: dict[str, int]
    """Why those that were removed are no longer kept: the ledger's reasons, `failed` or `changed`; largest first."""
    taken_down: tuple[str, ...]
    """The ids of those that were removed on request."""
    recipe: str
    """Digest of the recipe."""
    recipe_before: str | None
    """Of the release before; None for the first."""
    benchmarks: tuple[str, ...]
    """Evaluation sets that the set was held against."""
    note: str = ""

    @property
    def text(self) -> str:
        """One line for a person."""
        held = f"{self.images:,} images, {self.patches:,} patches"
        return f"{self.version}  {self.date}  {held}; {self.added:,} added, {self.removed:,} removed"

    def as_json(self) -> dict[str, object]:
        """For the list, and for scripts."""
        return asdict(self)


def make(folder: Folder, *, today: date, note: str = "") -> Release | None:
    """Makes the next release; None where nothing has changed since the last one.

    A kept picture that came, went, changed its split or its ledger row is a change, and so is another recipe or other
    benchmarks. Killed at any moment and called again, it makes the same release once. Memory: some texts for each kept
    picture, now and at the last release.

    Raises:
        LedgerError: nothing was decided yet.
        DamagedFile: a file of the set or of the last release cannot be read.
    """
    earlier = list_releases(folder)
    last = earlier[-1] if earlier else None
    now, before = _kept(folder), _held(folder)
    recipe, benchmarks = recipe_of(folder).digest, benchmark_names(folder)
    same = last is not None and (last.recipe, last.benchmarks) == (recipe, benchmarks)
    if same and now.equals(before):
        _publish(folder, earlier)
        return None
    gone = before.filter(pc.invert(pc.is_in(before["id"], value_set=now["id"])))
    why = _why(folder, gone)
    counted = {str(one["values"]): int(one["counts"]) for one in pc.value_counts(why).to_pylist()}
    held = {part.config: part for part in parts(folder)}
    release = Release(
        version=last.version + 1 if last else 1,
        date=today.isoformat(),
        images=now.num_rows,
        patches=held["patches"].rows if "patches" in held else 0,
        bytes=sum(split.disk for name in ("images", "patches") if name in held for split in held[name].splits),
        added=_count(pc.invert(pc.is_in(now["id"], value_set=before["id"]))),
        removed=gone.num_rows,
        moved=_moved(before, now),
        reasons=dict(sorted(counted.items(), key=lambda item: (-item[1], item[0]))),
        taken_down=tuple(sorted(set(gone.filter(pc.equal(why, REMOVED))["id"].to_pylist()))),
        recipe=recipe,
        recipe_before=last.recipe if last else None,
        benchmarks=benchmarks,
        note=note,
    )
    _hold(folder, now, release)
    _publish(folder, [*earlier, release])
    return release


def name_in_card(folder: Folder) -> None:
    """Writes the card anew, so that it names the last release."""
    rows = {part.config: part.rows for part in parts(folder)}
    written = Written(rows.get("images", 0), rows.get("patches", 0))
    write_card(folder, ledgers.load(folder), recipe_of(folder), written, benchmarks=benchmark_names(folder))


def list_releases(folder: Folder) -> list[Release]:
    """The releases, oldest first; with the one whose making was cut off after it was certain."""
    found = [_read(one) for one in folder.read_json(RELEASES) or []]
    if folder.exists(HELD):
        held = _read(json.loads(folder.read_schema(HELD).metadata[_RELEASE]))
        if not found or held.version > found[-1].version:
            found.append(held)
    return found


def changes(found: Sequence[Release]) -> str:
    """The change list in Markdown, newest first. Of what was removed on request it says the ids and nothing else."""
    return "\n".join(["# Changes", *(line for one in reversed(found) for line in _told(one)), ""])


def _told(one: Release) -> Iterator[str]:
    yield from ("", f"## Version {one.version}, {one.date}", "")
    yield f"{one.images:,} images and {one.patches:,} patches, {one.bytes / 1e6:,.1f} MB."
    if one.note:
        yield from ("", escaped(one.note, _LONGEST_NOTE))
    yield ""
    if one.recipe_before is None:
        yield "- The first release."
    else:
        yield f"- {one.added:,} added, {one.removed:,} removed, {one.moved:,} moved to another split."
    for reason, count in one.reasons.items():
        yield f"  - removed because of {escaped(reason)}: {count:,}"
    if one.recipe_before not in (None, one.recipe):
        yield f"- Another recipe: `{one.recipe}`, before `{one.recipe_before}`."
    if one.benchmarks:
        yield f"- Free of the pictures of {', '.join(map(escaped, one.benchmarks))}."
    if one.taken_down:
        yield "- Removed on request:"
        yield from (f"  - `{name}`" for name in one.taken_down)


def _kept(folder: Folder) -> pa.Table:
    """(id, key, split, source) of what the ledger keeps, sorted."""
    read = (folder.read_table(name, [*_SCHEMA.names, "verdict"]) for name in ledgers.files(folder))
    kept = [table.filter(pc.equal(table["verdict"], KEPT)).select(_SCHEMA.names).cast(_SCHEMA) for table in read]
    return _sorted(pa.concat_tables(kept))


def _held(folder: Folder) -> pa.Table:
    held = folder.read_table(HELD, _SCHEMA.names) if folder.exists(HELD) else _SCHEMA.empty_table()
    return held.replace_schema_metadata(None).cast(_SCHEMA)


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([("id", "ascending"), ("key", "ascending")])


def _moved(before: pa.Table, now: pa.Table) -> int:
    ours, theirs = (pc.binary_join_element_wise(table["id"], table["split"], " ") for table in (now, before))
    common = pc.is_in(now["id"], value_set=before["id"])
    return _count(pc.and_(common, pc.invert(pc.is_in(ours, value_set=theirs))))


def _why(folder: Folder, gone: pa.Table) -> pa.ChunkedArray:
    """Why each of `gone` is not kept any more."""
    found = []
    for name in ledgers.files(folder) if gone.num_rows else ():
        table = folder.read_table(name, ["key", "verdict", "reason"])
        found.append(table.filter(pc.is_in(table["key"], value_set=gone["key"])))
    if not found:
        return pa.chunked_array([], pa.string())
    rows = pa.concat_tables(found)
    told = pc.coalesce(rows["reason"], rows["verdict"])
    told = pc.if_else(pc.equal(told, KEPT), CHANGED, told).combine_chunks()
    places = pc.index_in(gone["key"], value_set=rows["key"])
    why = pc.fill_null(pc.take(told, places), VANISHED)
    refused = load_removed(folder)
    if refused is None:
        return why
    return pc.if_else(pc.is_in(gone["id"], value_set=refused["id"]), REMOVED, why)


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _hold(folder: Folder, now: pa.Table, release: Release) -> None:
    told = json.dumps(release.as_json(), sort_keys=True, ensure_ascii=False).encode()
    folder.write_table(HELD, now.replace_schema_metadata({_RELEASE: told}))


def _publish(folder: Folder, found: Sequence[Release]) -> None:
    """Writes the list and the text, unless they say it already."""
    listed = [one.as_json() | {"taken_down": list(one.taken_down), "benchmarks": list(one.benchmarks)} for one in found]
    if folder.read_json(RELEASES) != listed:
        folder.write_json(RELEASES, listed)
    text = changes(found).encode()
    if not folder.exists(CHANGES) or folder.read(CHANGES) != text:
        folder.write(CHANGES, text)


def _read(found: Mapping[str, Any]) -> Release:
    told: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return Release(**told)
