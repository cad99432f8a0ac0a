"""Threads that wait as those of the `dynet` program do."""

import os
import sys


def wait_passively() -> None:
    """Begin this script again with OMP_WAIT_POLICY=PASSIVE, as `dynet.cli.app.main` sets it, unless it is set.

    OpenMP reads it as torch is loaded. Threads that spin make a machine with other work on it ten times slower.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OMP_WAIT_POLICY": "PASSIVE"})
