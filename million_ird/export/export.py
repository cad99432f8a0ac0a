"""A built set in the layouts of other programs: the flow of an export, the same for every format.

For each split: what has left the set is removed, what is new or changed is written, shard by shard, then the files that
list all pictures. Run again, it does what is not done yet; killed at any moment and run again, it ends in the same
files (of an LMDB database: the same keys and values) as if it had not been.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from million_ird.build_folder import LOCK as BUILD_LOCK
from million_ird.errors import BuildError, OutputError, UsageError
from million_ird.export.destination import LOCK, claim, destination
from million_ird.export.folder import FolderLayout
from million_ird.export.journal import Journal, Totals, journalled
from million_ird.export.layout import Layout, Place
from million_ird.export.lmdb import LmdbLayout
from million_ird.export.reading import (
    FILE_NAME,
    Picture,
    Shard,
    find_shards,
    read_columns,
    read_pictures,
    unchanged,
)
from million_ird.export.webdataset import TarLayout
from million_ird.runtime.lock import is_owned, owned
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder

FORMATS: dict[str, type[Layout]] = {"folder": FolderLayout, "webdataset": TarLayout, "lmdb": LmdbLayout}
REVISION = 1
"""Goes up when the same picture would be laid out otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export holds, and what was done for it."""

    folder: str
    format: str
    config: str
    splits: dict[str, int]
    """Pictures of each split."""
    bytes: int
    """Of the encoded pictures."""
    reencoded: int
    """Pictures that are not the bytes of the set; only an LMDB database of originals has such."""
    written: int
    """Pictures in the shards that were written by this call, the others were there."""

    @property
    def pictures(self) -> int:
        """Of all splits."""
        return sum(self.splits.values())

    @property
    def text(self) -> str:
        """For a person."""
        splits = " and ".join(f"{count:,} for {split}" for split, count in self.splits.items())
        again = f", {self.reencoded:,} of them as PNG for OpenCV's sake" if self.reencoded else ""
        return f"{splits}: {self.bytes:,} bytes in {self.folder}; {self.written:,} written now{again}"

    def as_json(self) -> dict[str, object]:
        """For a script."""
        return {**asdict(self), "pictures": self.pictures}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """One split under way."""

    place: Place
    layout: Layout
    journal: Journal
    units: dict[str, Shard]
    """In the order of the shards."""

    @property
    def missing(self) -> list[str]:
        return [unit for unit in self.units if unit not in self.journal.done]


def export(
    out: str, format: str, *, config: str = "patches", to: str | None = None, listener: Listener | None = None
) -> Exported:
    """Writes the pictures of the set `out` in another layout; only files in the destination are written.

    Pictures that have left the set since an earlier export leave the export, before anything else is written.

    Args:
        out: the output folder of a build.
        format: one of `FORMATS`.
        config: `patches` or `images`.
        to: a folder: new, empty, or of an earlier export of the same; `OUT/export/FORMAT/CONFIG` unless given.
        listener: is told of progress.

    Raises:
        UsageError: there is no such format or part, `to` holds something else, or a package is missing.
        OutputError: a build holds `out`, or another export the destination.
        BuildError: the disk is full, or the set changed meanwhile; run again to go on.
        DamagedFile: a shard cannot be read.
    """
    source = Folder(out)
    if format not in FORMATS:
        raise UsageError(f"{format}: no format to export to; there are {', '.join(FORMATS)}")
    if is_owned(source, BUILD_LOCK):
        raise OutputError(f"{source.url}: is being built; export it when that is done")
    shards = find_shards(source, config)
    chosen = destination(source, format, config, to)
    FORMATS[format](Place(folder=chosen, split="", config=config, shards=()))
    with owned(chosen, LOCK):
        claim(source, chosen, format, config)
        splits = _layouts(chosen, format, config, shards, sorted(journalled(chosen)))
        for split in splits:
            _reopen_gaps(split)
            _remove_what_left(split)
        written = sum(split.units[unit].rows for split in splits for unit in split.missing)
        if listener:
            listener.stage("export", written, "pictures")
        for split in splits:
            _write_missing(source, split, listener)
        _require_unchanged(source, shards)
        for split in splits:
            _write_index(split)
        return _told(chosen, format, config, [split for split in splits if split.units], written)


def _layouts(chosen: Folder, format: str, config: str, shards: Sequence[Shard], earlier: Sequence[str]) -> list[_Split]:
    """The splits of the set, and those that it had at an earlier export."""
    splits = []
    for name in sorted({shard.split for shard in shards} | set(earlier)):
        own = [shard for shard in shards if shard.split == name]
        place = Place(folder=chosen, split=name, config=config, shards=own)
        layout = FORMATS[format](place)
        units = {_unit(format, config, shard, layout.terms(shard)): shard for shard in own}
        splits.append(_Split(place=place, layout=layout, journal=Journal(chosen, name), units=units))
    return splits


def _unit(format: str, config: str, shard: Shard, terms: str) -> str:
    """A name for all that the files of a shard depend on."""
    text = f"{format} {config} {REVISION} {shard.digest} {terms}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _reopen_gaps(split: _Split) -> None:
    """Files that someone took away are written again."""
    for unit in [unit for unit in split.units if unit in split.journal.done]:
        if split.layout.lacks(split.journal.files(unit)):
            split.journal.reopen(unit)


def _remove_what_left(split: _Split) -> None:
    """Removes what earlier exports wrote of shards that the set has no more; their lists first, their journal last."""
    stale = sorted((split.journal.done | split.journal.begun) - set(split.units))
    if stale or not split.units:
        _remove_index(split)
        split.layout.remove(split.journal.files(unit) for unit in stale)
    for unit in stale:
        split.journal.forget(unit)
    if not split.units:
        if not split.place.folder.names(split.place.split):
            split.place.folder.remove(split.place.split)
        split.journal.close()


def _remove_index(split: _Split) -> None:
    split.journal.unlist()
    for name in split.layout.index:
        split.place.folder.remove(split.place.path(name))


def _write_missing(source: Folder, split: _Split, listener: Listener | None) -> None:
    for unit in split.missing:
        shard, resumed = split.units[unit], unit in split.journal.begun
        columns = read_columns(source, shard)
        names = columns[FILE_NAME].to_pylist()
        split.journal.begin(unit, _with_files(columns, split.layout.planned(shard, names)))
        pictures = _expected(read_pictures(source, shard), names, listener)
        stored = list(split.layout.write(shard, pictures, resumed=resumed))
        _require_unchanged(source, [shard])
        totals = Totals(sum(one.bytes for one in stored), sum(one.reencoded for one in stored))
        split.journal.finish(unit, _with_files(columns, [one.file for one in stored]), totals)


def _with_files(columns: pa.Table, files: list[str]) -> pa.Table:
    return columns.set_column(0, FILE_NAME, pa.array(files, pa.string()))


def _expected(pictures: Iterator[Picture], names: list[str], listener: Listener | None) -> Iterator[Picture]:
    """The pictures, none of which is another than the journal has noted: what it does not know, nothing removes."""
    for picture, name in itertools.zip_longest(pictures, names):
        if picture is None or picture.file != name:
            raise BuildError(f"{name or picture.file}: the set changed while it was exported; run again to go on")
        yield picture
        if listener:
            listener.advance(1)


def _require_unchanged(source: Folder, shards: Sequence[Shard]) -> None:
    if not unchanged(source, shards):
        raise BuildError(f"{source.url}: changed while it was exported; run the same command again")


def _write_index(split: _Split) -> None:
    units = list(split.units)
    there = all(split.place.folder.exists(split.place.path(name)) for name in split.layout.index)
    if units and not (there and split.journal.listed() == units):
        split.journal.unlist()
        split.layout.write_index(split.journal.columns(units))
        split.journal.list(units)


def _told(chosen: Folder, format: str, config: str, splits: Sequence[_Split], written: int) -> Exported:
    totals = [split.journal.totals(unit) for split in splits for unit in split.units]
    return Exported(
        folder=chosen.url,
        format=format,
        config=config,
        splits={split.place.split: sum(shard.rows for shard in split.units.values()) for split in splits},
        bytes=sum(one.bytes for one in totals),
        reencoded=sum(one.reencoded for one in totals),
        written=written,
    )


__all__ = ["FORMATS", "Exported", "export"]
