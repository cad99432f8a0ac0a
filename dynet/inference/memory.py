"""How much memory there is for restoring a picture, how much that takes, and how large its tiles are therefore.

A picture is restored whole where that takes no more than a share of the memory there is: half of it on a CPU, which
other programs use too, four fifths on a GPU. Else it is restored in tiles, of DEFAULT_TILE or of what fits into that
share. `docs/restoring.md` has the measurements that the choice rests on.
"""

import ctypes
import gc
import math
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

import torch

from dynet.model.weights import Architecture
from dynet.runtime.resources import is_out_of_memory

DEFAULT_TILE = 640
"""Side in pixels: at full width less than 1 GB beside the weights."""
SMALLEST_TILE = 64
"""Side in pixels of the smallest tile that is chosen, or come to by halving; `--tile` may be smaller."""

_SHARES = {"cuda": 0.8}
_SHARE_ELSEWHERE = 0.5
_BYTES_PER_CHANNEL = 36  # a pixel, and of the base width: 34 measured in float32, fewer in bfloat16
_BYTES_BESIDE = 150 * 2**20  # bands, and small tensors that stay with the process
_LARGEST_KEPT = 2**25  # the most that mallopt(3) allows
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NO_MEMORY_FOR_ONEDNN = ("could not create a primitive", "could not create a memory object", "std::bad_alloc")
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),  # version 2
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
)


def choose_tile(height: int, width: int, architecture: Architecture, device: torch.device) -> int | None:
    """The side of the tiles for a picture of this size on this device now; None where it can be restored whole."""
    usable = available_bytes(device) * _SHARES.get(device.type, _SHARE_ELSEWHERE) - _BYTES_BESIDE
    pixels = max(usable, 0) / bytes_per_pixel(architecture)
    if height * width <= pixels:
        return None
    side = min(DEFAULT_TILE, math.isqrt(int(pixels)) // 8 * 8)
    return max(side, SMALLEST_TILE)


def smaller_tile(height: int, width: int, tile: int | None) -> int | None:
    """Half the tile that memory did not suffice for, None standing for the whole picture; None if it is small already.

    Half of a whole picture is half of its longer side, and at most DEFAULT_TILE.
    """
    halved = min(max(height, width) // 2, DEFAULT_TILE) if tile is None else min(tile, max(height, width)) // 2
    return halved if halved >= SMALLEST_TILE else None


def bytes_per_pixel(architecture: Architecture) -> int:
    """What restoring in bands takes for each pixel of the picture or tile, in float32, with some to spare."""
    return _BYTES_PER_CHANNEL * architecture.dim + 4 * architecture.prompt_channels[0]


def available_bytes(device: torch.device) -> int:
    """Memory that can be had on a device now: what is free, or freed at once when it is asked for."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(0, min(_limits_of_host()))


def _limits_of_host() -> Iterator[int]:
    """What the machine has, what the control groups of this process leave it, what its own limit leaves it."""
    try:
        yield _kibibytes(_PROC / "meminfo", "MemAvailable:")
    except (OSError, ValueError):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # no way to tell what is in use
    try:
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in ("", "memory"):
                yield from _left_of_cgroups(_CGROUPS / kinds, path)
    except OSError:
        pass  # control groups are Linux's
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and (_PROC / "self" / "status").exists():
        yield limit - _kibibytes(_PROC / "self" / "status", "VmSize:")


def _left_of_cgroups(mount: Path, path: str) -> Iterator[int]:
    """What the group and those around it leave; in a container the path may be that outside of it."""
    group = mount / path.lstrip("/")
    for folder in [group, *(parent for parent in group.parents if parent == mount or mount in parent.parents)]:
        for limit, used, cache in _CGROUP_FILES:
            try:
                most = int((folder / limit).read_text())
                now = int((folder / used).read_text())
                # The cache of files is given up when memory is asked for.
                yield most - now + _first_number(folder / "memory.stat", cache)
            except (OSError, ValueError):
                continue  # not this version, or no limit ("max")


def _kibibytes(file: Path, key: str) -> int:
    return _first_number(file, key) * 2**10


def _first_number(file: Path, key: str) -> int:
    """The number after a word at the beginning of a line."""
    for line in file.read_text().splitlines():
        words = line.split()
        if words and words[0] == key:
            return int(words[1])
    raise ValueError(f"{file} has no line of {key}")


def ran_out_of_memory(error: BaseException) -> bool:
    """True for what Python, numpy, torch and oneDNN raise when there is no memory left."""
    if isinstance(error, RuntimeError):
        return is_out_of_memory(error) or str(error) in _NO_MEMORY_FOR_ONEDNN
    return isinstance(error, MemoryError)


def reuse_small_blocks() -> bool:
    """Have this process keep what it frees in blocks of up to 32 MB, and give larger ones back at once.

    Bands are small and made anew for each block of the network: giving them back would have the system clear their
    pages each time. Features of a whole tile are large: kept, they would lie between each other and be of no use to
    larger ones. For the whole process, so for programs to call. True where it took effect: only with glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def give_back_memory(device: torch.device) -> None:
    """Return to the device, or the system, what a call that failed has left allocated."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    elif platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
