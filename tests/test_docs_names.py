"""What the pages name is there: files, links, recipes; their figures are those of the benchmarks' files."""

import ast
import importlib
import json
import re
import tomllib
from functools import reduce
from typing import Any

import pytest
import yaml

import dynet
import million_ird
from tests.docs_pages import ELSEWHERE, ROOT, blocks, commands, name_of, pages, text_of

NAMES = [name_of(page) for page in pages()]
FOLDERS = ("benchmarks", "docs", "pipelines", "cards", "tests", "million_ird", "dynet")
ABSENT = {
    "dynet/degradations/posterise.py": "the example of a file to add",
    "benchmarks/results/train_speed_cuda.json": "what the command would write on a GPU",
    "benchmarks/*.parquet": "of a built set, not of this repository",
    "benchmarks/CBSD68": "the reader's",
    "benchmarks/Rain100L": "the reader's",
}
"""Names that look like files of this repository and are not, each with what it is instead."""
FIGURES: list[tuple[str, tuple[str | int, ...], str]] = [
    ("curation", ("ours_per_second",), ".1f"),
    ("curation", ("naive_per_second",), ".2f"),
    ("curation", ("ratio",), ".1f"),
    *[("curation_stages", ("sets", "photographs", tree, "totals", "ratio"), ".2f") for tree in ("now", "before")],
    ("mix_after_build", ("counts", "50 %", "collages", "kept"), "d"),
    ("nss", ("ours", "both", "median"), ".0f"),
    ("nss", ("pyiqa", "both", "median"), ",.0f"),
    ("nss_equality", ("forms",), ",d"),
    ("nss_equality", ("pictures",), "d"),
    ("nss_equality", ("niqe", "largest_difference"), ".4f"),
    ("nss_equality", ("brisque", "largest_difference"), ".4f"),
    ("memory", ("rows", "24", "peak_MB"), ".0f"),
    ("memory", ("rows", "100", "peak_MB"), ",.0f"),
    ("fuzz", ("inputs",), ",d"),
    ("altered_table", ("to keep", "photographs", "dropped"), "d"),
    ("altered_table", ("to keep", "photographs", "pictures"), "d"),
    ("copies", ("alterations", "crop of 20%", "recall_with_parts"), ".1%"),
    ("copies", ("pairs",), ",d"),
    ("copies", ("false_matches",), "d"),
    ("dedup", ("rows", 16, "seconds"), ".1f"),
    ("dedup", ("rows", 16, "peak_MB"), ".0f"),
    ("decide", ("gates only", "seconds"), ".0f"),
    ("decide", ("with duplicates", "seconds"), ".0f"),
    ("leaks", ("Rain100L", "BSDS500 train"), "d"),
    ("leak_crops", ("kept", "50%", "crop"), "d"),
    ("leak_crops", ("pictures",), "d"),
    ("download", ("ratio", "clean"), ".2f"),
    ("download", ("ratio", "faulty"), ".2f"),
    ("url_table", ("runs", 1, "seconds"), ".0f"),
    ("workers", ("gain",), ".2f"),
    ("publish", ("runs", 0, "seconds"), ".1f"),
    ("publish", ("runs", 0, "peak_mb"), "d"),
    ("patch_format", ("rows", 1, "kB"), ".0f"),
    ("patch_format", ("rows", 0, "kB"), ".0f"),
    ("train_speed", ("forward", "rows", 5, "S", "ratio"), ".2f"),
    ("train_speed", ("forward", "rows", 5, "L", "ratio"), ".2f"),
    ("train_speed", ("forward", "rows", 6, "S", "ratio"), ".2f"),
    ("train_speed", ("forward", "rows", 6, "L", "ratio"), ".2f"),
    ("train_speed", ("training step", "rows", 6, "S", "ratio"), ".2f"),
    ("train_speed", ("training step", "rows", 6, "L", "ratio"), ".2f"),
    *[("gpu_steps", ("rows", row, "ms"), ".0f") for row in (0, 1, 3)],
    *[("gpu_steps", ("rows", row, "ratio"), ".2f") for row in (2, 3, 6, 7)],
    ("loader", ("rows", 0, "ratio"), ".2f"),
    ("export", ("rows", 1, "ratio"), ".2f"),
    ("seams", ("rows", 7, "psnr"), ".1f"),
    ("seams", ("rows", 7, "most_levels"), ".1f"),
    ("seams", ("rows", 7, "to_clean"), "+.3f"),
    ("local_statistics", ("rows", 7, "change"), "+.3f"),
    ("local_statistics", ("rows", 2, "change"), "+.3f"),
    *[("denoisers", ("means", "noise25", name, "psnr"), ".2f") for name in ("dynet-laptop S", "nlm", "wavelets")],
    ("export", ("rows", 1, "difference"), ".0e"),
    ("restore", ("tiled", 1, "ratio"), ".2f"),
    ("restore", ("tiled", 4, "ratio"), ".2f"),
    ("restore", ("alone", 0, "seconds"), ".0f"),
    ("restore", ("alone", 0, "peak_mb"), ",d"),
    ("restore", ("alone", 1, "seconds"), ".0f"),
    ("restore", ("alone", 1, "peak_mb"), ",d"),
    ("package_images_wallpapers", ("labels", "photograph", "dropped"), "d"),
    ("package_images_wallpapers", ("labels", "photograph", "images"), "d"),
    ("package_images_websites", ("labels", "photograph", "dropped"), "d"),
    ("package_images_websites", ("labels", "photograph", "images"), "d"),
    ("package_images_demos", ("labels", "photograph", "dropped"), "d"),
    ("package_images_demos", ("labels", "photograph", "images"), "d"),
    ("package_images_assorted", ("labels", "photograph", "dropped"), "d"),
    ("package_images_assorted", ("labels", "photograph", "images"), "d"),
    ("package_images_varied", ("labels", "photograph", "dropped"), "d"),
    ("package_images_varied", ("labels", "photograph", "images"), "d"),
]
"""Figures of docs/results.md: the file, where in it, and how it is written. Of a list, its length is meant."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_files_that_a_page_names_exist(name: str) -> None:
    pattern = re.compile(rf"(?<![\w/.~-])(?:{'|'.join(FOLDERS)})/[\w./*{{}},-]*[\w*/]")
    for found in set(pattern.findall(text_of(name))):
        if found not in ABSENT and not re.match(r"docs/[^.]*$", found):
            assert list(ROOT.glob(found.rstrip("/"))), f"{name} names {found}, which is not there"


def test_names_that_are_no_files_are_still_named() -> None:
    everything = "".join(map(text_of, NAMES))
    assert all(name in everything and not list(ROOT.glob(name)) for name in ABSENT)


@pytest.mark.parametrize("name", NAMES)
def test_links_between_files_lead_somewhere(name: str) -> None:
    """On GitHub; the site's are checked where it is built."""
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)]+)?\)", text_of(name)):
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), f"{name}: {target}"
        if anchor and path.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor[1:] in map(slug, headings), f"{name}: {target}{anchor}"


