"""Go through the prefixes of the file operations of a command, by `tests/killed_runner.py`."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NEVER = 10**6
"""A point that a command does not reach: it survives."""


def attempts_of(folder: Path, points: Sequence[int], **job: object) -> list[dict[str, Any]]:
    """Run the job of `tests/killed_runner.py`; no points mean every one."""
    file = folder / "job.json"
    fields = {"log": str(folder / "log"), "out": str(folder / "out"), "points": list(points), "resume": [], **job}
    file.write_text(json.dumps(fields))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "killed_runner.py"), str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_attempts(attempts: list[dict[str, Any]], reference: dict[str, str]) -> None:
    """Each attempt was accepted again in plain words, ended in the same bytes, and left no temporary file."""
    assert len(attempts) > 1
    assert not attempts[-1]["killed"], "the points end before the command does"
    assert all(attempt["killed"] for attempt in attempts[:-1]), attempts[0]["said"]
    for attempt in attempts:
        where = f"killed before operation {attempt['point']}, which left {attempt['left'][-8:]}"
        assert attempt["again"] == 0, f"{where}: {attempt['said'][-600:]}"
        assert "something else" not in attempt["said"], where
        assert "Traceback" not in attempt["said"], f"{where}: {attempt['said'][-3000:]}"
        assert attempt["digests"] == reference, where
        assert not attempt["temporary"], where
