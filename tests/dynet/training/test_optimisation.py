"""The optimiser, its learning rate at each step, and the average of the weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dynet import DyNet
from dynet.config.recipe import AnyRecipe, load_recipe
from dynet.training.muon import Muon
from dynet.training.optimisation import AveragedNetwork, learning_rate, make_optimizer

Text = Callable[..., str]


@pytest.fixture
def recipe(tmp_path: Path, recipe_text: Text) -> Callable[..., AnyRecipe]:
    def make(stage: str = "finetune", **keys: object) -> AnyRecipe:
        (tmp_path / "r.yaml").write_text(recipe_text(stage, **keys))
        return load_recipe(tmp_path / "r.yaml", stage)

    return make


def test_the_rate_rises_from_above_zero_and_its_cosine_ends_with_the_run(recipe: Callable[..., AnyRecipe]) -> None:
    settings = recipe(steps=100, warmup_steps=10, learning_rate=2e-4)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert min(rates) > 0
    assert all(np.diff(rates[:11]) > 0)
    assert rates[10] == pytest.approx(2e-4)
    assert all(np.diff(rates[10:]) < 0)
    assert rates[-1] < 1e-6 < rates[-10]


def test_without_a_warm_up_the_rate_starts_at_its_peak(recipe: Callable[..., AnyRecipe]) -> None:
    assert learning_rate(recipe(steps=5, warmup_steps=0, learning_rate=1.0), 0) == 1.0


def test_a_constant_rate_is_reached_by_the_warm_up_and_stays(recipe: Callable[..., AnyRecipe]) -> None:
    settings = recipe("pretrain", steps=9, warmup_steps=3, learning_rate=1.0)
    assert [learning_rate(settings, step) for step in range(9)] == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 6])


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("muon", Muon)])
def test_the_optimiser_is_that_of_the_recipe(
    recipe: Callable[..., AnyRecipe], tiny: DyNet, name: str, kind: type[torch.optim.Optimizer]
) -> None:
    optimizer = make_optimizer(recipe(optimizer=name, weight_decay=0.5), tiny, torch.device("cpu"))
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.5


def test_the_average_is_the_weighted_sum_of_all_weights_so_far(tiny: DyNet) -> None:
    average = AveragedNetwork(tiny, 0.9)
    expected = tiny.output.weight.detach().clone()
    for step in range(200):
        with torch.no_grad():
            tiny.output.weight.add_(0.1)
        average.update(tiny, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * tiny.output.weight.detach()
    torch.testing.assert_close(average.network.output.weight, expected)
    assert not torch.equal(average.network.output.weight, tiny.output.weight)
