"""Files of text that are complete or absent."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write the file under a temporary name, then rename it; what was there before stays until then."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Names of files, which texts may hold, may hold bytes that are no text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
