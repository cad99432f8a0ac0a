"""How much memory this machine has, and returning what is not needed."""

import contextlib
import ctypes
import gc
import os
import sys

import pyarrow as pa


def memory_of_this_machine() -> int:
    """Return the bytes that this machine, or the container that it is, may use."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Without a limit the file contains "max", or does not exist.
    with contextlib.suppress(OSError, ValueError), open("/sys/fs/cgroup/memory.max") as file:
        return min(physical, int(file.read()))
    return physical


def give_back_memory() -> None:
    """Return free memory to the system: allocators would keep it for the next large table."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
