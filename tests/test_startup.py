"""Help, the version and a mistyped option come at once: no library that does the work is loaded for them."""

import json
import subprocess
import sys

import pytest

from tests.environments import ROOT

HEAVY = {
    "million_ird": {
        "cv2",
        "dask",
        "datasets",
        "distributed",
        "fsspec",
        "matplotlib",
        "numba",
        "pyarrow",
        "scipy",
        "torch",
    },
    "dynet": {"accelerate", "cv2", "datasets", "pyarrow", "safetensors", "torch"},
}
CODE = """
import json, sys
from {program}.cli.app import main
try:
    main()
except SystemExit as ending:
    code = ending.code
sys.stdout.write("\\n" + json.dumps([code, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


@pytest.mark.parametrize("program", sorted(HEAVY))
@pytest.mark.parametrize(
    ("arguments", "expected"), [(["--help"], 0), (["--version"], 0), (["--hlep"], 2), (["biuld"], 2)]
)
def test_it_starts_without_the_heavy_libraries(program: str, arguments: list[str], expected: int) -> None:
    command = [sys.executable, "-c", CODE.format(program=program), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == expected, done.stderr
    assert not HEAVY[program] & set(modules)


@pytest.mark.parametrize("program", sorted(HEAVY))
def test_the_help_of_a_command_starts_without_them_too(program: str) -> None:
    command = [sys.executable, "-c", CODE.format(program=program), "export", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert not HEAVY[program] & set(modules)
