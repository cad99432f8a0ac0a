"""Lists the files of a source by a path, a pattern or any fsspec URL: all of them, sorted by path, each once."""

import fnmatch
import functools
import logging
import os
import stat
from collections.abc import Iterator, Mapping

from million_ird.candidate import Failed
from million_ird.errors import SourceError, one_line
from million_ird.runtime.file_names import as_text
from million_ird.runtime.storage import FileEntry, Folder, local_entry, reason_of, remote_entry
from million_ird.sources.cells import UNREADABLE, version_of
from million_ird.sources.containment import OUTSIDE, is_below, leads_out
from million_ird.sources.other_builds import RECIPE, OtherBuilds, is_build

log = logging.getLogger(__name__)


def list_files(
    root: str,
    options: Mapping[str, object] | None = None,
    *,
    follow_links: bool = False,
    excluded: Folder | None = None,
) -> tuple[Folder, Iterator[FileEntry]]:
    """List a folder (all files below it except hidden ones), the matches of a pattern, or a single file.

    Each folder is entered only once; pipes, sockets and devices are left out. A link out of the folder, to a file or to
    a folder, is an entry of version `outside_source`, which `locate` refuses. What cannot be looked at (no permission,
    a name that is too long) does not end the listing: it is an entry whose version says why (`failure_in`).

    Args:
        root: A path, a pattern or a URL of any file system.
        options: Options of the file system.
        follow_links: Whether links out of the folder are followed, too.
        excluded: A folder to leave out, however it is spelled: the build's own output.

    Returns:
        The folder that the entries' uris are relative to, and the entries sorted by path.

    Raises:
        SourceError: nothing is there, or it cannot be read.
    """
    folder = Folder(root, options)
    try:
        if has_magic(folder.root) and not folder.exists():
            return _matching(folder, follow_links, excluded)
        info = folder.fs.info(folder.root)
        if info["type"] == "directory":
            if folder.local:
                return folder, _local_files(folder, follow_links, excluded)
            return folder, _remote_files(folder, excluded)
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


def _matching(pattern: Folder, follow_links: bool, excluded: Folder | None) -> tuple[Folder, Iterator[FileEntry]]:
    """Return what a pattern matches, relative to its longest part without wildcards; `**` matches any folders."""
    parts = pattern.root.split("/")
    fixed = next(number for number, part in enumerate(parts) if has_magic(part))
    depth = len(parts) - fixed
    folder = Folder(pattern.url.rsplit("/", depth)[0] or "/", pattern.options)
    matches, unseen = pattern.matches()
    prefix = folder.root.rstrip("/") + "/"
    # On a disk, a match of another type may be a link, which `_local_match` looks at.
    types = {"file", "link", "other"} if folder.local else {"file"}
    names = sorted(path.removeprefix(prefix) for path, info in matches.items() if info["type"] in types)
    builds = OtherBuilds(folder)
    visible = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    visible = [name for name in visible if not builds.contains(name)]
    if folder.local:
        found = filter(None, (_local_match(folder, name, follow_links, excluded) for name in visible))
        entries = sorted((*found, *_unseen(pattern, prefix, unseen)), key=lambda entry: entry.uri)
    else:
        own = _prefix_of(excluded, folder)
        chosen = [name for name in visible if own is None or not name.startswith(own)]
        entries = [remote_entry(name, matches[prefix + name]) for name in chosen]
    if not entries:
        reason = next((f": {reason_of(e)}" for _, e in unseen if not isinstance(e, FileNotFoundError)), "")
        raise SourceError(f"source {pattern.url}: matches no files{reason}")
    return folder, iter(entries)


def _local_match(folder: Folder, name: str, follow_links: bool, excluded: Folder | None) -> FileEntry | None:
    path = folder.path(name)
    if excluded is not None and excluded.local and is_below(path, excluded.root):
        return None
    try:
        status = _status_of(path)
    except OSError as error:
        return _unreadable(name, error)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        return None
    return _outside(name) if not follow_links and leads_out(folder, name) else local_entry(name, status)


