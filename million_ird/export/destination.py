"""Where an export goes, and what it must not overwrite."""

import os

from million_ird.errors import OutputError, UsageError
from million_ird.runtime.storage import Folder

STATE = ".export"
"""The folder, in the destination, of all that is not for a reader: journals and the lock."""
LOCK = f"{STATE}/lock"
INSIDE = "export"
"""The one folder of a set that may hold exports of it."""
_CLAIM = f"{STATE}/export.json"


def destination(source: Folder, form: str, config: str, to: str | None) -> Folder:
    """The folder to write to: new, empty, or of an earlier export of the same part of the same set.

    Raises:
        UsageError: it holds something else, or lies among the files of the set.
    """
    own = Folder(f"{source.url}/{INSIDE}/{form}/{config}", source.options)
    chosen = own if to is None else Folder(to)
    if source.holds(chosen) and not Folder(f"{source.url}/{INSIDE}", source.options).holds(chosen):
        raise UsageError(f"{chosen.url}: lies in the set; only {source.url}/{INSIDE} in it is for exports")
    if chosen.exists() and not chosen.is_folder:
        raise UsageError(f"{chosen.url}: is a file, not a folder")
    try:
        names, found = chosen.names(), chosen.read_json(_CLAIM)
    except OSError as error:
        raise OutputError(f"{chosen.url}: cannot be read: {error.strerror or error}") from error
    if found is None and set(names) - {STATE}:
        raise UsageError(f"{chosen.url}: holds something else ({names[0]}, …); choose a new or empty folder")
    if found is not None and found != _claim(source, chosen, form, config):
        there = " ".join(str(found.get(key)) for key in ("config", "as", "of")) if isinstance(found, dict) else "?"
        raise UsageError(f"{chosen.url}: holds another export ({there}); choose a new or empty folder")
    return chosen


def claim(source: Folder, chosen: Folder, form: str, config: str) -> None:
    """Notes in the destination what it is an export of."""
    chosen.write_json(_CLAIM, _claim(source, chosen, form, config))


def _claim(source: Folder, chosen: Folder, form: str, config: str) -> dict[str, str]:
    """An export inside its set moves with it, so it is known by its place; any other by the set's."""
    place = os.path.realpath(source.root) if source.local else source.url
    return {"as": form, "config": config, "of": "" if source.holds(chosen) else place}
