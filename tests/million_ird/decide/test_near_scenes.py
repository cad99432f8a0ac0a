"""Near scenes, such as other clothes on a person in the same pose: all kept, or only the best of them."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import million_ird
from million_ird.config.loading import parse
from million_ird.config.recipe import Recipe
from million_ird.decide.verdicts import decide
from million_ird.dedup.verification import Relation, Signature, match_signatures
from million_ird.errors import RecipeError
from million_ird.workflow import Options


def _recipe(near_scenes: str) -> Recipe:
    return parse({"gates": [], "duplicates": {"near_scenes": near_scenes}, "patches": {"size": 64}}, origin="test")


def _relation(one: dict[str, Any], other: dict[str, Any]) -> Relation | None:
    columns = ("frame", "points", "width", "height")
    first, second = (Signature.from_columns(*(row[name] for name in columns)) for row in (one, other))
    match = match_signatures(first, second)
    return None if match is None else match.relation


@pytest.mark.full
def test_of_near_scenes_all_are_kept_or_the_best(shared_data: Path, tmp_path: Path) -> None:
    products = shared_data / "negatives" / "products"
    ledger = million_ird.build(products, tmp_path, recipe=_recipe("keep"), options=Options(workers=0)).ledger()
    table = ledger.with_format("arrow")[:]
    kept = {row["key"]: row for row in table.to_pylist()}
    verdicts = decide(table, _recipe("thin"), 0).to_pylist()
    thinned = dict(zip(table["key"].to_pylist(), verdicts, strict=True))
    assert len(thinned) == 40
    assert {row["reason"] for row in kept.values()} == {None, "duplicate_near"}
    scenes = {key: row for key, row in thinned.items() if row["reason"] == "near_scene"}
    assert len(scenes) >= 3
    for key, row in scenes.items():
        instead = row["duplicate_of"]
        assert kept[key]["verdict"] == thinned[instead]["verdict"] == "kept"
        assert thinned[instead]["cluster"] == row["cluster"] == instead
        assert _relation(kept[key], kept[instead]) is Relation.SCENE
    for key in thinned.keys() - scenes.keys():
        assert thinned[key]["reason"] == kept[key]["reason"]
    # Not every two are compared: only those that share a descriptor.
    all_kept, left = ([key for key, row in rows.items() if row["verdict"] == "kept"] for rows in (kept, thinned))
    assert len(_scenes([kept[key] for key in left])) < len(_scenes([kept[key] for key in all_kept]))


def _scenes(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    found = itertools.combinations(rows, 2)
    return [(one["key"], other["key"]) for one, other in found if _relation(one, other) is Relation.SCENE]


@pytest.mark.parametrize("rules", [{"crops": False}, {"radius": None}])
def test_near_scenes_are_thinned_only_if_they_are_searched(rules: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="near_scenes: thin"):
        parse({"duplicates": {"near_scenes": "thin", **rules}}, origin="test")
