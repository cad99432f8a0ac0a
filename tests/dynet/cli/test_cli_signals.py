"""SIGTERM before there is anything to save: one line, and the code of an interruption."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_HANGS = """
import signal, sys, time
from dynet import cli, config

def find_recipe(path):
    print("here", flush=True)
    time.sleep(60)

config.find_recipe = find_recipe
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs begin without it
cli.main(["train", "--data", "a", "--stage", "pretrain", "--config", "b.yaml", "--out", sys.argv[1]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_says_so_in_one_line(number: signal.Signals, tmp_path: Path) -> None:
    started = subprocess.Popen(
        [sys.executable, "-c", _HANGS, str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "here\n"
    started.send_signal(number)
    _, err = started.communicate(timeout=30)
    assert started.returncode == 130
    assert err == "dynet: interrupted\n"
    assert not (tmp_path / "run").exists()
