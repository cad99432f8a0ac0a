"""Text files that are complete or absent, and folders that can be written to."""

import os
from pathlib import Path

from dynet.errors import UsageError


def write_atomically(path: Path, text: str) -> None:
    """Write the file under a temporary name, then rename it: readers see the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Texts may contain file names, and these may contain bytes that are not valid UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def create_output_folder(out: Path) -> None:
    """Create the folder of --out and check that it can be written to, before hours of work depend on it.

    Raises:
        UsageError: The folder cannot be created or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written to: {error.strerror}") from error