def slug(heading: str) -> str:
    """The anchor that GitHub, and mkdocs alike, give a heading."""
    return re.sub(r"[^\w -]", "", heading.replace("`", "")).strip().lower().replace(" ", "-")


def test_every_shipped_recipe_is_told_of() -> None:
    everything = "".join(map(text_of, NAMES)).replace("`…_", "`dynet_finetune_")  # "and `…_5task.yaml`"
    recipes = {path.name for path in (ROOT / "pipelines").glob("*.yaml")}
    assert {name for name in recipes if name not in everything} == set()


def test_results_are_those_of_the_files() -> None:
    rows = {name: "" for name, _, _ in FIGURES}
    for line in text_of("docs/results.md").splitlines():
        for name in re.findall(r"results/(\w+)\.json\)", line):
            rows[name] = rows.get(name, "") + line
    assert set(rows) == {name for name, _, _ in FIGURES}, "a row of results.md without a figure that is checked"
    for name, keys, form in FIGURES:
        raw: Any = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
        value = reduce(lambda inner, key: inner[key], keys, raw)
        figure = format(len(value) if isinstance(value, dict | list) else value, form).replace("%", " %")
        alone = rf"(?<![\d.,]){re.escape(figure)}(?!\d|[.,]\d)"
        assert re.search(alone, rows[name]), f"{name}: no {figure} in results.md"


def test_one_version_and_one_list_of_authors_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == project["version"] == dynet.__version__ == million_ird.__version__
    assert (cited["cff-version"], cited["license"]) == ("1.2.0", project["license"])
    (paper,) = cited["references"]
    authors = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in paper["authors"])
    for told in (text_of("docs/citing.md"), (ROOT / "cards" / "dataset.md").read_text(encoding="utf-8")):
        assert f"{{{authors}}}" in told
        assert f"{{{paper['title']}}}" in told
    assert f"version = {{{project['version']}}}" in text_of("docs/citing.md")


def test_every_folder_of_the_packages_stands_in_the_design() -> None:
    told = text_of("docs/design.md")
    for package in ("million_ird", "dynet"):
        for folder in (ROOT / package).iterdir():
            if (folder / "__init__.py").is_file():
                assert f"`{folder.name}/`" in told or f"{package}/{folder.name}/" in told, folder


def failure_classes() -> set[str]:
    """The failure classes that the package gives to candidates, but for those of statuses, `http_…`."""
    found = {"removed"}  # written into a table, not as an object
    for path in (ROOT / "million_ird").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in {"Failed", "ReadError", "WorkerDied"}):
                continue
            match node.args[0] if node.args else None:
                case ast.Constant(str(name)):
                    found.add(name)
                case ast.Name(name) if name.isupper():
                    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                    found.add(getattr(importlib.import_module(module), name))
                case ast.Call(args=[*_, ast.Constant(str(name))]):  # the default of a table of error numbers
                    found.add(name)
    return found


def test_the_failure_classes_are_those_of_their_table() -> None:
    section = text_of("docs/crawling.md").partition("## Failures and retrying")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)`", " ".join(cells))
    assert len(named) == len({*named})
    assert {name for name in named if not name.startswith("http_")} == failure_classes()


@pytest.mark.parametrize("page", map(name_of, pages()))
def test_a_recipe_of_a_command_is_shipped_shown_or_made_before(page: str) -> None:
    known = {path.name for path in (ROOT / "pipelines").glob("*.yaml")}
    known |= {block.named for block in blocks(page) if block.language == "yaml" and block.named}
    before = ""
    for command in commands(page):
        named = re.findall(r"--(?:recipe|config) ([^\s/]+\.ya?ml)", command.text)
        assert [name for name in named if name not in known and name not in before] == []
        before += f"{command.text}\n"
