"""Norms and temperatures per repeat: nothing until they are learnt, loaded from weights without, a gradient for all."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from dynet import LARGE, SMALL, DyNet, ReuseSchedule, Variant
from dynet.errors import WeightsError
from dynet.model.weights import METADATA_KEY, Architecture

TINY = {"dim": 4, "heads": (1, 1, 2, 2), "prompts": 3, "prompt_channels": (4, 4, 8), "prompt_sizes": (8, 4, 2)}


def _own(repeats: int, seed: int | None = None) -> DyNet:
    """A tiny network with so many repeats of its own; with a seed their differences are random."""
    torch.manual_seed(0)
    model = DyNet(**TINY, refinement_blocks=1, per_repeat=repeats).eval()
    if seed is not None:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, deltas in model.named_parameters():
                if ".repeat_" in name:
                    deltas.copy_(torch.randn(deltas.shape, generator=random) * 0.3)
    return model


def _picture() -> Tensor:
    return torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def test_eight_repeats_at_full_width_are_35_504_parameters_more() -> None:
    with torch.device("meta"):
        count = [sum(parameter.numel() for parameter in DyNet(per_repeat=own).parameters()) for own in (0, 8)]
    assert count[1] - count[0] == 35_504


def test_without_untied_repeats_names_and_header_are_unchanged(tiny: DyNet, tmp_path: Path) -> None:
    assert not [name for name in tiny.state_dict() if "repeat" in name]
    tiny.save(tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", framework="np") as file:
        about = json.loads(file.metadata()[METADATA_KEY])
    assert set(about["architecture"]) == {*TINY, "refinement_blocks"}


@torch.no_grad()
def test_new_untied_repeats_change_nothing_bitwise(tiny: DyNet, tmp_path: Path) -> None:
    tiny.save(tmp_path / "w.safetensors")
    own = DyNet.from_pretrained(tmp_path / "w.safetensors", per_repeat=3)
    assert own.architecture.per_repeat == 3
    for variant in (SMALL, LARGE):
        assert torch.equal(own(_picture(), variant), tiny(_picture(), variant))


@torch.no_grad()
def test_each_repeat_uses_its_own_row_and_later_ones_the_last() -> None:
    model = _own(2, seed=5)
    block = model.encoder2
    x = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    expected = x
    for row in (0, 1, 1, 1):
        shared = DyNet(**TINY, refinement_blocks=1).encoder2
        state = {name: tensor for name, tensor in block.state_dict().items() if ".repeat_" not in name}
        for name in list(state):
            deltas = block.state_dict().get(".repeat_".join(name.rsplit(".", 1)))
            if deltas is not None:
                state[name] = state[name] + deltas[row].view_as(state[name])
        shared.load_state_dict(state)
        expected = shared(expected)
    torch.testing.assert_close(block(x, 4), expected, atol=1e-6, rtol=1e-6)
    assert (block(x, 2) - block(block(x))).abs().max() > 1e-3  # the second repeat is not the first again


@torch.no_grad()
def test_untied_repeats_are_loaded_bitwise_and_can_be_extended(tmp_path: Path) -> None:
    model = _own(2, seed=5)
    model.save(tmp_path / "w.safetensors")
    again = DyNet.from_pretrained(tmp_path / "w.safetensors")
    assert again.architecture == model.architecture
    grown = DyNet.from_pretrained(tmp_path / "w.safetensors", per_repeat=5)
    for other in (again, grown):
        assert torch.equal(other(_picture(), LARGE), model(_picture(), LARGE))
    with pytest.raises(WeightsError, match=r"w\.safetensors: its per_repeat of 2 does not go into 1"):
        DyNet.from_pretrained(tmp_path / "w.safetensors", per_repeat=1)


@pytest.mark.parametrize("levels", [(1, 1, 1, 1), (2, 3, 1, 5)])
def test_every_untied_repeat_gets_a_gradient_which_is_zero_if_not_used(
    levels: tuple[int, int, int, int],
) -> None:
    model = _own(4)  # more rows than either variant has repeats at some level
    model(_picture(), Variant("v", ReuseSchedule(*levels))).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    rows = model.encoder1.norm_attention.repeat_weight.grad.abs().sum(1) > 0  # type: ignore[union-attr]
    assert rows.tolist() == [number < levels[0] for number in range(4)]


def test_checkpointing_gives_untied_repeats_the_same_gradients_bitwise() -> None:
    gradients = []
    for saving in (False, True):
        model = _own(3, seed=5)
        model.gradient_checkpointing = saving
        model(_picture(), LARGE).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))  # type: ignore[arg-type]


def test_a_negative_number_of_untied_repeats_is_an_error() -> None:
    with pytest.raises(ValueError, match="per_repeat must be a whole number from 0"):
        Architecture(**TINY, refinement_blocks=1, per_repeat=-1)  # type: ignore[arg-type]
