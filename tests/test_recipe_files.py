"""A recipe file that cannot be read gets the same words from both programs, which share no code."""

from pathlib import Path

import pytest

from dynet.config.recipe import load_recipe
from dynet.errors import RecipeError
from million_ird.config.loading import load
from million_ird.errors import RecipeError as BuildRecipeError

UNREADABLE = {
    "a repeated key": b"name: a\nname: b",
    "a repeated key of a section": b"network: {dim: 8, dim: 16}",
    "an impossible date": b"name: 2024-02-30",
    "half a number": b"name: 0x_",
    "a number of 5,000 digits": b"name: " + b"9" * 5000,
    "a tag that does not fit": b"name: !!bool maybe",
    "an open bracket": b"a: [1, 2",
    "a tab": b"\tname: tab",
    "bytes that are not UTF-8": b"name: \xff\xfe",
    "nothing": b"",
    "a list": b"- a list",
    "a sentence": b"just a sentence",
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_both_programs_refuse_a_file_in_the_same_words(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    with pytest.raises(RecipeError) as trained:
        load_recipe(file, "pretrain")
    with pytest.raises(BuildRecipeError) as built:
        load(file)
    assert str(built.value) == f"recipe {trained.value}"
    assert str(trained.value).startswith(f"{file}: ")
