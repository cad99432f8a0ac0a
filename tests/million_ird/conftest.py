"""A folder of images and a build of it, made once; the command line, called in this process."""

import logging
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from million_ird.cli import app as cli
from tests.million_ird import scenes


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are kept, dropped or fail, for every reason; no test changes them."""
    return scenes.lay_out(tmp_path_factory.mktemp("pictures") / "pictures")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A build of these images; no test changes it."""
    out = tmp_path_factory.mktemp("finished") / "out"
    scenes.make(pictures, out)
    return out


@pytest.fixture
def built(finished: Path, tmp_path: Path) -> Path:
    """A copy of that build, which a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "built"))


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The only line on stderr, an error."""
        (line,) = self.err.strip().splitlines()
        assert line.startswith("million-ird: ")
        return line


@pytest.fixture
def program(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., CommandResult]]:
    """Run `million-ird` with the given arguments."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before, handlers = {number: signal.getsignal(number) for number in numbers}, list(logging.getLogger().handlers)

    def run(*arguments: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["million-ird", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output = capfd.readouterr()
        assert "Traceback" not in output.err
        return CommandResult(int(str(ended.value.code or 0)), output.out, output.err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
    logging.getLogger().handlers = handlers
