"""Files that are complete or absent, also after a kill or a power cut, and folders that can be written to.

Every file of dynet that must not be lost is written by `replacing`: under a temporary name, flushed to the disk,
renamed, and its folder flushed too. The temporary name has the writer's machine and process id, so that `sweep` removes
what killed processes left and nothing else.
"""

import contextlib
import errno
import hashlib
import os
import re
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from dynet.errors import UsageError

_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)\.tmp(\.\w+)?", re.DOTALL)
_LONGEST_NAME = 200
"""Bytes of a file name that leave room for the temporary one in the 255 that most file systems allow."""
_NO_FOLDER_FLUSH = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}
)
"""Errors of file systems that cannot flush folders."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write; when the block succeeds, the file becomes `path`, safe from a power cut.

    Readers see the old file or the new one. If the block raises, the old one stays and nothing is left.

    Raises:
        OSError: The file cannot be flushed or renamed.
    """
    temporary = temporary_name(path)
    try:
        with naming(path):
            yield temporary
            flush_file(temporary)
            os.replace(temporary, path)
    except OSError as error:
        if str(error.filename) == str(temporary):  # nobody knows a file of this name
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an error of the disk that names no file, such as that of a flush, the name of the file it is about."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a text file by `replacing`."""
    with replacing(path) as temporary:
        # Texts may contain file names, and these may contain bytes that are not valid UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def temporary_name(path: Path, *, keep_suffix: bool = False) -> Path:
    """Return the name under which this process writes `path` until it is complete; its readers may need the suffix."""
    name, suffix = (path.stem, path.suffix) if keep_suffix else (path.name, "")
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return path.with_name(f".{name}.{_machine()}-{os.getpid()}.tmp{suffix}")


def flush_file(path: Path) -> None:
    """Return when the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk; do nothing where the file system cannot flush folders."""
    try:
        flush_file(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FLUSH:
            raise


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if they do not exist, and flush the folders that hold new ones."""
    new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(new):
        flush_folder(made.parent)


def is_temporary(path: Path) -> bool:
    """Return whether a file has the name of one that `replacing` has not completed."""
    return _TEMPORARY.fullmatch(path.name) is not None


def sweep(folder: Path) -> None:
    """Remove the temporary files in a folder whose writers are dead; those of other machines and living ones stay.

    A file with the id of this process is of an earlier one of that id: call it before this process writes there.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _TEMPORARY.fullmatch(path.name)
        if match and match[1] == _machine() and (int(match[2]) == os.getpid() or not _is_alive(int(match[2]))):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def check_output_folder(out: Path, name: str | None = None) -> None:
    """Check that a folder can be created or written to; write nothing, so that nothing is left of a refusal.

    Args:
        out: The folder.
        name: What messages call it; None is `--out` and its path.

    Raises:
        UsageError: It is a file or below one, or the rights are missing.
    """
    named = f"--out {out}" if name is None else name
    place = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not place.is_dir():
        is_out = name is None and place == out.absolute()
        raise UsageError(f"{named}: is not a folder" if is_out else f"{named}: {place} is a file, not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"{named}: cannot be written to: {os.strerror(errno.EACCES)}")


def create_output_folder(out: Path) -> None:
    """Create the folder of --out and check that it can be written to, before hours of work depend on it.

    Raises:
        UsageError: The folder cannot be created or written to.
    """
    try:
        make_folder(out)
        sweep(out)
        probe = temporary_name(out / "probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written to: {error.strerror}") from error


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
