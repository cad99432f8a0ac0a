"""Released weights come over to the last value, and what does not fit is refused in one line."""

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from dynet import LARGE, SMALL, DyNet, Variant
from dynet.convert import DEAD, convert
from dynet.errors import WeightsError
from tests.dynet.released_forward import released_forward

State = dict[str, torch.Tensor]


@pytest.mark.parametrize(("lightning", "variant"), [(False, SMALL), (True, LARGE)], ids=["plain-S", "lightning-L"])
def test_converted_weights_give_what_the_released_names_give(
    tmp_path: Path, random_state: Callable[[int], State], lightning: bool, variant: Variant
) -> None:
    state = random_state(7)
    saved: object = state
    if lightning:
        saved = {"state_dict": {f"net.{name}": tensor for name, tensor in state.items()}, "epoch": 3}
    torch.save(saved, tmp_path / "released.ckpt")
    assert convert(tmp_path / "released.ckpt", tmp_path / "w.safetensors") == list(DEAD)

    model = DyNet.from_pretrained(tmp_path / "w.safetensors")
    x = torch.rand(2, 3, 24, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = released_forward(state, x, astuple(variant.schedule))
        got = model(x, variant)
    assert (expected - x).abs().max() > 0.1  # the random network does something
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=2e-5)


def test_dead_parameters_are_the_112_896_of_three_convolutions(released_shapes: dict[str, tuple[int, ...]]) -> None:
    assert sum(torch.Size(released_shapes[name]).numel() for name in DEAD) == 112_896


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: state.pop("output.weight"), "1 missing, first output.weight"),
        (lambda state: state.update({"extra.weight": torch.zeros(1)}), "1 unknown, first extra.weight"),
        (lambda state: state.update({"output.weight": torch.zeros(3, 96, 1, 1)}), "output.weight is"),
        (lambda state: state.clear(), "no parameter"),
        (lambda state: state.update({"output.weight": 3}), "no state dict"),
    ],
    ids=["missing", "unknown", "shape", "empty", "not tensors"],
)
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, random_state: Callable[[int], State], spoil: Callable[[State], object], message: str
) -> None:
    state = random_state(1)
    spoil(state)
    torch.save(state, tmp_path / "released.ckpt")
    with pytest.raises(WeightsError, match=message) as caught:
        convert(tmp_path / "released.ckpt", tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "w.safetensors").exists()


def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "noise.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match=r"noise\.ckpt is not a checkpoint") as caught:
        convert(tmp_path / "noise.ckpt", tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
