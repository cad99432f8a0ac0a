"""Run a command again and again, each time killed before another of its file operations, and then once more.

`python tests/killed_runner.py JOB.json` imports what the command needs once, and forks a process for each attempt: that
is fast, and a kill concerns only the fork. It prints a line of JSON for each attempt; the last one survived.
"""

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink"}


def kill_before(number: int, folder: str) -> None:
    """Kill this process before the operation of that number, from 1, that changes a file below `folder`."""
    count = 0

    def operate() -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        is_writing = event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if event == "fcntl.flock" or ((is_writing or event in CHANGES) and _is_below(arguments)):
            operate()

    def _is_below(arguments: tuple[Any, ...]) -> bool:
        texts = [os.fspath(one) for one in arguments if isinstance(one, str | os.PathLike)]
        return any(str(text).startswith(folder) for text in texts)

    fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:  # not among the audited events
        operate()
        fsync(descriptor)

    os.fsync = watched_fsync  # type: ignore[assignment]
    sys.addaudithook(watch)


def in_fork(run: Callable[[], int], log: Path) -> int:
    """Return the exit code of a function in a process of its own, negative for a signal; its output goes to `log`."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 99
    try:
        with log.open("wb") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        code = run()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Read the job and go through its points."""
    job = json.loads(Path(sys.argv[1]).read_text())
    for name in job["imports"]:
        importlib.import_module(name)
    program = importlib.import_module(job["program"]).main
    out, log = Path(job["out"]), Path(job["log"])

    def run(arguments: list[str]) -> int:
        sys.argv = ["program", *arguments]
        try:
            program()
        except SystemExit as ended:
            return int(ended.code or 0)  # type: ignore[arg-type]
        return 0

    def killed(number: int) -> int:
        kill_before(number, str(out))
        return run(job["arguments"])

    points = iter(job["points"]) if job["points"] else iter(range(1, 10_000))
    for number in points:
        if out.exists():
            shutil.rmtree(out)
        first = in_fork(lambda: killed(number), log)  # noqa: B023  # called at once
        left = sorted(str(path.relative_to(out)) for path in out.rglob("*")) if out.exists() else []
        again = in_fork(lambda: run(job["arguments"]), log)
        said = log.read_text(errors="replace").strip()
        if job["resume"] and again:
            again = in_fork(lambda: run([*job["arguments"], *job["resume"]]), log)
            said += log.read_text(errors="replace").strip()
        digests = {}
        for name in job["compare"]:
            files = [out / name] if (out / name).is_file() else sorted((out / name).rglob("*"))
            digests |= {str(file.relative_to(out)): file.read_bytes().hex()[-64:] for file in files if file.is_file()}
        temporary = [
            str(path) for path in out.rglob("*") if path.name.endswith(".tmp") or path.name.startswith(".tmp-")
        ]
        fields = {"left": left, "again": again, "said": said, "digests": digests, "temporary": temporary}
        print(json.dumps({"point": number, "killed": first == -signal.SIGKILL, **fields}), flush=True)
        if first != -signal.SIGKILL:
            break


if __name__ == "__main__":
    main()
