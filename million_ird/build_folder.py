"""The output folder of a build: whether it is one, and the recipe and the sources that it was built from."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from million_ird.config.loading import parse_text
from million_ird.config.recipe import HEADER_LINE, Recipe
from million_ird.config.source_spec import SourceSpec
from million_ird.errors import LedgerError, OutputError
from million_ird.runtime.storage import Folder
from million_ird.strict_json import to_json

if TYPE_CHECKING:  # they load what reads sources, which most commands on a finished build do without
    from million_ird.sources.registry import SourceContext
    from million_ird.sources.source import Source

RECIPE = "recipe.yaml"
WORK = ".work"
SOURCES = f"{WORK}/sources.json"
LOCK = f"{WORK}/lock"
STAGING = f"{WORK}/write"
"""Shards that a run has not put in place yet."""
INDEX = f"{WORK}/scan.json"
"""The list of the scan's rows."""
DECIDED = f"{WORK}/decided.json"
"""Holds which scan, rules and `uri_parameters` the ledger was decided by, and the versions of its files."""
_PATTERN = ("[", "]", "*", "?", "::")
"""What `datasets.load_dataset` does not take literally in a dataset's path: wildcards, and a chain of file systems.
A card cannot escape them, since its own paths are relative."""


def check_output(out: str) -> Folder:
    """Open the output folder: new, empty, or made by an earlier build.

    Raises:
        OutputError: it is a file, contains something else, or `load_dataset` would take its path for a pattern.
    """
    folder = Folder(out)
    marks = [mark for mark in _PATTERN if mark in folder.root]
    if marks:
        raise OutputError(f"{out}: has {marks[0]!r} in its path, a pattern for load_dataset; choose another folder")
    if folder.exists() and not folder.is_folder:
        raise OutputError(f"{out}: is a file, not a folder")
    try:
        names = folder.names()
        ours = folder.exists(LOCK) or (RECIPE in names and _is_recipe(folder)) or _is_killed_start(folder, names)
    except OSError as error:
        raise OutputError(f"{out}: cannot be read: {error.strerror or error}") from error
    if names and not ours:
        raise OutputError(f"{out}: contains something else ({names[0]}, …); choose a new or empty folder")
    return folder


def open_build(out: str) -> tuple[Folder, Recipe]:
    """Open the output folder of an earlier build, with its recipe.

    Raises:
        OutputError: there is no build in it.
    """
    folder = Folder(out)
    if not folder.exists(RECIPE) or not _is_recipe(folder):
        raise OutputError(f"{out}: no build is here (it has no {RECIPE} of million-ird)")
    return folder, recipe_of(folder)


def recipe_of(folder: Folder) -> Recipe:
    """Read the recipe of the last build."""
    return parse_text(folder.read(RECIPE), origin=f"{folder.url}/{RECIPE}")


def save_recipe(folder: Folder, recipe: Recipe) -> None:
    """Write the recipe that the folder is built by, unless it is written already."""
    content = recipe.dump().encode()
    if not folder.exists(RECIPE) or folder.read(RECIPE) != content:
        folder.write(RECIPE, content)


def save_sources(folder: Folder, specs: Sequence[SourceSpec]) -> None:
    """Save the sources of the build, for the stages that run without `--sources`."""
    from million_ird.sources.registry import absolute

    saved = [absolute(spec).model_dump(exclude_unset=True) for spec in specs]
    write_json_if_changed(folder, SOURCES, saved)


def write_json_if_changed(folder: Folder, name: str, value: object) -> None:
    """Write JSON unless the file has it, so that a build in which nothing moved leaves its files as they are."""
    if folder.read_json(name) != json.loads(to_json(value)):
        folder.write_json(name, value)


def load_sources(folder: Folder, terms: "SourceContext") -> "dict[str, Source]":
    """Open the sources that the folder was built from, by label.

    Raises:
        LedgerError: they are not known any more.
        SourceError: one is gone.
    """
    from million_ird.sources.registry import open_sources

    specs = folder.read_json(SOURCES)
    if specs is None:
        raise LedgerError(f"{folder.url}: its sources are not known any more; run build with --sources")
    return open_sources([SourceSpec.model_validate(spec) for spec in specs], terms)


def _is_killed_start(folder: Folder, names: Sequence[str]) -> bool:
    """Return whether the folder holds what a build leaves that is killed at its start.

    The lock is the first file of a build and says whose folder it is; before it there is only its empty folder. An
    object store has neither lock nor folders: there the recipe is the first file.
    """
    return list(names) == [WORK] and folder.local and not folder.names(WORK)


def _is_recipe(folder: Folder) -> bool:
    return folder.read(RECIPE).startswith(HEADER_LINE.encode())
