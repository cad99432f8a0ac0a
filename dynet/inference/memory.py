"""The memory that is available for restoring an image, the memory that it takes, and the tile size that follows.

An image is restored whole if that takes at most a fraction of the available memory: half of it on a CPU, which other
programs use too, but no more than CPU_BYTES, since larger tiles are no faster there; four fifths on a GPU. Otherwise it
is restored in tiles, of DEFAULT_TILE or of what fits. `docs/restoring.md` has the measurements behind this choice.
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

from dynet.model.network import STRIDE
from dynet.model.weights import Architecture
from dynet.runtime.memory import is_out_of_memory

DEFAULT_TILE = 640
"""Side in pixels; at full width it takes less than 1 GB besides the weights."""
CPU_BYTES = 1_400_000_000
"""The most memory that restoring on a CPU takes at once, so that the process with its images needs less than 2 GB."""
SMALLEST_TILE = 64
"""Side in pixels of the smallest tile that is chosen automatically; `--tile` may be smaller."""

_USABLE_FRACTIONS = {"cuda": 0.8}
_DEFAULT_USABLE_FRACTION = 0.5
_BYTES_PER_CHANNEL = 36  # for each pixel and channel of the base width: 34 measured in float32, fewer in bfloat16
_FOREIGN_BYTES = 16_000  # a DyNet of full width takes 9,000 when it does not run in bands
_FIXED_BYTES = 150 * 2**20  # bands, and small tensors that the allocator keeps
_MAX_KEPT_BLOCK = 2**25  # the largest value that mallopt(3) allows
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_ONEDNN_OUT_OF_MEMORY = ("could not create a primitive", "could not create a memory object", "std::bad_alloc")
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),  # version 2
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
)


def choose_tile(height: int, width: int, architecture: Architecture | None, device: torch.device) -> int | None:
    """Return the tile side for an image of this size on this device now; None if it can be restored whole."""
    usable = available_bytes(device) * _USABLE_FRACTIONS.get(device.type, _DEFAULT_USABLE_FRACTION)
    if device.type == "cpu":
        usable = min(usable, CPU_BYTES)
    pixels = max(usable - _FIXED_BYTES, 0) / bytes_per_pixel(architecture)
    if max(height, STRIDE) * max(width, STRIDE) <= pixels:  # the network pads one row of pixels to eight
        return None
    side = min(DEFAULT_TILE, math.isqrt(int(pixels)) // 8 * 8)
    return max(side, SMALLEST_TILE)


def halve_tile(height: int, width: int, tile: int | None) -> int | None:
    """Return half the tile for which the memory was too small.

    Args:
        height: Of the image in pixels.
        width: Of the image in pixels.
        tile: The side that failed; None for the whole image, which gives half its longer side, at most DEFAULT_TILE.

    Returns:
        The new side, or None if that would be smaller than SMALLEST_TILE.
    """
    halved = min(max(height, width) // 2, DEFAULT_TILE) if tile is None else min(tile, max(height, width)) // 2
    return halved if halved >= SMALLEST_TILE else None


def bytes_per_pixel(architecture: Architecture | None) -> int:
    """Return the memory for restoring in bands, for each pixel of the image or tile, in float32, with a margin.

    For None, a network of another kind, whose need is not known, it is that of a large one.
    """
    if architecture is None:
        return _FOREIGN_BYTES
    return _BYTES_PER_CHANNEL * architecture.dim + 4 * architecture.prompt_channels[0]


def available_bytes(device: torch.device) -> int:
    """Return the memory that can be allocated on a device now: free memory, and caches that are freed on demand."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(0, min(_host_limits()))


def _host_limits() -> Iterator[int]:
    """Yield what is left of the machine's memory, of each cgroup limit, and of the process's own limit."""
    try:
        yield _kibibytes(_PROC / "meminfo", "MemAvailable:")
    except (OSError, ValueError):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # the memory in use is unknown
    try:
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in ("", "memory"):
                yield from _left_in_cgroups(_CGROUPS / kinds, path)
    except OSError:
        pass  # only Linux has cgroups
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and (_PROC / "self" / "status").exists():
        yield limit - _kibibytes(_PROC / "self" / "status", "VmSize:")


def _left_in_cgroups(mount: Path, path: str) -> Iterator[int]:
    """Yield what is left in a cgroup and its parents; in a container `path` may be the path outside of it."""
    group = mount / path.lstrip("/")
    for folder in [group, *(parent for parent in group.parents if parent == mount or mount in parent.parents)]:
        for limit, used, cache in _CGROUP_FILES:
            try:
                limit_bytes = int((folder / limit).read_text())
                used_bytes = int((folder / used).read_text())
                # The file cache is freed when memory is needed.
                yield limit_bytes - used_bytes + _first_number(folder / "memory.stat", cache)
            except (OSError, ValueError):
                continue  # another cgroup version, or no limit ("max")


def _kibibytes(file: Path, key: str) -> int:
    return _first_number(file, key) * 2**10


def _first_number(file: Path, key: str) -> int:
    """Return the number after the key at the beginning of a line."""
    for line in file.read_text().splitlines():
        words = line.split()
        if words and words[0] == key:
            return int(words[1])
    raise ValueError(f"{file} has no line that begins with {key}")


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, numpy, torch or oneDNN means that memory ran out."""
    if isinstance(error, RuntimeError):
        return is_out_of_memory(error) or str(error) in _ONEDNN_OUT_OF_MEMORY
    return isinstance(error, MemoryError)


def keep_small_freed_blocks() -> bool:
    """Make the allocator keep freed blocks of up to 32 MB, and return larger ones to the system at once.

    Bands are small and allocated again for each block of the network; if they were returned, the system would have to
    clear their pages each time. Features of a whole tile are large; if they were kept, they would fragment the heap and
    be too small for larger ones. This affects the whole process, so only programs should call it.

    Returns:
        Whether it took effect; only glibc supports it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _MAX_KEPT_BLOCK)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def release_memory(device: torch.device) -> None:
    """Return the unused memory that a failed call left allocated to the device or the system."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    elif platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
