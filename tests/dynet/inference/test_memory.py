"""The tile size that follows from the available memory."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dynet import DyNet
from dynet.inference import memory
from dynet.inference.memory import (
    DEFAULT_TILE,
    SMALLEST_TILE,
    available_bytes,
    bytes_per_pixel,
    choose_tile,
    halve_tile,
    ran_out_of_memory,
)

CPU = torch.device("cpu")
FULL = DyNet(dim=4, heads=(1, 1, 2, 2), prompt_channels=(4, 4, 8)).architecture
GB = 2**30


@pytest.mark.parametrize(
    ("pixels_that_fit", "size", "tile"),
    [
        (1_000_000, (1000, 1000), None),
        (999_999, (1000, 1000), DEFAULT_TILE),
        (300_000, (1000, 1000), 544),  # the largest square that fits, as a multiple of 8
        (300_000, (200, 1500), None),
        (300_000, (200, 1501), 544),
        (300_000, (1, 37_500), None),
        (300_000, (1, 37_501), 544),  # a side below 8 pixels is padded to 8
        (300_000, (37_501, 3), 544),
        (10, (1000, 1000), SMALLEST_TILE),
        (-5, (1, 1), SMALLEST_TILE),
    ],
)
def test_an_image_is_restored_whole_if_it_fits_into_its_part_of_the_memory_and_else_in_tiles_that_fit(
    pixels_that_fit: int, size: tuple[int, int], tile: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    available = 2 * (pixels_that_fit * bytes_per_pixel(FULL) + memory._FIXED_BYTES)
    monkeypatch.setattr(memory, "available_bytes", lambda device: available)
    assert choose_tile(*size, FULL, CPU) == tile


def test_a_processor_with_much_memory_takes_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 1000 * GB)
    fits = (memory.CPU_BYTES - memory._FIXED_BYTES) // bytes_per_pixel(FULL)
    assert choose_tile(8, fits // 8, FULL, CPU) is None
    assert choose_tile(8, fits // 8 + 1, FULL, CPU) == DEFAULT_TILE
    assert choose_tile(8, fits // 8 + 1, FULL, torch.device("cuda")) is None


@pytest.mark.parametrize(
    ("size", "tile", "smaller"),
    [
        ((3000, 4000), None, DEFAULT_TILE),
        ((500, 400), None, 250),
        ((3000, 4000), 640, 320),
        ((500, 400), 4096, 250),
        ((500, 400), 127, None),
        ((100, 90), None, None),
    ],
)
def test_tiles_are_halved_down_to_the_smallest(size: tuple[int, int], tile: int | None, smaller: int | None) -> None:
    assert halve_tile(*size, tile) == smaller


def _machine(root: Path, monkeypatch: pytest.MonkeyPatch, available: int, cgroup: str) -> Path:
    """Make a /proc and a /sys/fs/cgroup like those of Linux, and return the latter."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "meminfo").write_text(f"MemTotal:       99999999 kB\nMemAvailable:   {available // 1024} kB\n")
    (root / "proc" / "self" / "cgroup").write_text(cgroup)
    monkeypatch.setattr(memory, "_PROC", root / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", root / "cgroup")
    return root / "cgroup"


def test_the_limits_of_a_cgroup_and_of_its_parents_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = _machine(tmp_path, monkeypatch, 8 * GB, "0::/outer/inner\n")
    inner = groups / "outer" / "inner"
    inner.mkdir(parents=True)
    assert available_bytes(CPU) == 8 * GB  # a group without limits
    for folder, limit, used, cache in ((inner, "max", 1, 0), (inner.parent, str(4 * GB), 3 * GB, GB)):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 12\nfile 0\ninactive_file {cache}\n")
    assert available_bytes(CPU) == 2 * GB  # its file cache would be freed
    (inner / "memory.max").write_text(f"{GB}\n")
    assert available_bytes(CPU) == GB - 1


def test_a_limit_of_cgroup_version_1_counts_in_a_container_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The path is the one outside of the container; inside, the cgroup is the mount itself.
    groups = _machine(tmp_path, monkeypatch, 8 * GB, "5:cpu,cpuacct:/\n4:memory:/docker/0a1b\n0::/\n")
    (groups / "memory").mkdir(parents=True)
    (groups / "memory" / "memory.limit_in_bytes").write_text(f"{2 * GB}\n")
    (groups / "memory" / "memory.usage_in_bytes").write_text(f"{GB}\n")
    (groups / "memory" / "memory.stat").write_text("inactive_file 5\ntotal_inactive_file 7\n")
    assert available_bytes(CPU) == GB + 7


_LIMITED = """
import resource, torch
from dynet.inference import memory
limit = memory._kibibytes(memory._PROC / "self" / "status", "VmSize:") + 2**28
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(memory.available_bytes(torch.device("cpu")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_limit_of_the_process_counts() -> None:
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert available_bytes(CPU) > 2**28
    done = subprocess.run([sys.executable, "-c", _LIMITED], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) <= 2**28


def test_errors_that_mean_out_of_memory_are_recognised() -> None:
    for allocate in (lambda: torch.empty(2**50), lambda: np.empty(2**50), lambda: bytearray(2**60)):
        with pytest.raises((RuntimeError, MemoryError)) as raised:
            allocate()
        assert ran_out_of_memory(raised.value), raised.value
    with pytest.raises(RuntimeError) as raised:
        torch.ones(2) @ torch.ones(3)
    assert not ran_out_of_memory(raised.value)
