"""Names of files with escape sequences, newlines and formulas, through the commands that print or list names."""

import csv
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.cli import app
from dynet.errors import DataError
from dynet.runtime.printable import printable, printable_lines

Command = Callable[..., tuple[int, str, str]]
HOSTILE = (
    "\x1b[2J\x1b[1;1Hgone", "\x1b]0;title\x07", "two\nlines", "back\rover", "\x9b31mred", "gpj.\u202etxt",
    "line\u2028separator", "[red]", "delete\x7f",
)  # fmt: skip
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", '=HYPERLINK("http:x","y")')


def is_safe(text: str) -> bool:
    return not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c in "\u202e\u2028" for c in text)


@pytest.fixture
def hostile_images(tmp_path: Path) -> Path:
    folder = tmp_path / "im\x1b[31mages"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number, name in enumerate(HOSTILE):
        if number % 3 == 2:
            (folder / f"{name}.png").write_bytes(b"broken")
        else:
            Image.fromarray(noise.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def test_every_character_is_shown_or_escaped() -> None:
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    assert is_safe(printable(every))
    assert "\n" not in printable(every)
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_restore_prints_no_name_that_a_terminal_obeys(
    options: tuple[str, ...], hostile_images: Path, tiny_weights: Path, tmp_path: Path, dynet_command: Command
) -> None:
    out = tmp_path / "out"
    arguments = ("restore", hostile_images, "--weights", tiny_weights, "--out", out, "--device", "cpu", *options)
    code, printed, errors = dynet_command(*arguments)
    assert code == 1
    assert is_safe(printed)
    assert is_safe(errors)
    assert "\\x1b[2J" in printed or json.loads(printed.splitlines()[0])
    assert not any(line.startswith("lines") for line in (printed + errors).splitlines())


def test_errors_name_hostile_paths_on_one_line(dynet_command: Command, tmp_path: Path) -> None:
    missing = tmp_path / "no\x1b[2J\nfile\u202e"
    for arguments in (
        ("restore", missing, "--weights", missing, "--out", tmp_path / "out"),
        ("evaluate", "--weights", missing, "--benchmark", f"x={missing}", "--protocol", "strict"),
        ("train", "--data", missing, "--stage", "finetune", "--out", tmp_path / "run"),
        ("export", "--weights", missing, "--format", "onnx", "--out", tmp_path / "x.onnx"),
        ("convert", missing, "--out", tmp_path / "w.safetensors"),
    ):
        code, _, errors = dynet_command(*arguments)
        assert code in {1, 2}
        assert is_safe(errors)
        assert errors.count("\n") == 1, errors


def test_an_error_names_the_whole_of_a_path_with_several_lines(dynet_command: Command, tmp_path: Path) -> None:
    missing = tmp_path / "first\nsecond\u2028third"
    code, _, errors = dynet_command("restore", missing, "--out", tmp_path / "out")
    assert (code, errors) == (2, f"dynet: {printable(missing)}: no such file or folder\n")
    missing.mkdir()
    code, _, errors = dynet_command("degrade", missing, "--out", tmp_path / "out")
    assert (code, errors) == (2, f"dynet: {printable(missing)}: the folder contains no images\n")


def test_an_error_of_a_data_loading_process_is_its_message_alone() -> None:
    with pytest.raises(DataError) as caught:
        raise DataError("a\nb.png: is broken")
    shown = "".join(traceback.format_exception(caught.value))
    wrapped = DataError(f"Caught DataError in DataLoader worker process 0.\nOriginal {shown}")  # as torch raises it
    assert app._one_line(wrapped) == "a\nb.png: is broken"


def test_names_in_tables_are_no_formulas(tiny_weights: Path, tmp_path: Path, dynet_command: Command) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in FORMULAS:
        Image.fromarray(np.full((16, 16, 3), 128, np.uint8)).save(folder / f"{name.replace('/', '_')}.png")
    arguments = ("--weights", tiny_weights, "--benchmark", f"@SUM={folder}", "--protocol", "strict", "--sigma", "25")
    code, _, errors = dynet_command("evaluate", *arguments, "--out", tmp_path / "out", "--device", "cpu")
    assert code == 0, errors
    with (tmp_path / "out" / "per_image.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    cells = {cell for row in rows for cell in row}
    assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r＝") and not _is_number(cell)]
    assert {f"'{name}.png" for name in FORMULAS} | {"'@SUM"} <= cells


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
