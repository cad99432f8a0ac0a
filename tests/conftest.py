"""What all tests share: where the real pictures lie, and a home for what `datasets` caches."""

from collections.abc import Iterator
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what `datasets` caches out of the user's home, and the network out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        patch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("hf_datasets")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures; a test that needs them is skipped where they are not."""
    if not DATA.is_dir():
        pytest.skip(f"no real pictures in {DATA}")
    return DATA.resolve()
