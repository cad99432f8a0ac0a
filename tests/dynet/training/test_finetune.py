"""What a task of fine-tuning does to a crop, and which keys a recipe may give it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from dynet.config.recipe import FinetuneRecipe, load_recipe
from dynet.degradations.gaussian_noise import gaussian_noise
from dynet.degradations.jpeg import jpeg
from dynet.errors import RecipeError
from dynet.runtime.rng import generator
from dynet.training.finetune import tasks

NOISE = {"kind": "gaussian_noise", "sigma": 20}


@pytest.fixture
def recipe(tmp_path: Path, recipe_text: Callable[..., str]) -> Callable[..., FinetuneRecipe]:
    def make(**task: object) -> FinetuneRecipe:
        text = yaml.safe_load(recipe_text("finetune")) | {"tasks": {"photo": task}}
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(text))
        loaded = load_recipe(tmp_path / "r.yaml", "finetune")
        assert isinstance(loaded, FinetuneRecipe)
        return loaded

    return make


def test_then_degrades_what_the_first_degradation_has_made(recipe: Callable[..., FinetuneRecipe]) -> None:
    (task,) = tasks(recipe(degradations=[NOISE], then=[{"kind": "jpeg", "quality": 30}]))
    crop = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    assert task.degrade is not None
    result = task.degrade(crop, generator(0, "test"))
    random = generator(0, "test")
    random.choice(1, p=[1.0])  # one of one degradation
    noisy = gaussian_noise(crop, random, sigma=float(random.uniform(20, 20)))
    assert np.array_equal(result, jpeg(noisy, random, quality=30))


def test_then_decides_the_weights_and_its_absence_leaves_older_digests(recipe: Callable[..., FinetuneRecipe]) -> None:
    without, with_jpeg = (
        recipe(degradations=[NOISE]),
        recipe(degradations=[NOISE], then=[{"kind": "jpeg", "quality": 30}]),
    )
    assert "then" not in without.decisive_keys()["tasks"]["photo"]
    assert with_jpeg.decisive_keys()["tasks"]["photo"]["then"] == [{"kind": "jpeg", "weight": 1.0, "quality": [30, 30]}]
    assert "distil_from_step" not in without.decisive_keys()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"pairs": True, "then": [NOISE]}, "pairs are degraded already"),
        ({"degradations": [NOISE], "then": [{"kind": "jpg"}]}, "kind must be one of"),
        ({"then": [NOISE]}, "either degradations or pairs"),
    ],
)
def test_a_wrong_then_is_an_error_that_says_why(
    recipe: Callable[..., FinetuneRecipe], task: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(**task)
