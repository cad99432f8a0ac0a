"""The kinds that a recipe accepts are the kinds that can be opened."""

from pathlib import Path

import pytest

from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import SOURCE_KINDS, SourceSpec
from million_ird.errors import SourceError
from million_ird.sources.registry import OPENERS, SourceContext, absolute, labels, open_sources, source_specs


def test_every_kind_of_a_recipe_has_an_opener_and_no_other_has() -> None:
    assert tuple(OPENERS) == SOURCE_KINDS


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("a.csv", "table"),
        ("s3://bucket/urls/*.parquet", "table"),
        ("shards/{00..12}.tar", "archive"),
        ("photos.ZIP", "archive"),
        ("photos", "files"),
        ("photo.jpg", "files"),
        ("site:https://example.org", "site"),
        ("dataset:user/name", "dataset"),
        ("files:urls.csv", "files"),
    ],
)
def test_the_prefix_decides_the_kind_else_the_file_name(uri: str, kind: str) -> None:
    assert absolute(SourceSpec.model_validate(uri)).kind == kind


@pytest.mark.parametrize("text", ["", *(f"{kind}:" for kind in SOURCE_KINDS)])
def test_a_source_that_names_nothing_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SourceError, match=f"^source {text}: a source is empty"):
        source_specs(Recipe(), [text])


def test_a_folder_may_be_named_like_a_table(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").mkdir()
    assert absolute(SourceSpec(uri=str(tmp_path / "photos.csv"))).kind == "files"


def test_sources_get_labels_as_short_as_possible(tmp_path: Path) -> None:
    for name in ("a/photos/1.jpg", "b/photos/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    specs = [SourceSpec(uri=str(tmp_path / name)) for name in ("a/photos", "b/photos")]
    assert list(open_sources(specs, SourceContext(recipe=Recipe()))) == ["a/photos", "b/photos"]
    assert labels(["/x/a", "/y/b"]) == ["a", "b"]
