"""Command lines run in forks of one process that has loaded what is quick to load: what each says and loads.

`python tests/mistakes.py PROGRAM < COMMANDS` reads a JSON list of lists of words, and prints one JSON object a line.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[1]
PROGRAMS = MappingProxyType({"dynet": "dynet.cli.app", "million-ird": "million_ird.cli.app"})
QUICK = MappingProxyType(
    {
        "dynet": ("inference.plan", "evaluation.plan", "exporting.to_files", "api.training", "hub.publish"),
        "million-ird": ("checks", "config.score_names", "export.destination", "maintenance.explain"),
    }
)
"""What the commands load to check their arguments; loaded once."""
LONGEST_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """How a command line ended."""

    code: int
    out: str
    err: str
    modules: frozenset[str]
    """Top-level modules that were loaded at the end."""


def refusals(program: str, commands: Sequence[Sequence[str]], folder: Path) -> list[Refusal]:
    """Run command lines, one after the other, in `folder`; nothing that one loads is loaded for the next."""
    done = subprocess.run(
        [sys.executable, __file__, program],
        input=json.dumps([list(words) for words in commands]),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = map(json.loads, done.stdout.splitlines())
    return [Refusal(**{**one, "modules": frozenset(one["modules"])}) for one in found]


def _run_in_fork(program: str, words: Sequence[str]) -> dict[str, object]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, tempfile.TemporaryFile("w+") as end:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _run_and_exit(program, words, end.fileno())
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (out, err, end):
            file.seek(0)
            texts.append(file.read())
    ending = json.loads(texts[2] or "{}")
    return {
        "code": ending.get("code", -status),
        "out": texts[0],
        "err": texts[1],
        "modules": ending.get("modules", []),
    }


def _run_and_exit(program: str, words: Sequence[str], end: int) -> None:
    signal.alarm(LONGEST_S)
    sys.argv = [program, *words]
    code: object = 1
    try:
        sys.modules[PROGRAMS[program]].main()
    except SystemExit as ending:
        code = ending.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    sys.stdout.flush()
    sys.stderr.flush()
    report = {"code": code, "modules": sorted({name.partition(".")[0] for name in sys.modules})}
    os.write(end, json.dumps(report).encode())
    os._exit(0)


if __name__ == "__main__":
    import_module(PROGRAMS[sys.argv[1]])
    for quick in QUICK[sys.argv[1]]:
        import_module(f"{PROGRAMS[sys.argv[1]].partition('.')[0]}.{quick}")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for given in json.load(sys.stdin):
        print(json.dumps(_run_in_fork(sys.argv[1], given)), flush=True)
