import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from dynet import DyNet
from dynet.demo.degradations import Addition
from dynet.demo.restorer import Restorer
from dynet.inference.images import Picture

skimage_metrics = pytest.importorskip("skimage.metrics")
NOISE = Addition("gaussian_noise", 0.5, 4)


def _ignore(note: str, done: float) -> None:
    pass


@pytest.fixture
def restorer(tiny: DyNet) -> Restorer:
    return Restorer(tiny, torch.device("cpu"))


@pytest.fixture
def picture(photographs: list[np.ndarray]) -> Picture:
    return Picture(colour=photographs[0][:50, 100:170].copy(), alpha=None, format="PNG")


def _by_torch(model: DyNet, levels: np.ndarray, scale: int, variant: int) -> np.ndarray:
    """(H, W, 3) restored in one piece by nothing but the network, as samples of the same depth."""
    with torch.inference_mode():
        x = torch.from_numpy(levels.astype(np.float32) / scale).permute(2, 0, 1)[None]
        y = model(x, model.variants[variant])[0].permute(1, 2, 0).numpy()
    return np.rint(np.clip(y, 0, 1) * scale)


def test_without_an_addition_the_picture_itself_is_restored_in_its_own_depth_and_alpha(
    restorer: Restorer, picture: Picture
) -> None:
    deep = replace(picture, colour=picture.colour.astype(np.uint16) * 257 + 5, alpha=np.full((50, 70), 9, np.uint16))
    comparison = restorer.compare(deep, None, restorer.model.variants[:1], _ignore)
    (after,) = comparison.after
    assert comparison.before is deep
    assert (comparison.quality, after.quality) == (None, None)
    assert after.picture.colour.dtype == np.uint16
    assert np.array_equal(after.picture.alpha, deep.alpha)
    assert np.abs(after.picture.colour - _by_torch(restorer.model, deep.colour, 65535, 0)).max() <= 1


def test_with_an_addition_the_degraded_picture_is_restored_and_measured_as_scikit_image_does(
    restorer: Restorer, picture: Picture
) -> None:
    comparison = restorer.compare(picture, NOISE, restorer.model.variants[1:], _ignore)
    noisy = NOISE.apply(picture.colour)
    restored = _by_torch(restorer.model, noisy, 255, 1)
    (after,) = comparison.after
    assert np.array_equal(comparison.before.colour, noisy)
    assert np.abs(after.picture.colour - restored).max() <= 1
    for shown, measured in ((noisy, comparison.quality), (after.picture.colour, after.quality)):
        assert measured is not None
        assert measured.psnr == pytest.approx(
            skimage_metrics.peak_signal_noise_ratio(picture.colour, shown, data_range=255), abs=1e-4
        )
        assert measured.ssim == pytest.approx(
            skimage_metrics.structural_similarity(picture.colour, shown, channel_axis=2, data_range=255), abs=1e-4
        )


def test_an_addition_makes_a_deep_grey_picture_eight_bit_colour_with_its_alpha(restorer: Restorer) -> None:
    grey = Picture(
        colour=np.full((20, 30), 40_000, np.uint16), alpha=np.full((20, 30), 257 * 80, np.uint16), format="PNG"
    )
    before = restorer.compare(grey, NOISE, restorer.model.variants[:1], _ignore).before
    assert before.colour.shape == (20, 30, 3)
    assert before.colour.dtype == before.alpha.dtype == np.uint8
    assert (before.alpha == 80).all()
    assert before.colour.std() > 20  # of independent channels: a mean of three would have 25 / √3


def test_every_variant_asked_for_comes_out_with_its_time_memory_and_tiles(restorer: Restorer, picture: Picture) -> None:
    heard: list[tuple[str, float]] = []
    comparison = restorer.compare(picture, None, restorer.model.variants, lambda note, done: heard.append((note, done)))
    assert [after.variant for after in comparison.after] == ["S", "L"]
    shares = [done for _, done in heard]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5 < shares[-1] <= 1
    assert {note for note, done in heard if done < 0.5} == {"S"}
    assert {note for note, done in heard if done > 0.5} == {"L"}
    for after in comparison.after:
        assert after.tiles == 1
        assert after.seconds > 0
        assert after.peak_bytes is None or after.peak_bytes > 10 * 2**20
    shallow, deep = (after.picture.colour for after in comparison.after)
    assert not np.array_equal(shallow, deep)


def test_tiles_are_counted_where_memory_asks_for_them(
    restorer: Restorer, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynet.inference.restore.choose_tile", lambda *_: 40)
    (after,) = restorer.compare(picture, None, restorer.model.variants[:1], _ignore).after
    assert after.tiles == 4  # 50 × 70 pixels in tiles of 40, two by two


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (6, 6)])
def test_a_picture_smaller_than_the_window_of_ssim_has_none(
    restorer: Restorer, picture: Picture, shape: tuple[int, int]
) -> None:
    small = replace(picture, colour=picture.colour[: shape[0], : shape[1]])
    comparison = restorer.compare(small, NOISE, restorer.model.variants[:1], _ignore)
    assert comparison.after[0].picture.colour.shape == (*shape, 3)
    assert comparison.quality is not None
    assert comparison.quality.ssim is None


def test_two_callers_are_served_one_after_the_other(restorer: Restorer, picture: Picture) -> None:
    heard: list[int] = []

    def restore(caller: int) -> None:
        restorer.compare(picture, None, restorer.model.variants[:1], lambda *_: heard.append(caller * restorer.busy))

    callers = [threading.Thread(target=restore, args=(number,)) for number in (1, 2, 3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    changes = sum(one != other for one, other in pairwise(heard))
    assert (set(heard), changes) == ({1, 2, 3}, 2)
    assert not restorer.busy
