"""Files on a disk that are complete or absent, also after a kill or a power cut.

Every file of a build is written by `renamed_when_done`: under a temporary name, flushed to the disk, renamed, and its
folder flushed too. The temporary name has the writer's machine and process id, so that files that dead
processes left are distinguished from those of living ones.
"""

import contextlib
import errno
import hashlib
import os
import re
import socket
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

_TEMPORARY = re.compile(r"\.tmp-(?:([0-9a-f]{8})-(\d+)-)?[0-9a-f]{32}")
"""Names of unfinished files; those of earlier versions have neither machine nor process id."""
_READ = 1 << 26
"""Bytes that are asked for at once."""
_NO_FOLDER_FLUSH = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}
)
"""Errors of file systems that cannot flush folders."""


@contextlib.contextmanager
def renamed_when_done(path: str) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes `path` when the block succeeds, safe from a power cut.

    Readers see the old file or the new one. If the block raises, the old one stays and nothing is left.

    Raises:
        OSError: the file cannot be written, flushed or renamed.
    """
    folder = os.path.dirname(path)
    make_folder(folder)
    temporary = os.path.join(folder, f".tmp-{_machine()}-{os.getpid()}-{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    flush_folder(folder)


def read_at_most(file: IO[bytes], at_most: int) -> bytes:
    """Return the next bytes of a file, `at_most` of them.

    Python allocates all that a read asks for at once, which may be more memory than the machine has.
    """
    parts: list[bytes] = []
    while at_most > 0 and (part := file.read(min(at_most, _READ))):
        parts.append(part)
        at_most -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def make_folder(folder: str) -> None:
    """Create a folder and its parents if they do not exist, and flush the folders that hold new ones."""
    new = []
    for parent in (Path(folder), *Path(folder).parents):
        if parent.exists():
            break
        new.append(parent)
    os.makedirs(folder, exist_ok=True)
    for made in reversed(new):
        flush_folder(str(made.parent))


def flush_folder(folder: str) -> None:
    """Return when the names in a folder are on the disk; do nothing where the file system cannot flush folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FLUSH:
            raise


def is_temporary(name: str) -> bool:
    """Return whether a file has the name of one that `renamed_when_done` has not completed."""
    return _TEMPORARY.fullmatch(name) is not None


def is_leftover(name: str) -> bool:
    """Return whether it is a temporary file whose writer is dead: a process of this machine, or an earlier version.

    A file with the id of this process counts as that of an earlier one: ask before this process writes.
    """
    match = _TEMPORARY.fullmatch(name)
    if match is None or match[1] is None:
        return match is not None
    return match[1] == _machine() and (int(match[2]) == os.getpid() or not _is_alive(int(match[2])))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # of another user; or a number that no process can have, in a name that we did not give
    return True


@cache
def _machine() -> str:
    """Return 8 hex digits for the set of processes among which an id means one process: a machine, or a container."""
    processes = ""
    with contextlib.suppress(OSError):
        processes = os.readlink("/proc/self/ns/pid")
    return hashlib.blake2b(f"{socket.gethostname()} {processes}".encode(), digest_size=4).hexdigest()
