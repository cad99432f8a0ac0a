"""A large network without a GPU: what a step takes is measured and said before the first one."""

import logging
import os
import signal
from dataclasses import dataclass

import pytest
import torch

from dynet.config.recipe import load_recipe
from dynet.config.shipped_recipes import find_recipe
from dynet.errors import OutOfMemory
from dynet.training import first_step
from dynet.training.first_step import StepCost, check_first_step, duration, measure_step
from dynet.training.initial_state import initial_network
from dynet.training.stop_signals import ANSWER, StopSignals


@pytest.fixture(scope="module")
def recipe():  # type: ignore[no-untyped-def]
    return load_recipe(find_recipe("demo_pretrain"), "pretrain", None)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_step, "LARGE_NETWORK", 1)


def test_a_long_run_is_announced_with_its_time_and_the_recipe_for_laptops(  # type: ignore[no-untyped-def]
    recipe, large: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(first_step, "measure_step", lambda *_: StepCost(95.0, 10))
    monkeypatch.setattr(first_step, "LONG", 3600.0)
    with caplog.at_level(logging.WARNING):
        check_first_step(initial_network(recipe, None), recipe, 0, None)
    said = caplog.text
    assert "95 s" in said
    assert f"all {recipe.steps} steps" in said
    assert "dynet_laptop" in said


def test_a_small_network_and_a_finished_run_are_not_measured(recipe, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(first_step, "measure_step", None)
    check_first_step(initial_network(recipe, None), recipe, 0, None)
    monkeypatch.setattr(first_step, "LARGE_NETWORK", 1)
    check_first_step(initial_network(recipe, None), recipe, recipe.steps, None)


def test_what_does_not_fit_into_memory_is_refused_in_one_line(recipe, large: None) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(OutOfMemory, match="dynet_laptop") as refused:
        check_first_step(initial_network(recipe, None), recipe, 0, lambda: 1)
    assert "\n" not in str(refused.value)
    assert "gradient_checkpointing" in str(refused.value)


def test_measuring_changes_nothing(recipe) -> None:  # type: ignore[no-untyped-def]
    model = initial_network(recipe, None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.random.get_rng_state()
    cost = measure_step(model, recipe, 0)
    assert cost.seconds > 0
    assert cost.bytes > 0
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_networks_of_shipped_recipes_fall_on_the_right_side() -> None:
    @dataclass
    class Size:
        name: str
        is_large: bool

    for size in (Size("dynet_pretrain", True), Size("demo_pretrain", False), Size("dynet_laptop", False)):
        stage = "finetune" if size.name == "dynet_laptop" else "pretrain"
        model = initial_network(load_recipe(find_recipe(size.name), stage, None), None)
        count = sum(parameter.numel() for parameter in model.parameters())
        assert (count >= first_step.LARGE_NETWORK) == size.is_large, size.name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.50 s"), (40, "40 s"), (180, "3 min"), (3 * 3600, "3 h"), (12 * 86400, "12 days"), (95e6, "3 years")],
)
def test_times_are_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_first_signal_is_answered_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without it
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == "SIGINT"
        assert capfd.readouterr().err.encode() == ANSWER
        assert b"again to stop now" in ANSWER
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)
