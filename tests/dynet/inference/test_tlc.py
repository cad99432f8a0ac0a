"""Attention and prompts that aggregate over windows instead of the whole image."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dynet import SMALL, DyNet
from dynet.inference import banded_forward as bands
from dynet.inference.tlc import WindowAxis, WindowedAttention, blend_by_local_means, use_local_statistics
from dynet.model.prompts import blend_by_global_mean


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int, temperature: Tensor, to_out: Tensor) -> Tensor:
    """Return the attention's output by the paper's formula; q, k: (n, C) of the window's pixels, v: (m, C)."""
    q, k, v = (part.unflatten(1, (heads, -1)).permute(1, 2, 0) for part in (q, k, v))  # (heads, C/heads, n)
    weights = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * temperature).softmax(dim=-1)
    return (weights @ v).flatten(0, 1).T @ to_out.T


@pytest.mark.parametrize(("length", "window"), [(100, 24), (96, 24), (25, 24), (101, 33.5), (24, 24), (7, 24)])
def test_windows_cover_a_side_and_their_weights_add_up_to_one(length: int, window: float) -> None:
    axis = WindowAxis.of(length, window)
    assert (axis.edges[0], axis.edges[-1]) == (0, length)
    assert axis.weights.shape == (max(1, len(axis.cells) - 1), length)
    torch.testing.assert_close(axis.weights.sum(0), torch.ones(length))
    torch.testing.assert_close(axis.mean_matrix().sum(1), torch.ones(len(axis.weights)))
    for number, (first, end) in enumerate(axis.cells):
        assert set(axis.weights[:, first:end].sum(1).nonzero().flatten().tolist()) <= set(axis.windows_of(number))
        assert len(axis.cells) == 1 or abs((end - first) - window / 2) <= window / 4 + 1


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("heads", [1, 2])
def test_each_pixel_is_the_blend_of_the_results_of_its_windows(rows: int, heads: int) -> None:
    height, width, channels, window = 40, 31, 6, 14
    generator = torch.Generator().manual_seed(heads)
    # Statistics that vary over the image.
    slope = torch.linspace(0.2, 3, width).view(1, -1, 1) * torch.rand(height, 1, channels, generator=generator)
    q, k, v = (torch.randn(height, width, channels, generator=generator) * slope for _ in range(3))
    to_out = torch.randn(channels, channels, generator=generator)
    temperature = torch.rand(heads, 1, 1, generator=generator) + 1
    attention = WindowedAttention(window, to_out, heads, height, width)
    out = torch.zeros(height, width, channels)
    for top in range(0, height, rows):
        attention.add(top, q[top : top + rows], k[top : top + rows])
    attention.finish(temperature)
    for top in range(0, height, rows):
        attention.mix(top, v[top : top + rows], out[top : top + rows])

    down, across = WindowAxis.of(height, window), WindowAxis.of(width, window)
    assert len(down.windows) > 2
    expected = torch.zeros_like(out)
    for row in down.windows:
        for column in across.windows:
            inside = (
                slice(down.edges[row], down.edges[row + 2]),
                slice(across.edges[column], across.edges[column + 2]),
            )
            parts = (q[inside].flatten(0, 1), k[inside].flatten(0, 1), v.flatten(0, 1))
            weight = torch.outer(down.weights[row], across.weights[column])
            expected += weight[..., None] * _attention(*parts, heads, temperature, to_out).view(out.shape)
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)


def test_prompts_follow_the_mean_around_each_pixel(tiny: DyNet) -> None:
    block = tiny.prompt_skip2
    left, right = torch.randn(2, 1, 8, 1, 1, generator=torch.Generator().manual_seed(0)).unbind(0)
    x = torch.cat([left.expand(1, 8, 32, 32), right.expand(1, 8, 32, 32)], dim=3)
    with torch.no_grad():
        torch.nn.init.normal_(block.choose.weight, std=2)
        blended = blend_by_local_means(16, block, x)
        of_left, of_right = (blend_by_global_mean(block, part.expand_as(x)) for part in (left, right))
    assert (of_left - of_right).abs().max() > 0.1
    # Pixels further from the middle than a window and half of the next one only see one half of the image.
    torch.testing.assert_close(blended[..., :20], of_left[..., :20], atol=1e-5, rtol=0)
    torch.testing.assert_close(blended[..., -20:], of_right[..., -20:], atol=1e-5, rtol=0)


def test_an_image_no_larger_than_a_window_is_restored_as_without_windows(tiny: DyNet) -> None:
    x = torch.rand(1, 3, 40, 56)
    with torch.inference_mode():
        whole = tiny(x, SMALL)
        use_local_statistics(tiny, 56, torch.float32)
        torch.testing.assert_close(tiny(x, SMALL), whole, atol=1e-5, rtol=0)


def test_local_statistics_change_the_result_and_do_not_depend_on_bands(
    tiny: DyNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.rand(1, 3, 70, 101) * torch.linspace(0, 1, 101)
    with torch.inference_mode():
        whole = tiny(x, SMALL)
        use_local_statistics(tiny, 64, torch.float32)
        local = tiny(x, SMALL)
        assert (local - whole).abs().max() > 1e-3
        monkeypatch.setattr(bands, "_BAND_PIXELS_CPU", 150)
        torch.testing.assert_close(tiny(x, SMALL), local, atol=1e-5, rtol=0)
