"""The folder of an export: which one it is, and when it is refused because of other files."""

import os

from million_ird.build_folder import LOCK as BUILD_LOCK
from million_ird.config.recipe import nearest
from million_ird.errors import DamagedFile, OutputError, UsageError
from million_ird.export.shard_reader import DatasetShard, find_shards
from million_ird.runtime.lock import is_locked
from million_ird.runtime.storage import Folder
from million_ird.stages import require_current

FORMAT_NAMES = ("folder", "webdataset", "lmdb")

STATE = ".export"
"""Folder, in the destination, of the journals and the lock; readers ignore it."""
LOCK = f"{STATE}/lock"
INSIDE = "export"
"""Folder, in a dataset, that may contain exports of it."""
_CLAIM = f"{STATE}/export.json"


def plan_export(source: Folder, form: str, config: str, to: str | None) -> tuple[list[DatasetShard], Folder]:
    """Check what an export is asked for, before anything is written or a slow library is loaded.

    Args:
        source: Folder of the dataset.
        form: One of `FORMAT_NAMES`.
        config: `patches` or `images`.
        to: Folder to write to, as of `destination`.

    Returns:
        The shards to read, and the folder to write to.

    Raises:
        UsageError: No such format or config, or `to` contains other files.
        StaleBuild: A stage is due; the message has the command.
        OutputError: A build holds the dataset.
    """
    if form not in FORMAT_NAMES:
        hint = nearest(form, FORMAT_NAMES)
        raise UsageError(f"{form}: unknown export format{hint}; choose one of {', '.join(FORMAT_NAMES)}")
    if is_locked(source, BUILD_LOCK):
        raise OutputError(f"{source.url}: is being built; export it afterwards")
    require_current(source, "exported")
    return find_shards(source, config), destination(source, form, config, to)


def destination(source: Folder, form: str, config: str, to: str | None) -> Folder:
    """Return the folder to write to: new, empty, or of an earlier export of the same config of the same dataset.

    Args:
        source: Folder of the dataset.
        form: Format of the export.
        config: `patches` or `images`.
        to: Folder that the user names; `OUT/export/FORMAT/CONFIG` if None.

    Raises:
        UsageError: It contains other files, or is among the files of the dataset.
    """
    default = Folder(f"{source.url}/{INSIDE}/{form}/{config}", source.options)
    chosen = default if to is None else Folder(to)
    if source.holds(chosen) and not Folder(f"{source.url}/{INSIDE}", source.options).holds(chosen):
        raise UsageError(f"{chosen.url}: is inside the dataset, where only {source.url}/{INSIDE} may contain exports")
    if chosen.exists() and not chosen.is_folder:
        raise UsageError(f"{chosen.url}: is a file, not a folder")
    try:
        names, claimed = chosen.names(), chosen.read_json(_CLAIM)
    except OSError as error:
        raise OutputError(f"{chosen.url}: cannot be read: {error.strerror or error}") from error
    if claimed is None and set(names) - {STATE}:
        raise UsageError(f"{chosen.url}: contains other files ({names[0]}, …); choose a new or empty folder")
    if claimed is not None and claimed != _claim(source, chosen, form, config):
        keys = ("config", "as", "of")
        other = " ".join(str(claimed.get(key)) for key in keys) if isinstance(claimed, dict) else "?"
        raise UsageError(f"{chosen.url}: contains another export ({other}); choose a new or empty folder")
    return chosen


def claim(source: Folder, chosen: Folder, form: str, config: str) -> None:
    """Record in the destination which dataset, config and format it contains."""
    chosen.write_json(_CLAIM, _claim(source, chosen, form, config))


def read_claim(chosen: Folder) -> dict[str, str]:
    """Return which dataset (`of`), config (`config`) and format (`as`) an export has.

    Raises:
        DamagedFile: It does not say so.
    """
    claimed = chosen.read_json(_CLAIM)
    if not isinstance(claimed, dict) or not {"as", "config", "of"} <= claimed.keys():
        raise DamagedFile(f"{chosen.path(_CLAIM)}: damaged")
    return {key: str(value) for key, value in claimed.items()}


def _claim(source: Folder, chosen: Folder, form: str, config: str) -> dict[str, str]:
    """Return what identifies an export. One inside its dataset moves with it, so it does not store the path."""
    path = os.path.realpath(source.root) if source.local else source.url
    return {"as": form, "config": config, "of": "" if source.holds(chosen) else path}
