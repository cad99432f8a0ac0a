"""The program `dynet`, started from outside the package of that name.

CMU's neural network toolkit is called `dynet`, too. Where it comes first on the path, nothing of ours is imported; so
the check cannot be inside the package.
"""

import sys


def main() -> None:
    """Run the command line of dynet, or refuse in one line where another `dynet` is in the way."""
    try:
        from dynet.cli.app import main as run
    except ImportError:
        import importlib.util

        found = importlib.util.find_spec("dynet")
        if found is not None and found.submodule_search_locations is not None:
            raise
        sys.stderr.write(
            f"dynet: another module is in the way: {found.origin if found else 'dynet'} (CMU's toolkit has this name, "
            "too); install million-ird in an environment of its own\n"
        )
        sys.exit(2)
    run()
