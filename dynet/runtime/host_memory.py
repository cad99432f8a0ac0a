"""Memory of the process on a CPU: what a network has freed stays with the process, for its next features.

glibc gives large blocks back to the system at once and asks for them anew, and the system then clears each page when it
is first touched. For a network whose features are tens of megabytes this takes longer than its arithmetic.
"""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt(3)
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have this process reuse what it frees; its resident memory then stays at its peak.

    For the whole process, so for programs to call, not libraries. True where it took effect: only with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
