"""Files of text that are complete or absent, and folders that can be written to."""

import os
from pathlib import Path

from dynet.errors import UsageError


def write_atomically(path: Path, text: str) -> None:
    """Write the file under a temporary name, then rename it; what was there before stays until then."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Names of files, which texts may hold, may hold bytes that are no text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def create_output_folder(out: Path) -> None:
    """Make the folder of --out before hours are spent on what goes into it; UsageError where that cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written to: {error.strerror}") from error
