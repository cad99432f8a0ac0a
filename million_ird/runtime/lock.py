"""A lock on an output folder: one run at a time."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator

from million_ird.errors import OutputError
from million_ird.runtime.local_files import make_folder
from million_ird.runtime.storage import Folder, disk_errors

LOCK_TIMEOUT = 0.5
"""Seconds for which a lock may be busy: `is_locked` of another process holds it for an instant."""


def is_locked(folder: Folder, name: str) -> bool:
    """Return whether some process holds `folder` now; False where there are no locks."""
    if not folder.local or not folder.exists(name):
        return False
    try:
        with open(folder.path(name), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:  # removed a moment ago
        return False
    return False


@contextlib.contextmanager
def locked(folder: Folder, name: str) -> Iterator[None]:
    """Hold `folder` against other runs while the block runs; the kernel releases it when the process dies.

    Temporary files of killed runs are removed first. Object stores have no such lock: there, users must not start two
    runs at once.

    Raises:
        OutputError: another process holds it; the message names its pid and host.
        BuildError: the disk is full, or fails; the message names the file.
    """
    if not folder.local:
        yield
        return
    path = folder.path(name)
    descriptor = _open_locked(folder, path)
    try:
        with disk_errors(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        folder.sweep()
        yield
    finally:
        os.close(descriptor)


def _open_locked(folder: Folder, path: str) -> int:
    """Return a descriptor that holds the lock of the file that has this path now.

    `clean` removes the lock file that it holds. A process that waited for it then has a file without a name, which
    excludes no other process, so it tries again.
    """
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        with disk_errors(path):
            make_folder(os.path.dirname(path))
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:  # its folder was removed a moment ago
                if time.monotonic() > until:
                    raise
                continue
        try:
            if not _acquired(descriptor, until):
                owner = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
                raise OutputError(f"{folder.url}: held by {owner}; wait for it or stop it")
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    """Return whether an open file is the one that has this path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _acquired(descriptor: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