def _status_of(path: str) -> os.stat_result:
    """Return the status of what a path leads to; that of the link itself, if it is broken."""
    try:
        return os.stat(path)
    except OSError:
        return os.lstat(path)


def _unseen(pattern: Folder, prefix: str, errors: list[tuple[str, OSError]]) -> Iterator[FileEntry]:
    """Yield an entry for each folder that a pattern would look into and cannot."""
    wanted = pattern.root.split("/")
    reach = wanted.index("**") if "**" in wanted else len(wanted)
    for path, error in errors:
        fits = all(map(fnmatch.fnmatchcase, path.split("/")[:reach], wanted))
        visible = not any(part.startswith(".") for part in path.removeprefix(prefix).split("/"))
        if path.startswith(prefix) and fits and visible and not isinstance(error, FileNotFoundError):
            yield _unreadable(path.removeprefix(prefix), error)


def _outside(name: str) -> FileEntry:
    return FileEntry(uri=as_text(name), size=0, version=OUTSIDE)


def _unreadable(name: str, error: OSError) -> FileEntry:
    return FileEntry(uri=as_text(name), size=0, version=version_of(Failed(UNREADABLE, reason_of(error))))


def _prefix_of(excluded: Folder | None, folder: Folder) -> str | None:
    """Return how names in `excluded` begin; None if it is not in this folder of another machine."""
    prefix = folder.root.rstrip("/") + "/"
    if excluded is None or excluded.local or not f"{excluded.root}/".startswith(prefix):
        return None
    return f"{excluded.root.removeprefix(prefix)}/"


def _remote_files(folder: Folder, excluded: Folder | None) -> Iterator[FileEntry]:
    prefix, own = folder.root.rstrip("/") + "/", _prefix_of(excluded, folder)
    files = folder.fs.find(folder.root, detail=True)
    recipes = (path.removeprefix(prefix) for path in files if path.endswith(f"/{RECIPE}"))
    builds = OtherBuilds(folder)
    others = [name.removesuffix(RECIPE) for name in recipes if name != RECIPE and builds.contains(name)]
    for path in sorted(files):
        name = path.removeprefix(prefix)
        if name.startswith(tuple(others)):
            continue
        if not any(part.startswith(".") for part in name.split("/")) and not (own and name.startswith(own)):
            yield remote_entry(name, files[path])


def _local_files(top: Folder, follow_links: bool, excluded: Folder | None) -> Iterator[FileEntry]:
    """Yield the files on a disk; links to folders are entered last, so that the order of a listing does not matter."""
    root, files = top.root, list[FileEntry]()
    output = excluded.root if excluded is not None and excluded.local else None
    entered = {_number_of(os.stat(output))} if output is not None and os.path.exists(output) else set()
    waiting, links = [""], list[str]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as listing:
                itself = _number_of(os.stat(os.path.join(root, folder)))
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            if not folder:
                raise SourceError(f"source {root}: {reason_of(error)}") from error
            _warn_once(f"{root}/{folder}: cannot be listed, and is a failed row: {reason_of(error)}")
            files.append(_unreadable(folder, error))
            continue
        if itself in entered:
            continue
        entered.add(itself)
        if folder and is_build(Folder(os.path.join(root, folder)), [entry.name for entry in entries]):
            continue
        for entry in entries:
            name = os.path.join(folder, entry.name)
            if entry.name.startswith("."):
                continue
            try:
                status = _status_of(entry.path)
                is_link = entry.is_symlink()
            except OSError as error:
                files.append(_unreadable(name, error))
                continue
            is_folder = stat.S_ISDIR(status.st_mode)
            # A broken link is listed as well, and fails when it is read.
            if not (is_folder or stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                continue
            if is_link and output is not None and is_below(entry.path, output):
                continue
            if is_link and not follow_links and leads_out(top, name):
                files.append(_outside(name))
            elif is_folder:
                (links if is_link else waiting).append(name)
            else:
                files.append(local_entry(name, status))
    yield from sorted(files, key=lambda entry: entry.uri)


def _number_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


@functools.cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)
