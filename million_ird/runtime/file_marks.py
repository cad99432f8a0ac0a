"""Marks of files: equal ones mean the same bytes, so that a file that was read need not be read again.

A mark is only given where a change could not go unnoticed. On a disk it has the size, the inode, and the times of the
last change of the content and of the inode, which no program can set back; in an object store, the size and the ETag,
which names the content. Of a parquet file, the footer is a part of it, too.
"""

import hashlib
import os
import time

from million_ird.runtime.storage import Folder

SETTLED_SECONDS = 2.0
"""A file that was changed so shortly before it is read may be changed again within the resolution of its time."""
_FOOTER_END = 8
"""Bytes at the end of a parquet file: the length of the footer in 4, and `PAR1`."""


def mark_of(folder: Folder, name: str) -> str:
    """Return the mark of a file; empty where it cannot be told whether the file has changed, or it cannot be read.

    Args:
        folder: A folder.
        name: The name of a file in it, as it was listed.
    """
    try:
        return _mark_of(folder, name)
    except OSError:
        return ""
    except Exception:
        if folder.local:
            raise
        return ""  # clients of object stores and web servers raise error types of their own


def _mark_of(folder: Folder, name: str) -> str:
    stamp = _stamp_on_disk(folder, name) if folder.local else _stamp_elsewhere(folder, name)
    if not stamp or not name.lower().endswith(".parquet"):
        return stamp
    return f"{stamp}, footer {_footer_digest(folder, name)}"


def _stamp_on_disk(folder: Folder, name: str) -> str:
    status = os.stat(folder.real_path(name))
    # A change after this moment gets another time, unless the last one was within the clock's resolution.
    if time.time() - max(status.st_ctime, status.st_mtime) < SETTLED_SECONDS:
        return ""
    return f"{status.st_size} bytes, inode {status.st_ino}, {status.st_mtime_ns}, {status.st_ctime_ns}"


def _stamp_elsewhere(folder: Folder, name: str) -> str:
    folder.fs.invalidate_cache()
    info = folder.fs.info(folder.real_path(name))
    tag = next((str(info[key]) for key in ("ETag", "etag") if info.get(key)), "")
    if not tag or tag.startswith("W/"):  # a weak one may stay the same when bytes change
        return ""
    return f"{info.get('size')} bytes, {tag}"


def _footer_digest(folder: Folder, name: str) -> str:
    with folder.open(name) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _FOOTER_END))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - _FOOTER_END - length))
        return hashlib.blake2b(file.read(), digest_size=16).hexdigest()
