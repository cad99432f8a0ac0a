"""What weights are meant for, in plain words."""

from pathlib import Path

import pytest

from dynet.config.recipe import FinetuneRecipe, load_recipe
from dynet.degradations.registry import DEGRADATIONS
from dynet.model import meant_for as module
from dynet.model.meant_for import meant_for
from dynet.model.training_record import TrainingRecord
from tests.dynet.config.test_recipe import SHIPPED


def record(tasks: dict[str, object]) -> TrainingRecord:
    return TrainingRecord(steps=1, recipe={"stage": "finetune", "steps": 1, "tasks": tasks}, data_sets=())


def test_every_degradation_has_a_plain_name_and_a_parameter_of_its_own() -> None:
    assert module._PLAIN.keys() == DEGRADATIONS.keys()
    for kind, (words, parameter, called) in module._PLAIN.items():
        assert words
        assert parameter in DEGRADATIONS[kind].LIMITS or (parameter, called, kind) == ("", "", "none")


def test_each_kind_is_named_once_with_its_ranges_joined() -> None:
    strong, weak = ({"kind": "gaussian_noise", "sigma": sigma, "weight": 1} for sigma in ([10, 55.5], [0, 12]))
    after = {"kind": "jpeg", "quality": [50, 98]}
    tasks = {
        "a": {"pairs": False, "degradations": [strong, {"kind": "jpeg", "quality": [30, 30]}]},
        "b": {"degradations": [weak], "then": [after, {"kind": "none"}]},
        "b2": {"degradations": [{"kind": "jpeg", "quality": [70, 90]}, strong], "then": [after]},
        "c": {"degradations": [{"kind": "none"}], "then": [{"kind": "none"}, {"kind": "webp", "quality": [5, 60]}]},
        "d": {"pairs": True},
        "e": {"degradations": [{"kind": "old_film", "scratches": [1, 2]}]},
    }
    assert meant_for(record(tasks)) == [
        "Gaussian noise (σ 0 to 55.5), also followed by JPEG compression (quality 50 to 98)",
        "JPEG compression (quality 30 and 70 to 90), also followed by JPEG compression (quality 50 to 98)",
        "clean images, also followed by WebP compression (quality 5 to 60)",
        "what the pairs of task d show",
        "old film",
    ]


def test_nothing_is_said_of_weights_without_tasks() -> None:
    assert meant_for(None) == []
    assert meant_for(TrainingRecord(steps=1, recipe={"stage": "pretrain", "steps": 1}, data_sets=())) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_recipe_says_what_its_weights_are_for(path: Path) -> None:
    stage = "finetune" if "stage: finetune" in path.read_text() else "pretrain"
    recipe = load_recipe(path, stage)
    phrases = meant_for(TrainingRecord(steps=1, recipe=recipe.decisive_keys(), data_sets=()))
    assert bool(phrases) == isinstance(recipe, FinetuneRecipe)
