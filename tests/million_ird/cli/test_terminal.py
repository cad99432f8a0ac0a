"""What the command line prints, for people and for scripts."""

import json

import pytest

from million_ird.cli import terminal


class _Result:
    text = ":warning:.jpg [bold]"

    def as_json(self) -> dict[str, object]:
        return {"file": self.text, "also": "écran"}


def test_names_that_look_like_markup_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.emit(_Result(), as_json=False)
    terminal.error(_Result.text)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{_Result.text}\n", f"{_Result.text}\n")


def test_json_output_is_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.emit(_Result(), as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == _Result().as_json()
