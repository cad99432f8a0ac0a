"""Which file a name from outside may mean: one inside its source's root, or none.

Strangers write names: the rows of tables and of data sets, the links in a folder, the members of archives. Every such
name becomes a file here and nowhere else. It is resolved, links included, and is either inside the root or refused as
`outside_source`; what a user names as a source is the root itself, and is taken as it is.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

from million_ird.errors import ReadError
from million_ird.runtime.file_names import as_name, as_text
from million_ird.runtime.storage import Folder

OUTSIDE = "outside_source"
"""The failure class of a name that means no file inside its source. Also the `version` of a listed one, so that it is
read as soon as its source allows it."""
_DECODINGS = 4
"""Times that a name is percent-decoded, in case something behind us decodes it as often."""
_ROOTED = re.compile(r"[/\\]|~|[A-Za-z]:[/\\]|(?:file|local):", re.IGNORECASE)
"""How a name begins that says itself where it is: absolute, of a home folder, of a drive, of this machine."""


def locate(root: Folder, name: str, *, follow_links: bool = False, listed: bool = False) -> str:
    r"""Return the path, relative to `root` and as in a listing, of the file that a name means; it need not exist.

    A name that exists as it is written is that file. Any other must not lead out of the root however it is read:
    percent-decoded, or with backslashes as slashes. An absolute path or address is accepted if it is inside the root.

    Args:
        root: The folder, on any file system, that the source may read.
        name: A path relative to it, an absolute path, or an address of the same file system.
        follow_links: Whether a link on the way may lead out; `..` and absolute names still may not.
        listed: Whether the name is from a listing, whose `\xe9` is a byte; spelled by anyone else, it is a byte only
            where no file has it in its name.

    Raises:
        ReadError: `outside_source`; `unreadable`: it is a folder, a pipe or a device, which might never end.
    """
    if not root.local:
        return _located_elsewhere(root, name)
    own = _located_on_disk(root, _spelled(root, _valid(name), listed), follow_links)
    path = root.path(own)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ReadError("unreadable", "is no file")
    return as_text(own)


def is_below(path: str, folder: str) -> bool:
    """Return whether a local path is `folder` or in it, however both are spelled: by links, or in another case."""
    real, base = os.path.realpath(path), os.path.realpath(folder)
    if f"{real}/".startswith(f"{base.rstrip('/')}/"):
        return True
    wanted = _identity(base)
    # Where case does not matter, or a folder is mounted twice, only the file's number tells that both are the same.
    return wanted is not None and any(_identity(parent) == wanted for parent in _with_parents(real))


def leads_out(root: Folder, name: str) -> bool:
    """Return whether a listed file or folder of `root` is a link to something outside."""
    return root.local and not is_below(root.path(name), root.root)


def holds(outer: Folder, inner: Folder) -> bool:
    """Return whether `inner` is `outer` or in it, on any file system and however both are spelled."""
    return is_below(inner.root, outer.root) if outer.local and inner.local else outer.holds(inner)


def refusal(reason: str) -> ReadError:
    """Return the error of a name that is not inside its source."""
    return ReadError(OUTSIDE, reason)


def climbs(name: str) -> bool:
    """Return whether a reading of a name leaves the folder that it is relative to."""
    return any(_climbs(reading) for reading in _readings(name))


def _spelled(root: Folder, name: str, listed: bool) -> str:
    """Return a name as the disk has it."""
    if "\\x" not in name:
        return name
    base = "" if os.path.isabs(name) else f"{root.root.rstrip('/')}/"
    readings = (as_name(name), name) if listed else (name, as_name(name))
    return next((reading for reading in readings if os.path.lexists(base + reading)), name)


def _located_on_disk(root: Folder, name: str, follow_links: bool) -> str:
    own = _without_root(root, name)
    if not os.path.lexists(root.path(own)):
        if climbs(own):
            raise refusal("names something outside its source")
        own = posixpath.normpath(own)  # the kernel finds nothing there, but a library may shorten `a/../b` to `b`
    path = root.path(own)
    if ".." in own.split("/"):
        # A library would shorten this by its letters; behind a link, the kernel does not.
        if not is_below(path, root.root):
            raise refusal("leads out of its source")
        return os.path.relpath(os.path.realpath(path), os.path.realpath(root.root))
    if not follow_links and not is_below(path, root.root):
        raise refusal("is a link that leads out of its source")
    return own


def _without_root(root: Folder, name: str) -> str:
    """Return a name relative to the root: an absolute path inside it loses the root, spelled as it is or resolved."""
    if not os.path.isabs(name):
        return name
    for base in (root.root, os.path.realpath(root.root)):
        prefix = f"{base.rstrip('/')}/"
        if name.startswith(prefix):
            return name.removeprefix(prefix).lstrip("/")
    if not is_below(name, root.root):
        raise refusal("is an absolute path outside its source")
    return os.path.relpath(os.path.realpath(name), os.path.realpath(root.root))


def _located_elsewhere(root: Folder, name: str) -> str:
    own = _valid(name)
    if "::" in own:
        raise refusal("is a chain of file systems")
    scheme, mark, _ = own.partition("://")
    if mark:
        protocols = root.fs.protocol if isinstance(root.fs.protocol, tuple) else (root.fs.protocol,)
        prefix = f"{root.root.rstrip('/')}/"
        known = scheme.lower() in protocols and not climbs(own.partition("://")[2])
        path = str(root.fs._strip_protocol(own)) if known else ""
        if not path.startswith(prefix):
            raise refusal("is an address outside its source")
        own = path.removeprefix(prefix)
    if climbs(own):
        raise refusal("names something outside its source")
    return own


def _valid(name: str) -> str:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise refusal("is no name of a file") from None
    if "\0" in name:
        raise refusal("holds a null character")
    return name


def _readings(name: str) -> Iterator[str]:
    """Yield what a name may be read as."""
    for _ in range(_DECODINGS):
        yield name
        yield name.replace("\\", "/")
        decoded = unquote(name)
        if decoded == name:
            return
        name = decoded


def _climbs(name: str) -> bool:
    if "\0" in name or "::" in name or "://" in name or _ROOTED.match(name):
        return True
    return posixpath.normpath(name).split("/", 1)[0] == ".."


def _with_parents(path: str) -> Iterator[str]:
    yield path
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells a file or folder apart from all others on this machine; None where it cannot be told."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None
