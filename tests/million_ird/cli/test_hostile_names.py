"""Names of files with escape sequences, newlines and reversed text, through every command that prints names."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from million_ird.printable import printable, printable_json, printable_lines
from tests.million_ird.test_web_build import encoded

HOSTILE = (
    "\x1b[2J\x1b[1;1Hgone", "\x1b]0;title\x07", "two\nlines", "back\rover", "tab\tular", "\x9b31mred", "bell\x07",
    "gpj.\u202etxt", "\u2066isolate", "line\u2028separator", "delete\x7f", "\x1b]52;c;cm0gLXJm\x07", "nul-like\x01",
    "\u200freverse",
)  # fmt: skip
FORBIDDEN = {"\u2028", "\u2029"}


def is_safe(text: str) -> bool:
    """Return whether a terminal shows every character; written with categories of Unicode, not with our table."""
    return not any(
        (unicodedata.category(character) == "Cc" and character != "\n")
        or unicodedata.bidirectional(character) in {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
        or character in FORBIDDEN
        for character in text
    )


def test_every_character_is_shown_or_escaped() -> None:
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    assert is_safe(printable(every))
    assert "\n" not in printable(every)
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"
    assert is_safe(printable_json({"name": every}))
    assert json.loads(printable_json({"name": every})) == {"name": every}
    assert printable("écran 写真 😀 \\x") == "écran 写真 😀 \\x"


def command(*arguments: object, expected: set[int]) -> str:
    """Run a command in its own process and return all that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", "from million_ird.cli.app import main; main()", *map(str, arguments)],
        capture_output=True,
        timeout=300,
    )
    printed = (done.stdout + done.stderr).decode(errors="surrogateescape")
    assert done.returncode in expected, printed
    return printed


@pytest.mark.timeout(600)
@pytest.mark.full
def test_no_command_prints_what_a_terminal_obeys(tmp_path: Path) -> None:
    source, out = tmp_path / "so\x1b[31murce", tmp_path / "out"
    source.mkdir()
    for number, name in enumerate(HOSTILE):
        (source / f"{name}.png").write_bytes(encoded(number) if number % 2 else b"\x89PNG\r\n\x1a\n broken")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("patches: {size: 16}\nlimits: {failed_share: 1}\nduplicates: {radius: null}\n")
    printed = [
        command("plan", "--sources", source, "--out", out, "--recipe", recipe, expected={0}),
        command("build", "--sources", source, "--out", out, "--recipe", recipe, "--workers", 0, expected={0}),
        command("status", out, expected={0}),
        command("verify", out, expected={0, 1}),
        command("explain", out, "\x1b[2Jnothing\nhere", expected={2}),
        command("build", "--sources", tmp_path / "not\x1b[2J\nthere", "--out", out, expected={1, 2}),
        command(
            "build", "--sources", source, "--out", out, "--recipe", tmp_path / "no\x1b[2J\nrecipe", expected={1, 2}
        ),
        command("score", "--metrics", "laplacian_variance", *sorted(source.iterdir()), expected={0, 1}),
        command("score", "--metrics", "laplacian_variance", "--json", *sorted(source.iterdir()), expected={0, 1}),
    ]
    printed += [
        command("explain", out, f"{name}.png", *options, expected={0, 2})
        for name in (HOSTILE[0], HOSTILE[2], HOSTILE[5])
        for options in ((), ("--json",))
    ]
    assert all(is_safe(text) for text in printed), [text for text in printed if not is_safe(text)][:1]
    assert any(ascii(HOSTILE[0])[1:-1] in text for text in printed)
    assert not any(line.startswith("lines") for text in printed for line in text.splitlines())
    assert sorted(os.listdir(tmp_path)) == sorted([source.name, "out", "recipe.yaml"])
