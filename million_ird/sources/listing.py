"""Lists the files of a source by a path, a pattern or any fsspec URL: all of them, sorted by path, each once."""

import functools
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from million_ird.errors import SourceError, one_line
from million_ird.runtime.storage import FileEntry, Folder, local_entry, reason_of, remote_entry

log = logging.getLogger(__name__)


def list_files(root: str, options: Mapping[str, object] | None = None) -> tuple[Folder, Iterator[FileEntry]]:
    """List a folder (all files below it except hidden ones), the matches of a pattern, or a single file.

    Links are followed, but each folder is entered only once; pipes, sockets and devices are left out.

    Returns:
        The folder that the entries' uris are relative to, and the entries sorted by path.

    Raises:
        SourceError: nothing is there, or it cannot be read.
    """
    folder = Folder(root, options)
    try:
        if has_magic(folder.root) and not folder.exists():
            return _matching(folder)
        info = folder.fs.info(folder.root)
        if info["type"] == "directory":
            return folder, _local_files(folder.root) if folder.local else _remote_files(folder)
        if info["type"] != "file":
            raise SourceError(f"source {root}: is neither a file nor a folder")
        name = folder.root.rsplit("/", 1)[-1]
        parent = Folder(folder.url.rsplit("/", 1)[0] or "/", options)
        with parent.open(name) as file:
            file.read(1)
        entry = local_entry(name, os.stat(folder.root)) if folder.local else remote_entry(name, info)
        return parent, iter([entry])
    except OSError as error:
        raise SourceError(f"source {root}: {reason_of(error)}") from error
    except Exception as error:
        if folder.local or isinstance(error, SourceError):
            raise
        # Clients of object stores raise error types of their own: no credentials, no such endpoint, …
        raise SourceError(f"source {root}: {one_line(error)}") from error


def has_magic(path: str) -> bool:
    """Return whether a path is a pattern: it contains `*`, `?` or `[`."""
    return any(mark in path for mark in "*?[")


def _matching(pattern: Folder) -> tuple[Folder, Iterator[FileEntry]]:
    """Return what a pattern matches, relative to its longest part without wildcards; `**` matches any folders."""
    parts = pattern.root.split("/")
    fixed = next(number for number, part in enumerate(parts) if has_magic(part))
    depth = len(parts) - fixed
    folder = Folder(pattern.url.rsplit("/", depth)[0] or "/", pattern.options)
    matches = pattern.fs.glob(pattern.root, detail=True)
    prefix = folder.root.rstrip("/") + "/"
    names = sorted(path for path, info in matches.items() if info["type"] == "file")
    visible = [n for n in names if not any(part.startswith(".") for part in n.removeprefix(prefix).split("/"))]
    if not visible:
        raise SourceError(f"source {pattern.url}: matches no files")
    entry = _local_entry_of if folder.local else remote_entry
    return folder, (entry(name.removeprefix(prefix), matches[name]) for name in visible)


def _local_entry_of(name: str, info: dict[str, Any]) -> FileEntry:
    return local_entry(name, os.stat(info["name"]))


def _remote_files(folder: Folder) -> Iterator[FileEntry]:
    prefix = folder.root.rstrip("/") + "/"
    files = folder.fs.find(folder.root, detail=True)
    for path in sorted(files):
        name = path.removeprefix(prefix)
        if not any(part.startswith(".") for part in name.split("/")):
            yield remote_entry(name, files[path])


def _local_files(root: str) -> Iterator[FileEntry]:
    """Yield the files on a disk; links to folders are entered last, so that the order of a listing does not matter."""
    files: list[FileEntry] = []
    entered: set[tuple[int, int]] = set()
    waiting, links = [""], list[str]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as listing:
                itself = os.stat(os.path.join(root, folder))
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            if not folder:
                raise SourceError(f"source {root}: {reason_of(error)}") from error
            _warn_once(f"{root}/{folder}: cannot be listed and is left out: {reason_of(error)}")
            continue
        if (itself.st_dev, itself.st_ino) in entered:
            continue
        entered.add((itself.st_dev, itself.st_ino))
        for entry in entries:
            name = os.path.join(folder, entry.name)
            if entry.name.startswith("."):
                continue
            if os.path.isdir(os.path.join(root, name)):
                (links if entry.is_symlink() else waiting).append(name)
            elif _is_file(entry):
                files.append(local_entry(name, _stat(entry)))
    yield from sorted(files, key=lambda entry: entry.uri)


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry may be an image. A broken link is listed as well, and fails when it is read."""
    mode = _stat(entry).st_mode
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _stat(entry: "os.DirEntry[str]") -> os.stat_result:
    try:
        return entry.stat()
    except OSError:
        return entry.stat(follow_symlinks=False)


@functools.cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)
