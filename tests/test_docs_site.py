"""The site builds without a warning, nothing in it is fetched from elsewhere, and no link in it is dead."""

import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import dynet
import million_ird
from tests.docs_pages import DOCS, ROOT

EMBEDDED = {("script", "src"), ("link", "href"), ("img", "src"), ("source", "src"), ("iframe", "src")}
"""What a browser fetches by itself."""


class Found(HTMLParser):
    """The addresses of a page, by tag and attribute, and what its fragments may name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str, str]] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.append((tag, name, value))
            elif name in {"id", "name"} and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site: `mkdocs build --strict` ends with an error where there is a warning."""
    for module in ("mkdocs", "material", "mkdocstrings_handlers"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install 'million-ird[docs]'")
    out = tmp_path_factory.mktemp("site")
    told = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(told, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@cache
def page(path: Path) -> Found:
    """What a page holds."""
    return Found(path.read_text(encoding="utf-8"))


def test_every_page_is_in_the_navigation_once() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    told = re.findall(r"([\w/]+\.md)$", settings[settings.index("\nnav:") :], re.MULTILINE)
    assert sorted(told) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.mark.full
def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        for tag, attribute, address in page(path).links:
            if (tag, attribute) in EMBEDDED:
                assert not urlsplit(address).netloc, f"{path.name}: <{tag} {attribute}={address}>"
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_no_link_is_dead(site: Path) -> None:
    """Pages, files and places in pages; addresses of other sites are not asked."""
    looked_at = 0
    for path in site.rglob("*.html"):
        for _, _, address in page(path).links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {address}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in page(target).anchors, f"{path.relative_to(site)}: {address}"
            looked_at += 1
    assert looked_at > 1000


def test_the_public_names_stand_in_the_reference(site: Path) -> None:
    anchors = {anchor for path in (site / "api").glob("*.html") for anchor in page(path).anchors}
    for package in (million_ird, dynet):
        for name in package.__all__:
            if not name.startswith("__"):
                whole = [anchor for anchor in anchors if re.fullmatch(rf"{package.__name__}(\.\w+)*\.{name}", anchor)]
                assert whole, f"{package.__name__}.{name}"


def test_every_degradation_and_measure_stands_in_the_reference() -> None:
    from dynet.degradations.registry import DEGRADATIONS
    from million_ird.measures.registry import MEASURES

    told = (DOCS / "api" / "degradations.md").read_text(encoding="utf-8")
    assert [kind for kind in DEGRADATIONS if f"::: dynet.degradations.{kind}.{kind}\n" not in told] == []
    told = (DOCS / "api" / "measures.md").read_text(encoding="utf-8")
    modules = {type(measure).__module__ for measure in MEASURES.values()}
    assert {module for module in modules if f"::: {module}\n" not in told} == set()


def test_settings_are_what_the_tests_are_of() -> None:
    """Neither fonts nor a repository whose stars are counted; links and places in pages are checked."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["theme"]["font"] is False
    assert "repo_url" not in settings
    assert settings["validation"]["links"]["anchors"] == "warn"
    assert settings["site_dir"].split("/")[0] + "/" in (ROOT / ".gitignore").read_text().splitlines()
