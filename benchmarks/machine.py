"""What a benchmark's figures hang on: the machine, and the real pictures that it runs on."""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("MILLION_IRD_SHARED_DATA", ROOT.parent / "shared" / "data"))


def describe() -> dict[str, object]:
    """Processor, cores and versions of what is installed, for the results files."""
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    packages = ("numpy", "opencv-python", "pillow", "pyarrow", "pyiqa", "torch", "datasets")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "versions": {name: version for name in packages if (version := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a lent GPU has what training needs
        return None


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def photographs() -> list[Path]:
    """The clean photographs of the shared data.

    Stops the script with a clear line where they are not there.
    """
    folder = SHARED / "photos"
    if not folder.is_dir():
        sys.exit(f"{folder}: the photographs that this benchmark runs on are not there")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".png"})
