"""Muon against torch's own Muon and AdamW."""

import pytest
import torch
from torch import Tensor, nn

from dynet import DyNet
from dynet.training.muon import Muon, is_matrix, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (48, 16), (16, 43), (100, 3)])
def test_the_update_is_nearly_orthogonal_and_keeps_the_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    middle = left.T @ orthogonal(matrix) @ right.T
    assert middle.diagonal().min() > 0.6
    assert middle.diagonal().max() < 1.3
    assert (middle - middle.diagonal().diag()).abs().max() < 1e-4


def _steps(optimizer: torch.optim.Optimizer, weight: nn.Parameter, count: int = 5) -> Tensor:
    for seed in range(count):
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("shape", [(24, 8), (8, 24)])
def test_a_convolution_of_1x1_is_updated_as_by_torch(shape: tuple[int, int]) -> None:
    start = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    theirs = nn.Parameter(start.clone())
    reference = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    ours = nn.Parameter(start.clone()[..., None, None])
    result = _steps(Muon([ours], lr=0.01, weight_decay=0.1), ours)[..., 0, 0]
    difference = (result - _steps(reference, theirs)).norm() / (result - start).norm()
    assert difference < 0.02  # torch's is in bfloat16


@pytest.mark.parametrize("shape", [(8,), (8, 1, 3, 3), (1, 8, 1, 1), (3, 5), (5, 4, 8, 8)])
def test_every_other_weight_is_updated_as_by_adamw(shape: tuple[int, ...]) -> None:
    start = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    result = _steps(Muon([ours], lr=0.01, weight_decay=0.1), ours)
    torch.testing.assert_close(result, _steps(torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1), theirs))


def test_in_a_network_all_1x1_convolutions_and_nothing_else_are_matrices(tiny: DyNet) -> None:
    convolutions = {
        module.weight for module in tiny.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)
    }
    assert {weight for weight in tiny.parameters() if is_matrix(weight)} == convolutions


def test_its_state_is_saved_and_loaded(tiny: DyNet) -> None:
    first = Muon(tiny.parameters(), lr=0.01, weight_decay=0.0)
    for weight in tiny.parameters():
        weight.grad = torch.ones_like(weight)
    first.step()
    second = Muon(tiny.parameters(), lr=0.01, weight_decay=0.0)
    second.load_state_dict(first.state_dict())
    for ours, theirs in zip(second.state.values(), first.state.values(), strict=True):
        assert ours.keys() == theirs.keys()
        torch.testing.assert_close(list(ours.values()), list(theirs.values()))


def test_a_closure_is_refused(tiny: DyNet) -> None:
    with pytest.raises(ValueError, match="closure"):
        Muon(tiny.parameters(), lr=0.01, weight_decay=0.0).step(lambda: 0.0)
