"""Ctrl-C and SIGTERM end both programs, also where Python cannot pass an exception on and would lose it."""

import signal
import subprocess
import sys

import pytest

_PLACES = {
    "plain code": "signal.raise_signal(number)",
    "callback from C": "ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(number))()",
    "nested callbacks": "inner = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(number))\n"
    "    ctypes.CFUNCTYPE(None)(lambda: inner())()",
    "long callback": "def slow():\n        try: signal.raise_signal(number)\n        finally: time.sleep(0.2)\n"
    "    ctypes.CFUNCTYPE(None)(slow)()",
    "destructor": "class Ends:\n        def __del__(self): signal.raise_signal(number)\n    Ends()",
    "weak reference": "class Ends: pass\n    ends = Ends()\n"
    "    weak = weakref.ref(ends, lambda _: signal.raise_signal(number))\n    del ends",
    "garbage collection": "gc.callbacks.append(lambda phase, info: phase == 'start' and signal.raise_signal(number))\n"
    "    gc.collect()\n    gc.callbacks.clear()",
}
_SCRIPT = """
import ctypes, gc, signal, sys, time, weakref
import typer
from {package}.cli import app as module

number = int(sys.argv[1])

module.app = typer.Typer(pretty_exceptions_enable=False)

@module.app.command()
def command():
    {place}
    time.sleep(30)

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without it
sys.argv[1:] = []
module.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", _PLACES.values(), ids=_PLACES.keys())
@pytest.mark.parametrize("package", ["million_ird", "dynet"])
def test_a_signal_anywhere_is_one_line_and_exit_130(package: str, place: str, number: signal.Signals) -> None:
    script = _SCRIPT.format(package=package, place=place)
    done = subprocess.run(
        [sys.executable, "-c", script, str(int(number))], capture_output=True, text=True, timeout=25, check=False
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith(f"{package.replace('_', '-')}: interrupted")
    assert done.stderr.count("\n") == 1
