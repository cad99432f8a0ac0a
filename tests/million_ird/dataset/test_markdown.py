"""Texts from outside in Markdown."""

import re

import pytest

from million_ird.dataset.markdown import NAMELESS, escape_markdown, plain_line
from tests.million_ird.reporting.written_cards import HOSTILE_TEXTS, CardReader


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_an_escaped_text_is_shown_as_it_is(text: str) -> None:
    shown = plain_line(text)
    assert "\n" not in shown
    assert not re.search("[\x00-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\xad]", shown)
    assert 0 < len(shown) <= 120
    read = CardReader(f"---\n---\n# {escape_markdown(text)}\n\n| a | b |\n|---|---|\n| {escape_markdown(text)} | 2 |\n")
    assert read.headings() == [shown]
    assert read.rows() == [["a", "b"], [shown, "2"]]
    assert read.links == []
    assert read.html == []
    assert "www.evil" not in escape_markdown(text)
    assert not re.search(r"(?<!\\)://", escape_markdown(text))


def test_a_line_without_visible_characters_has_a_placeholder() -> None:
    assert plain_line("\u202e\u200b") == NAMELESS
