"""Checks of paths and names before numba, OpenCV and SciPy are loaded, which takes seconds.

The command line calls them first, so that a wrong path is reported at once. The functions that do the work check
again, since other callers have not checked.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from million_ird.arguments import as_path
from million_ird.build_folder import check_output, open_build
from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import SourceSpec
from million_ird.errors import OutputError, SourceError, UsageError
from million_ird.reference_sets import ReferenceSet
from million_ird.runtime.storage import Folder
from million_ird.sources.registry import SourceContext, image_path, open_sources

_REMOTE = ("://", "dataset:", "site:")


def check_new_build(sources: Sequence[str], out: str, recipe: Recipe, benchmarks: Sequence[ReferenceSet] = ()) -> None:
    """Check the output folder, and sources and evaluation sets on this machine; the build asks for those elsewhere.

    Raises:
        UsageError: One of them cannot be used.
    """
    folder = check_output(out)
    if folder.local:
        check_writable(folder.root, out)
    if not (sources or recipe.sources):
        raise SourceError("no sources: name at least one with --sources")
    check_images(sources, recipe, folder)
    for benchmark in benchmarks:
        path = image_path(benchmark.path, by_name=not benchmark.path.endswith(".parquet"))
        if "://" not in path and not Path(path).exists():
            raise UsageError(f"--exclude-benchmark {benchmark.name}={benchmark.path}: no such file or folder")


def check_images(sources: Sequence[str], recipe: Recipe | None = None, out: Folder | None = None) -> None:
    """Check that sources on this machine exist and hold files.

    Raises:
        SourceError: One does not.
    """
    for source in sources:
        as_path("source", source)
    here = [SourceSpec.named(source) for source in sources if not any(mark in source for mark in _REMOTE)]
    if here:
        open_sources(here, SourceContext(recipe=recipe or Recipe(), out=out))


def check_image_paths(paths: Sequence[str]) -> None:
    """Check that paths name images, not sources of another kind; on this machine they must exist.

    Raises:
        SourceError: One does not.
    """
    named = [image_path(as_path("source", path)) for path in paths]
    here = [SourceSpec(uri=path, kind="files") for path in named if "://" not in path]
    if here:
        open_sources(here, SourceContext(recipe=Recipe()))


def check_build(out: str) -> None:
    """Check that a build is in a folder.

    Raises:
        OutputError: There is none.
    """
    open_build(out)


def check_local_build(out: str) -> None:
    """Check that a build is in a folder on a local disk, from which it can be published.

    Raises:
        UsageError: The folder is in an object store or in memory.
        OutputError: There is no build.
    """
    if not Folder(out).local:
        raise UsageError(f"{out}: only a folder on a local disk can be published; copy it to one first")
    check_build(out)


def check_dataset(out: str) -> None:
    """Check that a folder holds something, such as a dataset that was downloaded without its recipe.

    Raises:
        OutputError: It does not.
    """
    folder = Folder(out)
    if not folder.is_folder:
        raise OutputError(f"{out}: {'is a file, not a folder' if folder.exists() else 'no such folder'}")
    if not folder.names():
        raise OutputError(f"{out}: the folder is empty")


def check_files(files: Sequence[str]) -> None:
    """Check that at least one of several files exists; the others are reported when it is their turn.

    Raises:
        UsageError: None of them does, or one is a source of another kind.
    """
    paths = [image_path(file, by_name=False) for file in files]
    if not any("://" in path or Path(path).exists() for path in paths):
        raise UsageError(f"{files[0]}: no such file" + (f", nor any of {len(files) - 1} others" if files[1:] else ""))


def check_models(models: str | None) -> None:
    """Check that the folder of `--models` exists.

    Raises:
        UsageError: It does not.
    """
    if models is not None and not Folder(models).is_folder:
        raise UsageError(f"--models {models}: no such folder")


def check_new_folder(out: str, own: Collection[str]) -> None:
    """Check that a folder can be written to, and holds nothing but files that are written there.

    Args:
        out: The folder, which need not exist.
        own: The names of those files.

    Raises:
        OutputError: It cannot, or holds others.
    """
    folder = Folder(out)
    if folder.local:
        check_writable(folder.root, out)
    others = sorted({*folder.names()} - {*own})
    if others:
        raise OutputError(f"{out}: contains other files ({others[0]}, …); choose a new or empty folder")


def check_new_file(out: str, suffix: str) -> None:
    """Check that a file of this name can be written.

    Raises:
        UsageError: It has another suffix, or its folder cannot be written to.
    """
    if not out.endswith(suffix):
        raise UsageError(f"--out {out}: must end in {suffix}")
    if "://" not in out:
        check_writable(str(Path(out).absolute().parent), out)


def check_writable(folder: str, named: str) -> None:
    """Check that a folder on this machine can be created or written to; nothing is written.

    Raises:
        OutputError: It is below a file, or the rights are missing.
    """
    place = next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
    if not place.is_dir():
        raise OutputError(f"{named}: {place} is a file, not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"{named}: cannot be written to: Permission denied")
