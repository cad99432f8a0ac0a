"""The command line: arguments to function calls, and nothing else."""
