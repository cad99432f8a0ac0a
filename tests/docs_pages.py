"""What the pages say that can be checked: their blocks, the commands in them, the files and options that they name."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SHELL = frozenset({"", "bash", "sh", "shell", "console"})
PROGRAMS = frozenset({"million-ird", "dynet", "torchrun", "accelerate", "python", "make", "pip", "hf", "dask"})
"""What a page runs beside the shell's own."""
PLAIN = frozenset({"cp", "mv", "rm", "mkdir", "cat", "ls", "source", "cd", "git", "curl"})
"""The shell's own."""
ELSEWHERE = {"docs/extending.md": "tests/test_extending.py"}
"""Pages whose blocks only work together with what they add to the packages, and the test that does that to a copy."""
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    named: str | None
    """The YAML file that the paragraph before it names last: what the block is the content of."""

    @property
    def commands(self) -> list["Command"]:
        """One for each command, whatever lines it takes; none in a block of another language."""
        if self.language not in SHELL:
            return []
        return [Command(self.page, self.line, text) for text in joined(self.text)]


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a page has it."""

    page: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """Its words, without comments."""
        return shlex.split(self.text, comments=True)

    @property
    def plain(self) -> str:
        """The same as one text, by which a table can name it."""
        return " ".join(self.words)


def pages() -> list[Path]:
    """All pages of docs/, and those beside them that tell how to do something."""
    beside = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*sorted(DOCS.rglob("*.md")), *beside]


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


@cache
def text_of(name: str) -> str:
    """A page's text."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def blocks(name: str) -> tuple[Block, ...]:
    """The fenced blocks of a page, in order."""
    text = text_of(name)
    return tuple(
        Block(
            page=name,
            line=text[: fence.start()].count("\n") + 1,
            language=fence["language"],
            text=re.sub(rf"^{fence['indent']}", "", fence["text"], flags=re.MULTILINE),
            named=_named(text[: fence.start()]),
        )
        for fence in FENCE.finditer(text)
    )


def commands(name: str) -> list[Command]:
    """The commands of a page, in order."""
    return [command for block in blocks(name) for command in block.commands]


def all_commands() -> Iterator[Command]:
    """Those of all pages."""
    for page in pages():
        yield from commands(name_of(page))


def inline(name: str) -> list[str]:
    """What stands between single backticks outside of blocks, in one line each."""
    return [" ".join(found.split()) for found in INLINE.findall(FENCE.sub("", text_of(name)))]


def joined(text: str) -> Iterator[str]:
    """Commands of a shell block: lines that end in a backslash, or within quotes, go on in the next."""
    command = ""
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        command = f"{command}\n{line}" if command else line
        if _closed(command):
            if command.strip() and not command.lstrip().startswith("#"):
                yield command.strip()
            command = ""
    assert not command, f"a command never ends: {command}"


def _closed(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def _named(before: str) -> str | None:
    paragraph = before.rstrip().rpartition("\n\n")[2]
    found = re.findall(r"`([\w-]+\.ya?ml)`", paragraph)
    return found[-1] if found else None
