"""A lock on an output folder: one run at a time."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator

from million_ird.errors import OutputError
from million_ird.runtime.storage import Folder, disk_errors

LOCK_TIMEOUT = 0.5
"""Seconds for which a lock may be busy: `is_locked` of another process holds it for an instant."""


def is_locked(folder: Folder, name: str) -> bool:
    """Return whether some process holds `folder` now; False where there are no locks."""
    if not folder.local or not folder.exists(name):
        return False
    with open(folder.path(name), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def locked(folder: Folder, name: str) -> Iterator[None]:
    """Hold `folder` against other runs while the block runs; the kernel releases it when the process dies.

    Temporary files of killed runs are removed first. Object stores have no such lock: there, users must not start two
    runs at once.

    Raises:
        OutputError: another process holds it; the message names its pid and host.
    """
    if not folder.local:
        yield
        return
    path = folder.path(name)
    with disk_errors(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _acquired(descriptor):
            owner = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            raise OutputError(f"{folder.url}: held by {owner}; wait for it or stop it")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
        folder.sweep()
        yield
    finally:
        os.close(descriptor)


def _acquired(descriptor: int) -> bool:
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
