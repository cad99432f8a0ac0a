"""The command line: arguments to function calls, and nothing else."""

from dynet.cli.app import app, main

__all__ = ["app", "main"]
