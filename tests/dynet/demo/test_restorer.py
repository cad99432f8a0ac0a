import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from dynet import DyNet
from dynet.degradations.strengths import AddedDegradation
from dynet.demo.restorer import Restorer, degrade_image
from dynet.inference.decoded_image import DecodedImage

skimage_metrics = pytest.importorskip("skimage.metrics")
NOISE = AddedDegradation("gaussian_noise", 0.5, 4)


def _ignore(note: str, done: float) -> None:
    pass


@pytest.fixture
def restorer(tiny: DyNet) -> Restorer:
    return Restorer(tiny, torch.device("cpu"))


@pytest.fixture
def image(photographs: list[np.ndarray]) -> DecodedImage:
    return DecodedImage(colour=photographs[0][:50, 100:170].copy(), alpha=None, format="PNG")


def _restored_by_torch(model: DyNet, samples: np.ndarray, scale: int, variant: int) -> np.ndarray:
    """Restore (H, W, 3) samples whole with only the network, at the same bit depth."""
    with torch.inference_mode():
        x = torch.from_numpy(samples.astype(np.float32) / scale).permute(2, 0, 1)[None]
        y = model(x, model.variants[variant])[0].permute(1, 2, 0).numpy()
    return np.rint(np.clip(y, 0, 1) * scale)


def test_without_a_degradation_the_image_keeps_its_bit_depth_and_alpha(restorer: Restorer, image: DecodedImage) -> None:
    deep = replace(image, colour=image.colour.astype(np.uint16) * 257 + 5, alpha=np.full((50, 70), 9, np.uint16))
    comparison = restorer.compare(deep, None, restorer.model.variants[:1], _ignore)
    (result,) = comparison.results
    assert comparison.before is deep
    assert (comparison.quality, result.quality) == (None, None)
    assert result.image.colour.dtype == np.uint16
    assert np.array_equal(result.image.alpha, deep.alpha)
    assert np.abs(result.image.colour - _restored_by_torch(restorer.model, deep.colour, 65535, 0)).max() <= 1


@pytest.mark.parametrize("colours", [b"GRAY", b"RGB "])
def test_a_degraded_image_keeps_only_a_profile_of_colours(image: DecodedImage, colours: bytes) -> None:
    profile = bytes(16) + colours + bytes(108)
    degraded = degrade_image(replace(image, colour=image.colour[..., 0], metadata={"icc_profile": profile}), NOISE)
    assert degraded.colour.shape == (50, 70, 3)
    assert degraded.metadata.get("icc_profile") == (None if colours == b"GRAY" else profile)


def test_the_quality_of_the_degraded_and_restored_image_equals_that_of_scikit_image(
    restorer: Restorer, image: DecodedImage
) -> None:
    comparison = restorer.compare(image, NOISE, restorer.model.variants[1:], _ignore)
    noisy = NOISE.apply(image.colour)
    restored = _restored_by_torch(restorer.model, noisy, 255, 1)
    (result,) = comparison.results
    assert np.array_equal(comparison.before.colour, noisy)
    assert np.abs(result.image.colour - restored).max() <= 1
    for samples, measured in ((noisy, comparison.quality), (result.image.colour, result.quality)):
        assert measured is not None
        assert measured.psnr == pytest.approx(
            skimage_metrics.peak_signal_noise_ratio(image.colour, samples, data_range=255), abs=1e-4
        )
        assert measured.ssim == pytest.approx(
            skimage_metrics.structural_similarity(image.colour, samples, channel_axis=2, data_range=255), abs=1e-4
        )


def test_a_degradation_turns_16_bit_grey_into_8_bit_colour_with_alpha(restorer: Restorer) -> None:
    grey = DecodedImage(
        colour=np.full((20, 30), 40_000, np.uint16), alpha=np.full((20, 30), 257 * 80, np.uint16), format="PNG"
    )
    before = restorer.compare(grey, NOISE, restorer.model.variants[:1], _ignore).before
    assert before.colour.shape == (20, 30, 3)
    assert before.colour.dtype == before.alpha.dtype == np.uint8
    assert (before.alpha == 80).all()
    assert before.colour.std() > 20  # the channels are independent: their mean would have 25 / √3


def test_every_variant_has_a_result_with_time_memory_and_tiles(restorer: Restorer, image: DecodedImage) -> None:
    reports: list[tuple[str, float]] = []
    comparison = restorer.compare(image, None, restorer.model.variants, lambda note, done: reports.append((note, done)))
    assert [result.variant for result in comparison.results] == ["S", "L"]
    fractions = [done for _, done in reports]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.5 < fractions[-1] <= 1
    assert {note for note, done in reports if done < 0.5} == {"S"}
    assert {note for note, done in reports if done > 0.5} == {"L"}
    for result in comparison.results:
        assert result.tiles == 1
        assert result.seconds > 0
        assert result.peak_bytes is None or result.peak_bytes > 10 * 2**20
    shallow, deep = (result.image.colour for result in comparison.results)
    assert not np.array_equal(shallow, deep)


def test_tiles_are_counted(restorer: Restorer, image: DecodedImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynet.inference.restore.choose_tile", lambda *_: 40)
    (result,) = restorer.compare(image, None, restorer.model.variants[:1], _ignore).results
    assert result.tiles == 4  # 50 × 70 pixels in tiles of 40, two by two


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (6, 6)])
def test_an_image_smaller_than_the_window_of_ssim_has_no_ssim(
    restorer: Restorer, image: DecodedImage, shape: tuple[int, int]
) -> None:
    small = replace(image, colour=image.colour[: shape[0], : shape[1]])
    comparison = restorer.compare(small, NOISE, restorer.model.variants[:1], _ignore)
    assert comparison.results[0].image.colour.shape == (*shape, 3)
    assert comparison.quality is not None
    assert comparison.quality.ssim is None


def test_concurrent_callers_are_served_one_after_the_other(restorer: Restorer, image: DecodedImage) -> None:
    reports: list[int] = []

    def restore(caller: int) -> None:
        restorer.compare(image, None, restorer.model.variants[:1], lambda *_: reports.append(caller * restorer.busy))

    callers = [threading.Thread(target=restore, args=(number,)) for number in (1, 2, 3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    changes = sum(first != second for first, second in pairwise(reports))
    assert (set(reports), changes) == ({1, 2, 3}, 2)
    assert not restorer.busy
