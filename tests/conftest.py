"""What all tests share: which of them run, where the real images are, and a separate home for caches of libraries."""

import atexit
import functools
import gc
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("here", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("here")
TESTS = Path(__file__).parent
DATA = Path(os.environ.get("MILLION_IRD_SHARED_DATA", TESTS.parents[1] / "shared" / "data"))
FAST = (
    "test_house.py",
    "test_schemas.py",
    "million_ird/config",
    "million_ird/images",
    "million_ird/metadata",
    *(f"million_ird/measures/test_{name}.py" for name in ("artefacts", "exposure", "graphics", "header", "layout")),
    *(f"million_ird/measures/test_{name}.py" for name in ("registry", "sharpness", "text", "texture")),
    *(f"million_ird/sources/web/test_{name}.py" for name in ("addresses", "content_type", "hosts", "request_queue")),
    "million_ird/sources/web/test_robots.py",
    "million_ird/dedup/test_clusters.py",
    "million_ird/dedup/test_overlap.py",
    "million_ird/decide/test_thresholds.py",
    "million_ird/dataset/test_patches.py",
    "dynet/config",
    "dynet/degradations",
    "dynet/data/test_crops.py",
    "dynet/data/test_folder_set.py",
    "dynet/data/test_group_cache.py",
    "dynet/data/test_layouts.py",
    "dynet/model/test_variants.py",
)
"""Folders and files whose tests are marked `fast`: together under a minute on 2 cores.

Chosen by measurement: no test in them starts a program or a server, trains or builds a dataset, and each file takes a
few seconds of processor time. A file that grows beyond that is taken out. Tests on real images are never fast.
"""
LONG_FIXTURES = frozenset({"narrow", "narrow_ncnn"})
"""Fixtures that take half a minute or more: tests with one are marked `full`."""
NEEDS_EXTRAS = (
    "dynet",
    "integration",
    "pins",
    "million_ird/images/test_colour_matrix.py",
    "million_ird/images/test_formats.py",
    "million_ird/measures/test_neural.py",
    "million_ird/measures/test_nss.py",
    *(path.name for path in TESTS.glob("test_*.py")),
)
"""What an environment with core dependencies only cannot run (`make test-core`)."""

# Set before any test module imports `datasets`, which reads these once: nothing is written to the user's home or sent
# to the network, and no run sees the cache of an earlier one.
_HOME = tempfile.mkdtemp(prefix="tests-hf-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {"HF_HOME": _HOME, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
os.environ.pop("HF_DATASETS_CACHE", None)


def _do_not_wait_for_the_disk(descriptor: int) -> None:
    os.fstat(descriptor)  # fails for one that is closed, as it should


# No test cuts the power, and this waiting is a tenth of a small build. The programs that tests start do wait.
os.fsync = _do_not_wait_for_the_disk  # type: ignore[assignment]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files that cannot run here, and with `-m fast` those that are not fast: importing them takes long."""
    if find_spec("torch") is None and _is_in(collection_path, NEEDS_EXTRAS):
        return True
    only_fast = config.getoption("markexpr") == "fast"
    return True if only_fast and collection_path.is_file() and not _is_in(collection_path, FAST) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark fast and long tests, and run integration tests first: their files take longest, so they must not be last."""
    for item in items:
        if _is_in(item.path, FAST) and "shared_data" not in getattr(item, "fixturenames", ()):
            item.add_marker("fast")
        if LONG_FIXTURES & {*getattr(item, "fixturenames", ())}:
            item.add_marker("full")
    _mark_further_cases(items)
    for item in items:
        if item.get_closest_marker("full") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1500))
    items.sort(key=lambda item: "integration" not in item.path.parts)


def _mark_further_cases(items: list[pytest.Item]) -> None:
    """Mark as `full` all but the first and the last case of each parametrized test.

    Not of fast tests, nor of those in this folder, whose cases are files, commands or functions of this project.
    """
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        markers = {marker.name for marker in item.iter_markers()}
        if not markers & {"fast", "full"} and item.path.parent != TESTS:
            cases.setdefault(item.nodeid.split("[")[0], []).append(item)
    for own in cases.values():
        for item in own[1:-1]:
            item.add_marker("full")


def pytest_collection_finish() -> None:
    """Leave what test modules and their libraries have made, 1.5 million objects, out of later collections of garbage.

    Every build collects garbage a few times, which took most of a second each.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images; tests that need it are skipped where it is missing."""
    if not DATA.is_dir():
        pytest.skip(f"there are no real images in {DATA}")
    return DATA


@functools.cache
def _is_in(path: Path, names: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(TESTS / name) for name in names)
