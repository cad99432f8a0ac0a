"""Where a network changes hardly anything, the input is kept."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from dynet import DyNet
from dynet.inference.restore import RestoreOptions, restore_rgb
from dynet.inference.unchanged import ROUNDING, WINDOW, keep_unchanged


def noise(side: int, levels: float, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed)) * levels / 255


def test_changes_below_rounding_are_undone_and_others_stay_to_the_bit() -> None:
    image = torch.rand(1, 3, 96, 80, generator=torch.Generator().manual_seed(1))
    change = torch.randn(image.shape, generator=torch.Generator().manual_seed(2)) / 255
    assert torch.equal(keep_unchanged(image, image + 0.2 * change), image)
    assert torch.equal(keep_unchanged(image, image + 0.9 * change), image + 0.9 * change)
    assert torch.equal(keep_unchanged(image, image), image)
    assert keep_unchanged(image, (image + change).bfloat16()).dtype == torch.float32


def test_the_share_is_that_of_the_mean_energy_around_each_pixel() -> None:
    image = torch.zeros(1, 3, 90, 70)
    ramp = torch.linspace(0, 1.2, 70).expand_as(image)
    restored = image + noise(90, 1)[..., :70] * ramp
    energy = (restored - image).square().mean(1)[0].double().numpy()
    inner = slice(WINDOW // 2, -(WINDOW // 2))
    levels = uniform_filter(energy, WINDOW)[inner, inner] ** 0.5 / ROUNDING
    expected = torch.from_numpy((levels - 1).clip(0, 1)) * restored[0, :, inner, inner]
    assert (keep_unchanged(image, restored)[0, :, inner, inner] - expected).abs().max() < 1e-6
    assert 0.1 < float(((levels > 1) & (levels < 2)).mean()) < 0.9


@pytest.mark.parametrize("side", [1, 2, 31, 40])
def test_images_smaller_than_the_window_are_averaged_as_far_as_they_go(side: int) -> None:
    image = torch.full((1, 3, side, side), 0.5)
    assert torch.equal(keep_unchanged(image, image + 0.2 / 255), image)
    assert torch.equal(keep_unchanged(image, image + 0.7 / 255), image + 0.7 / 255)


@pytest.mark.parametrize("tile", [None, 32])
def test_what_is_restored_whole_or_in_tiles_is_kept_so(
    tile: int | None, tiny: DyNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).random((70, 90, 3), np.float32)
    options = RestoreOptions(model=tiny, variants=tiny.variants, device=torch.device("cpu"), tile=tile)
    for levels, kept in ((0.25, True), (0.7, False)):
        monkeypatch.setattr(DyNet, "forward", lambda _self, x, _variant=None, by=levels, **_: x + by / 255)
        restored = restore_rgb(image, tiny.variants[0], options)
        expected = image if kept else image + np.float32(levels / 255)
        assert np.abs(restored - expected).max() < 1e-6
