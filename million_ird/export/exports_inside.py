"""The exports in the folder of a dataset, and what they hold: known from their journals, without reading an image."""

import logging
import os
import shlex
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from million_ird.errors import MillionIRDError
from million_ird.export.destination import INSIDE, STATE, read_claim
from million_ird.export.journal import listed_files
from million_ird.runtime.storage import Folder

log = logging.getLogger(__name__)

_ID = r"^(?:.*/)?([0-9A-Za-z]+)[^/]*$"
"""A file, and the id of its image, or of the image that its patch is cut from."""


def commands_where_held(source: Folder, ids: pa.Array | pa.ChunkedArray) -> Iterator[str]:
    """Yield the command that updates an export, for each export in the dataset's folder that holds one of the images.

    Args:
        source: Folder of the dataset.
        ids: Ids of images.
    """
    inside = Folder(f"{source.url}/{INSIDE}", source.options)
    for folder in _exports_in(inside, set()):
        try:
            if _holds(folder, ids):
                yield _command(source, folder)
        except (MillionIRDError, OSError) as error:
            _warn(folder, error)


def _exports_in(folder: Folder, entered: set[str]) -> Iterator[Folder]:
    """Yield the exports in a folder, at any depth; links are followed, and each folder is entered once."""
    place = os.path.realpath(folder.root) if folder.local else folder.root
    if place in entered or not folder.is_folder:
        return
    entered.add(place)
    try:
        names = folder.names()
    except OSError as error:
        _warn(folder, error)
        return
    if STATE in names:
        yield folder
        return
    for name in names:
        yield from _exports_in(Folder(f"{folder.url}/{name}", folder.options), entered)


def _warn(folder: Folder, error: Exception) -> None:
    log.debug("%s: %s", folder.url, error)
    problem = "cannot be read; an export in it may have removed images: delete the folder and export again"
    log.warning("%s: %s", folder.url, problem)


def _holds(folder: Folder, ids: pa.Array | pa.ChunkedArray) -> bool:
    for files in listed_files(folder):
        held = pc.replace_substring_regex(files, _ID, r"\1")
        if pc.any(pc.is_in(held, value_set=ids)).as_py():
            return True
    return False


def _command(source: Folder, folder: Folder) -> str:
    claimed = read_claim(folder)
    words = ["million-ird", "export", source.url, "--format", claimed["as"], "--config", claimed["config"]]
    if folder.url != f"{source.url}/{INSIDE}/{claimed['as']}/{claimed['config']}":
        words += ["--out", folder.url]
    return shlex.join(words)
