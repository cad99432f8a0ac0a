"""Releases: what a dataset contained at each release, and what changed since the release before.

`releases/releases.json` lists them, oldest first; `releases/kept.parquet` is the content of the last one; `CHANGES.md`
is the list for people, newest first. Making a release reads the ledger and the footers of the shards, and changes
neither.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.build_folder import recipe_of
from million_ird.dataset.layout import CHANGES, RELEASES, hub_configs
from million_ird.dataset.markdown import escape_markdown
from million_ird.dataset.shards import WriteSummary
from million_ird.fingerprints import benchmark_names, load_removed
from million_ird.ledger_stream import LedgerStream
from million_ird.marks import mark_of_shards
from million_ird.reporting.card import write_card
from million_ird.reporting.formatting import plural
from million_ird.runtime.storage import Folder
from million_ird.schema import KEPT, REMOVED, VANISHED
from million_ird.strict_json import to_json

LAST_RELEASE = "releases/kept.parquet"
CHANGED = "changed"
"""Reason of a removal: the same file now contains another image."""
_RELEASE = b"million_ird.release"
"""Metadata key in `LAST_RELEASE` of the release that it belongs to: a kill between two files loses nothing."""
_SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("id", "key", "split", "source")])
_MAX_NOTE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRelease:
    """One release, and its differences from the release before."""

    version: int
    """1, 2, 3, …"""
    date: str
    """YYYY-MM-DD."""
    images: int
    patches: int
    bytes: int
    """Size of the files of images and patches."""
    added: int
    """Images that the release before did not have."""
    removed: int
    """Images that the release before had and this one does not."""
    moved: int
    """Images that both have, in different splits."""
    reasons: dict[str, int]
    """Number of removed images by reason, largest first: a reason of the ledger, `failed` or `changed`."""
    taken_down: tuple[str, ...]
    """Ids of the images that were removed on request."""
    recipe: str
    """Digest of the recipe."""
    recipe_before: str | None
    """Digest of the recipe of the release before; None for the first release."""
    benchmarks: tuple[str, ...]
    """Evaluation sets that are excluded."""
    note: str = ""
    """Text in the change list."""

    @property
    def text(self) -> str:
        """The release on one line, for people."""
        counts = f"{plural(self.images, 'image')}, {plural(self.patches, 'patch', 'patches')}"
        return f"{self.version}  {self.date}  {counts}; {self.added:,} added, {self.removed:,} removed"

    def as_json(self) -> dict[str, object]:
        """Return the release as a JSON object, as in `releases.json`."""
        return asdict(self)


def make_release(folder: Folder, *, today: date, note: str = "") -> DatasetRelease | None:
    """Make the next release, or return None if nothing has changed since the last one.

    Changes are: a kept image was added, removed, or got another split or ledger row; another recipe; other excluded
    evaluation sets. If it is killed and called again, it makes the same release once. Memory: some texts for each kept
    image, now and at the last release.

    Args:
        folder: Output folder of a build.
        today: Date of the release.
        note: Text in the change list.

    Raises:
        LedgerError: Nothing was decided yet.
        DamagedFile: A file of the dataset or of the last release cannot be read.
    """
    earlier = list_releases(folder)
    last = earlier[-1] if earlier else None
    now, before = _kept(folder), _kept_before(folder)
    recipe, benchmarks = recipe_of(folder).digest, benchmark_names(folder)
    same_rules = last is not None and (last.recipe, last.benchmarks) == (recipe, benchmarks)
    if same_rules and now.equals(before):
        _publish(folder, earlier)
        return None
    gone = before.filter(pc.invert(pc.is_in(before["id"], value_set=now["id"])))
    reasons = _reasons(folder, gone)
    counts = {str(entry["values"]): int(entry["counts"]) for entry in pc.value_counts(reasons).to_pylist()}
    held = {config.name: config for config in hub_configs(folder)}
    release = DatasetRelease(
        version=last.version + 1 if last else 1,
        date=today.isoformat(),
        images=now.num_rows,
        patches=held["patches"].rows if "patches" in held else 0,
        bytes=sum(split.disk for name in ("images", "patches") if name in held for split in held[name].splits),
        added=_count(pc.invert(pc.is_in(now["id"], value_set=before["id"]))),
        removed=gone.num_rows,
        moved=_moved(before, now),
        reasons=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        taken_down=tuple(sorted(set(gone.filter(pc.equal(reasons, REMOVED))["id"].to_pylist()))),
        recipe=recipe,
        recipe_before=last.recipe if last else None,
        benchmarks=benchmarks,
        note=note,
    )
    _save_content(folder, now, release)
    _publish(folder, [*earlier, release])
    return release


def update_card(folder: Folder) -> None:
    """Write the card again, so that it names the last release."""
    rows = {config.name: config.rows for config in hub_configs(folder)}
    written, recipe = WriteSummary(rows.get("images", 0), rows.get("patches", 0)), recipe_of(folder)
    mark, ledger = mark_of_shards(folder, recipe).text, LedgerStream.of_build(folder)
    write_card(folder, ledger, recipe, written, benchmarks=benchmark_names(folder), mark=mark)


def list_releases(folder: Folder) -> list[DatasetRelease]:
    """Return the releases, oldest first, also one that was interrupted after its content was saved."""
    releases = [_read(entry) for entry in folder.read_json(RELEASES) or []]
    if folder.exists(LAST_RELEASE):
        last = _read(json.loads(folder.read_schema(LAST_RELEASE).metadata[_RELEASE]))
        if not releases or last.version > releases[-1].version:
            releases.append(last)
    return releases


def render_changes(releases: Sequence[DatasetRelease]) -> str:
    """Return the change list in Markdown, newest first. Of images removed on request it has the ids, nothing else."""
    return "\n".join(["# Changes", *(line for release in reversed(releases) for line in _entry(release)), ""])


def _entry(release: DatasetRelease) -> Iterator[str]:
    yield from ("", f"## Version {release.version}, {release.date}", "")
    counts = f"{plural(release.images, 'image')} and {plural(release.patches, 'patch', 'patches')}"
    yield f"{counts}, {release.bytes / 1e6:,.1f} MB."
    if release.note:
        yield from ("", escape_markdown(release.note, _MAX_NOTE))
    yield ""
    if release.recipe_before is None:
        yield "- The first release."
    else:
        yield f"- {release.added:,} added, {release.removed:,} removed, {release.moved:,} moved to another split."
    for reason, count in release.reasons.items():
        yield f"  - removed because of {escape_markdown(reason)}: {count:,}"
    if release.recipe_before not in (None, release.recipe):
        yield f"- Another recipe: `{release.recipe}`, before `{release.recipe_before}`."
    if release.benchmarks:
        yield f"- Excludes the images of {', '.join(map(escape_markdown, release.benchmarks))}."
    if release.taken_down:
        yield "- Removed on request:"
        yield from (f"  - `{name}`" for name in release.taken_down)


def _kept(folder: Folder) -> pa.Table:
    """Return (id, key, split, source) of the kept rows of the ledger, sorted."""
    return _sorted(LedgerStream.of_build(folder).kept_table(_SCHEMA.names).cast(_SCHEMA))


def _kept_before(folder: Folder) -> pa.Table:
    content = folder.read_table(LAST_RELEASE, _SCHEMA.names) if folder.exists(LAST_RELEASE) else _SCHEMA.empty_table()
    return content.replace_schema_metadata(None).cast(_SCHEMA)


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([("id", "ascending"), ("key", "ascending")])


def _moved(before: pa.Table, now: pa.Table) -> int:
    now_in, before_in = (pc.binary_join_element_wise(table["id"], table["split"], " ") for table in (now, before))
    common = pc.is_in(now["id"], value_set=before["id"])
    return _count(pc.and_(common, pc.invert(pc.is_in(now_in, value_set=before_in))))


def _reasons(folder: Folder, gone: pa.Table) -> pa.ChunkedArray:
    """Return for each row of `gone` the reason why it is not kept any more."""
    if not gone.num_rows:
        return pa.chunked_array([], pa.string())
    rows = LedgerStream.of_build(folder).keyed_table(gone["key"], ["key", "verdict", "reason"])
    in_ledger = pc.coalesce(rows["reason"], rows["verdict"])
    in_ledger = pc.if_else(pc.equal(in_ledger, KEPT), CHANGED, in_ledger).combine_chunks()
    positions = pc.index_in(gone["key"], value_set=rows["key"])
    reasons = pc.fill_null(pc.take(in_ledger, positions), VANISHED)
    removed = load_removed(folder)
    if removed is None:
        return reasons
    return pc.if_else(pc.is_in(gone["id"], value_set=removed["id"]), REMOVED, reasons)


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _save_content(folder: Folder, now: pa.Table, release: DatasetRelease) -> None:
    described = to_json(release.as_json(), sort_keys=True).encode()
    folder.write_table(LAST_RELEASE, now.replace_schema_metadata({_RELEASE: described}))


def _publish(folder: Folder, releases: Sequence[DatasetRelease]) -> None:
    """Write `releases.json` and `CHANGES.md`, unless they are up to date."""
    entries = [
        release.as_json() | {"taken_down": list(release.taken_down), "benchmarks": list(release.benchmarks)}
        for release in releases
    ]
    if folder.read_json(RELEASES) != entries:
        folder.write_json(RELEASES, entries)
    text = render_changes(releases).encode()
    if not folder.exists(CHANGES) or folder.read(CHANGES) != text:
        folder.write(CHANGES, text)


def _read(entry: Mapping[str, Any]) -> DatasetRelease:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    return DatasetRelease(**fields)
