"""The wait policy of OpenMP threads, as the `dynet` program sets it."""

import os
import sys


def wait_passively() -> None:
    """Restart this script with OMP_WAIT_POLICY=PASSIVE, as `dynet.cli.app.main` sets it, unless it is set.

    OpenMP reads the variable when torch is loaded. Spinning threads make a machine with other load ten times slower.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OMP_WAIT_POLICY": "PASSIVE"})
