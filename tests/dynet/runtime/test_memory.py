"""Freed memory stays with the process: seen by the page faults of a program that asks for the same block again."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys
import torch
from dynet.runtime.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(16):  # until the heap has grown to what it needs
    torch.ones(64 << 18)
before = faults()
for _ in range(4):
    torch.ones(64 << 18)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
@pytest.mark.full
def test_a_freed_block_is_reused() -> None:
    faults = {}
    for how in ("keep", "leave"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True)
        faults[how] = int(done.stdout)
    assert faults["keep"] < 100
    assert faults["leave"] > 4000  # four times 64 MB, in pages of 4 kB, or fewer where the system takes larger ones
