"""Run commands on a disk with faults, or with a clock that jumps: `disk_faults.c` makes them so."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = "disk_faults.so"


@cache
def _shim(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler for the shim")
    source = Path(__file__).with_name("disk_faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", folder / LIBRARY, source, "-ldl"], check=True)
    return folder / LIBRARY


@dataclass(frozen=True)
class FaultyDisk:
    """A command that writes below `out`, and the results that it must have in the end, faults or not."""

    program: str
    """The module whose `main` is the command line."""
    arguments: Sequence[object]
    out: Path
    results: Sequence[str]
    """Files and folders of `out` that are compared."""
    resume: Sequence[str] = ()
    """Options to go on, where the same command refuses to."""

    def run(self, *options: str, **faults: object) -> "subprocess.CompletedProcess[str]":
        """Run the command: run(FAULT_KIND="EIO", FAULT_AT=3)."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        if faults:
            environment |= {"LD_PRELOAD": str(_shim(self.out.parent)), "FAULT_UNDER": str(self.out)}
            environment |= {name: str(value) for name, value in faults.items()}
        command = [
            sys.executable,
            "-c",
            f"from {self.program} import main; main()",
            *map(str, self.arguments),
            *options,
        ]
        return subprocess.run(
            command, env=environment, cwd=self.out.parent, capture_output=True, text=True, check=False
        )

    def contents(self) -> dict[str, bytes]:
        """Return the bytes of the results by path."""
        found = [path for name in self.results for path in (self.out / name, *(self.out / name).rglob("*"))]
        return {str(path.relative_to(self.out)): path.read_bytes() for path in found if path.is_file()}

    def count(self) -> int:
        """Run the command on a disk without faults, and return the number of its operations."""
        file = self.out.parent / "count"
        done = self.run(FAULT_KIND="EIO", FAULT_AT=0, FAULT_COUNT=file)
        assert done.returncode == 0, done.stderr
        return max(map(int, file.read_text().split()))


def check_same_results(disk: FaultyDisk, kind: str) -> None:
    """Run with short writes (`short`) or with a clock that jumps (`clock`): the results are the same."""
    assert disk.run().returncode == 0
    expected = disk.contents()
    shutil.rmtree(disk.out)
    file = disk.out.parent / "count"
    done = disk.run(FAULT_KIND=kind, FAULT_COUNT=file)
    assert done.returncode == 0, done.stderr
    assert max(map(int, file.read_text().split())) > 5, "the shim saw nothing"
    assert disk.contents() == expected


def check_failing_operations(disk: FaultyDisk, tries: int) -> None:
    """One operation fails: one line, and the same command goes on to the same results."""
    total = disk.count()
    expected = disk.contents()
    points = sorted({*range(1, 6), *range(6, total + 1, max(total // tries, 1)), total})
    failed = 0
    for point in points:
        shutil.rmtree(disk.out)
        done = disk.run(FAULT_KIND="EIO" if point % 2 else "ENOSPC", FAULT_AT=point)
        where = f"operation {point} of {total}: {done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr, where
        assert done.returncode in {0, 1}, where
        failed += done.returncode
        again = disk.run()
        if again.returncode and disk.resume:
            again = disk.run(*disk.resume)
        assert again.returncode == 0, f"{where}\nafterwards: {again.stderr[-2000:]}"
        assert disk.contents() == expected, where
    assert failed > len(points) // 2
