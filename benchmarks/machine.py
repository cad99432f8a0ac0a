"""What the figures of a benchmark depend on: the machine, and the real images that it uses."""

import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("MILLION_IRD_SHARED_DATA", ROOT.parent / "shared" / "data"))


def describe() -> dict[str, object]:
    """Return processor, cores and versions of installed packages, for the results files."""
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    packages = ("numpy", "opencv-python", "opencv-python-headless", "pillow", "pyarrow", "pyiqa", "torch", "datasets")
    packages += ("scikit-image", "PyWavelets", "bm3d", "bm4d")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "versions": {name: version for name in packages if (version := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a rented GPU machine has only what training needs
        return None


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def photographs() -> list[Path]:
    """Return the clean photographs of the shared data; stop the script with a clear line if there are none."""
    folder = SHARED / "photos"
    if not folder.is_dir():
        sys.exit(f"{folder}: the photographs that this benchmark needs are not there")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".png"})


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of new processes: forked ones can wait forever for a thread that OpenCV had in the parent."""
    return ProcessPoolExecutor(workers, get_context("spawn"))
