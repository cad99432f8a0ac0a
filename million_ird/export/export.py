"""Export of a built dataset to another format: the flow, which is the same for every format.

For each split, images that have left the dataset are removed, then new and changed images are written, shard by shard,
then the files that list all images. Run again, an export does what is not done yet. Killed at any moment and run again,
it ends in the same files (for an LMDB database: the same keys and values) as without the kill.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

import pyarrow as pa

from million_ird.errors import BuildError
from million_ird.export.destination import FORMAT_NAMES, LOCK, claim, plan_export
from million_ird.export.folder import FolderLayout
from million_ird.export.journal import Journal, UnitTotals, exported_splits
from million_ird.export.layout import ExportLayout, ExportSplit
from million_ird.export.lmdb import LmdbLayout
from million_ird.export.shard_reader import (
    FILE_NAME,
    DatasetImage,
    DatasetShard,
    read_columns,
    read_images,
    unchanged,
)
from million_ird.export.webdataset import TarLayout
from million_ird.runtime.lock import locked
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder

FORMATS: Mapping[str, type[ExportLayout]] = MappingProxyType(
    dict(zip(FORMAT_NAMES, (FolderLayout, TarLayout, LmdbLayout), strict=True))
)
REVISION = 1
"""Increases when the same image would be written differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """The content of an export, and what this call wrote."""

    folder: str
    format: str
    config: str
    splits: dict[str, int]
    """Number of images in each split."""
    bytes: int
    """Size of the encoded images."""
    reencoded: int
    """Images whose bytes are not those of the dataset; only an LMDB database of originals has any."""
    written: int
    """Images in the shards that this call wrote."""

    @property
    def images(self) -> int:
        """Number of images in all splits."""
        return sum(self.splits.values())

    @property
    def text(self) -> str:
        """The result as text, for people."""
        splits = " and ".join(f"{count:,} for {split}" for split, count in self.splits.items())
        as_png = f", {self.reencoded:,} of them re-encoded as PNG for OpenCV" if self.reencoded else ""
        return f"{splits}: {self.bytes:,} bytes in {self.folder}; {self.written:,} written now{as_png}"

    def as_json(self) -> dict[str, object]:
        """Return the result as a JSON object."""
        return {**asdict(self), "pictures": self.images}


@dataclass(frozen=True, slots=True, kw_only=True)
class _SplitExport:
    """The export of one split while it runs."""

    split: ExportSplit
    layout: ExportLayout
    journal: Journal
    units: dict[str, DatasetShard]
    """Shards by name of the unit, in the order of the shards."""

    @property
    def missing(self) -> list[str]:
        return [unit for unit in self.units if unit not in self.journal.done]


def export(
    out: str, format: str, *, config: str = "patches", to: str | None = None, listener: Listener | None = None
) -> ExportResult:
    """Export the images of the dataset `out`; only files in the destination are written.

    Images that have left the dataset since an earlier export are removed before anything else is written.

    Args:
        out: Output folder of a build.
        format: One of `FORMATS`.
        config: `patches` or `images`.
        to: Folder: new, empty, or of an earlier export of the same; `OUT/export/FORMAT/CONFIG` if None.
        listener: Receives progress.

    Raises:
        UsageError: No such format or config, `to` contains other files, or a package is missing.
        StaleBuild: A stage is due; the message has the command.
        OutputError: A build holds `out`, or another export holds the destination.
        BuildError: The disk is full, or the dataset changed meanwhile; run again to continue.
        DamagedFile: A shard cannot be read.
    """
    source = Folder(out)
    shards, chosen = plan_export(source, format, config, to)
    FORMATS[format](ExportSplit(folder=chosen, name="", config=config, shards=()))
    with locked(chosen, LOCK):
        claim(source, chosen, format, config)
        tasks = _split_exports(chosen, format, config, shards, sorted(exported_splits(chosen)))
        for task in tasks:
            _reopen_gaps(task)
            _remove_outdated(task)
        written = sum(task.units[unit].rows for task in tasks for unit in task.missing)
        if listener:
            listener.stage("export", written, "images")
        for task in tasks:
            _write_missing(source, task, listener)
        _require_unchanged(source, shards)
        for task in tasks:
            _write_index(task)
        return _result(chosen, format, config, [task for task in tasks if task.units], written)


