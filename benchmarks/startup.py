"""Processor time and memory of `--help`, which loads no library that does the work: `python benchmarks/startup.py`."""

import os
import subprocess
import sys
import time

RUNS = 10
PROGRAMS = ("million_ird", "dynet")


def measure(program: str) -> tuple[float, float]:
    """Return the median seconds of processor time and the largest peak memory in MB over some runs."""
    seconds, peak = [], 0
    for _ in range(RUNS):
        command = [sys.executable, "-c", f"from {program}.cli.app import main; main()", "--help"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        usage = os.wait4(process.pid, 0)[2]
        process.returncode = 0
        seconds.append(usage.ru_utime + usage.ru_stime)
        peak = max(peak, usage.ru_maxrss)
        time.sleep(0.05)
    return sorted(seconds)[RUNS // 2], peak / 1024


if __name__ == "__main__":
    for program in PROGRAMS:
        seconds, peak = measure(program)
        print(f"{program.replace('_', '-')} --help: {seconds:.2f} s of processor time, {peak:.0f} MB")
