"""What is said on stdout, to people and to scripts."""

import json

import pytest

from million_ird.cli import terminal


class _Named:
    text = ":warning:.jpg [bold]"

    def as_json(self) -> dict[str, object]:
        return {"file": self.text, "also": "écran"}


def test_a_name_is_shown_as_it_is_whatever_it_looks_like(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.emit(_Named(), as_json=False)
    terminal.error(_Named.text)
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{_Named.text}\n", f"{_Named.text}\n")


def test_a_script_gets_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.emit(_Named(), as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == _Named().as_json()
