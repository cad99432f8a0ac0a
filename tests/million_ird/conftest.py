"""A folder of pictures and a build of it, made once; the command line, called in this process."""

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
    """Pictures of every fate; nobody changes them."""
    return scenes.lay_out(tmp_path_factory.mktemp("pictures") / "pictures")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A build of them; nobody changes it."""
    out = tmp_path_factory.mktemp("finished") / "out"
    scenes.make(pictures, out)
    return out


@pytest.fixture
def built(finished: Path, tmp_path: Path) -> Path:
    """A copy of that build, to spoil."""
    return Path(shutil.copytree(finished, tmp_path / "built"))


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error."""
        (line,) = self.err.strip().splitlines()
        assert line.startswith("million-ird: ")
        return line


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Said]]:
    """Runs `million-ird` with the given arguments."""
    before, handlers = signal.getsignal(signal.SIGTERM), list(logging.getLogger().handlers)

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["million-ird", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return Said(int(str(ended.value.code or 0)), said.out, said.err)

    yield run
    signal.signal(signal.SIGTERM, before)
    logging.getLogger().handlers = handlers