def _split_exports(
    chosen: Folder, format: str, config: str, shards: Sequence[DatasetShard], earlier: Sequence[str]
) -> list[_SplitExport]:
    """Return the splits of the dataset, and those that it had at an earlier export."""
    tasks = []
    for name in sorted({shard.split for shard in shards} | set(earlier)):
        own = [shard for shard in shards if shard.split == name]
        split = ExportSplit(folder=chosen, name=name, config=config, shards=own)
        layout = FORMATS[format](split)
        units = {_unit_name(format, config, shard, layout.cache_key(shard)): shard for shard in own}
        tasks.append(_SplitExport(split=split, layout=layout, journal=Journal(chosen, name), units=units))
    return tasks


def _unit_name(format: str, config: str, shard: DatasetShard, cache_key: str) -> str:
    """Return a hash of everything that the files of a shard depend on."""
    text = f"{format} {config} {REVISION} {shard.digest} {cache_key}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _reopen_gaps(task: _SplitExport) -> None:
    """Mark units as unfinished whose files someone has removed."""
    for unit in [unit for unit in task.units if unit in task.journal.done]:
        if task.layout.is_incomplete(task.journal.files(unit)):
            task.journal.reopen(unit)


def _remove_outdated(task: _SplitExport) -> None:
    """Remove the files of shards that the dataset no longer has; the index files first, the journal last."""
    outdated = sorted((task.journal.done | task.journal.begun) - set(task.units))
    if outdated or not task.units:
        _remove_index(task)
        task.layout.remove(task.journal.files(unit) for unit in outdated)
    for unit in outdated:
        task.journal.forget(unit)
    if not task.units:
        if not task.split.folder.names(task.split.name):
            task.split.folder.remove(task.split.name)
        task.journal.close()


def _remove_index(task: _SplitExport) -> None:
    task.journal.clear_indexed()
    for name in task.layout.index:
        task.split.folder.remove(task.split.path(name))


def _write_missing(source: Folder, task: _SplitExport, listener: Listener | None) -> None:
    for unit in task.missing:
        shard, resumed = task.units[unit], unit in task.journal.begun
        columns = read_columns(source, shard)
        names = columns[FILE_NAME].to_pylist()
        task.journal.begin(unit, _with_files(columns, task.layout.planned_files(shard, names)))
        images = _expected(read_images(source, shard), names, listener)
        written = list(task.layout.write(shard, images, resumed=resumed))
        _require_unchanged(source, [shard])
        totals = UnitTotals(sum(image.bytes for image in written), sum(image.reencoded for image in written))
        task.journal.finish(unit, _with_files(columns, [image.file for image in written]), totals)


def _with_files(columns: pa.Table, files: list[str]) -> pa.Table:
    return columns.set_column(0, FILE_NAME, pa.array(files, pa.string()))


def _expected(images: Iterator[DatasetImage], names: list[str], listener: Listener | None) -> Iterator[DatasetImage]:
    """Yield the images, and check that they are those in the journal: only what it lists can be removed later."""
    for image, name in itertools.zip_longest(images, names):
        if image is None or image.file != name:
            raise BuildError(f"{name or image.file}: the dataset changed while it was exported; run again to continue")
        yield image
        if listener:
            listener.advance(1)


def _require_unchanged(source: Folder, shards: Sequence[DatasetShard]) -> None:
    if not unchanged(source, shards):
        raise BuildError(f"{source.url}: changed while it was exported; run the same command again")


def _write_index(task: _SplitExport) -> None:
    units = list(task.units)
    present = all(task.split.folder.exists(task.split.path(name)) for name in task.layout.index)
    if units and not (present and task.journal.indexed_units() == units):
        task.journal.clear_indexed()
        task.layout.write_index(task.journal.columns(units))
        task.journal.set_indexed(units)


def _result(chosen: Folder, format: str, config: str, tasks: Sequence[_SplitExport], written: int) -> ExportResult:
    totals = [task.journal.totals(unit) for task in tasks for unit in task.units]
    return ExportResult(
        folder=chosen.url,
        format=format,
        config=config,
        splits={task.split.name: sum(shard.rows for shard in task.units.values()) for task in tasks},
        bytes=sum(total.bytes for total in totals),
        reencoded=sum(total.reencoded for total in totals),
        written=written,
    )
