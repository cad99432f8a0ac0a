"""Execution and storage: workers, sandboxed processes, locks, memory, files."""
