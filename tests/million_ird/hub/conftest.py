"""A local Hub for each test module, emptied before each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import Hub, served
from tests.million_ird.hub.publishing import ACCOUNTS, Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    with served(Hub(accounts=ACCOUNTS)) as hub:
        site = Site(hub, home)
        yield site
        if site.process:
            site.process.terminate()
            site.process.communicate()


@pytest.fixture
def hub(site: Site, tmp_path: Path) -> Hub:
    """The Hub of the site, empty."""
    site.hub.store, site.hub.part_bytes = tmp_path / "store", 10**9
    site.hub.store.mkdir()
    for state in (site.hub.repositories, site.hub.asked, site.hub.moments, site.hub.faults):
        state.clear()
    return site.hub
