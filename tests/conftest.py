"""What all tests share: where the real pictures lie, and a home of its own for what libraries cache."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("here", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("here")
DATA = Path(os.environ.get("MILLION_IRD_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))

# Before any test module imports `datasets`, which reads these once: nothing goes into the user's home or onto the
# network, and no run sees what an earlier one cached.
_HOME = tempfile.mkdtemp(prefix="tests-hf-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {"HF_HOME": _HOME, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
os.environ.pop("HF_DATASETS_CACHE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts whole programs first: its files are few and long, and one that is begun last is waited for alone."""
    items.sort(key=lambda item: "integration" not in item.path.parts)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures; a test that needs them is skipped where they are not."""
    if not DATA.is_dir():
        pytest.skip(f"the real pictures of {DATA} are not there")
    return DATA
