"""README is short, and its first screen has all that it takes to begin; nothing on it is missing in a clone."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.docs_pages import ROOT, SHELL, blocks, commands, text_of

README = "README.md"
MADE = re.compile(r"mkdir (\S+)|--out (\S+)|mv \S+ (\S+)|\.save\(\"([^\"]+)\"\)")
OPTIONS = {"--data", "--weights", "--init", "--sources"}
TAKES_FILES = re.compile(r"(?:million-ird \w+|dynet restore|dynet degrade) (?!-)([\w./-]+)")


def test_it_is_read_in_minutes() -> None:
    assert len(text_of(README).split()) <= 900


def test_the_first_screen_has_all_that_it_takes_to_begin() -> None:
    first = text_of(README).partition("\n## ")[0]
    assert "img.shields.io" in first
    assert "pip install million-ird " in first
    assert "pip install 'million-ird[train]'" in first
    shown = [block for block in blocks(README) if block.text in first]
    shell = [block for block in shown if block.language in SHELL and "pip install" not in block.text]
    python = [block for block in shown if block.language == "python"]
    assert [len(block.commands) for block in shell] == [5]
    assert [len([line for line in block.text.splitlines() if line]) for block in python] == [4]
    (picture,) = re.findall(r"!\[[^\]]+\]\((docs/[^)]+)\)", first)
    assert (ROOT / picture).is_file()


def test_the_two_commands_of_a_clone() -> None:
    assert {"make demo", "make test"} <= {command.plain for command in commands(README)}


def test_cmu_s_dynet_is_named_where_people_install() -> None:
    install = text_of(README).partition("\n## Install\n")[2].partition("\n## ")[0]
    assert "CMU" in install


@pytest.mark.parametrize("page", [README, "docs/quick_start.md"])
def test_each_file_is_in_a_clone_or_made_before_on_the_page(page: str) -> None:
    made: set[str] = set()
    for text, named in used(page):
        for name in named:
            known = any(name == one or name.startswith(f"{one}/") for one in made) or (ROOT / name).exists()
            assert known, f"{page}: {name} is made by no earlier command: {text}"
        made |= {next(filter(None, found)).strip("/") for found in MADE.findall(text)}
    assert {"my-set", "photos", "runs/noise"} <= made


def used(page: str) -> Iterator[tuple[str, list[str]]]:
    """Each command and each block of Python, with the files that it takes."""
    for block in blocks(page):
        if block.language == "python":
            given = re.findall(r"(?:build|restore|from_pretrained|open|load_dataset)\(\"([^\"]+)\"", block.text)
            yield block.text, given + re.findall(r"weights=\"([^\"]+)\"", block.text)
        for plain in (part for command in block.commands for part in command.plain.split(" && ")):
            words = plain.split()
            pairs = pairwise(words)
            yield plain, [value for key, value in pairs if key in OPTIONS] + TAKES_FILES.findall(plain)
