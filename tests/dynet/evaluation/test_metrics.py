"""PSNR and SSIM against scikit-image, and the metrics of pyiqa."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dynet.errors import UsageError
from dynet.evaluation.metrics import psnr, ssim
from dynet.evaluation.pyiqa_metrics import load_metrics

ImagePair = tuple[np.ndarray, np.ndarray]
CPU = torch.device("cpu")


def assert_as_scikit_image(image: np.ndarray, clean: np.ndarray) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    assert abs(psnr(image, clean) - skimage.peak_signal_noise_ratio(clean, image, data_range=1)) < 1e-4
    theirs = skimage.structural_similarity(clean, image, data_range=1, channel_axis=-1)
    assert abs(ssim(image, clean) - theirs) < 1e-4


def degraded_pairs(photograph: np.ndarray) -> list[ImagePair]:
    """Return pairs of a photograph with noise, blurred, darkened or in coarse levels, and the clean one."""
    clean = photograph.astype(np.float32) / 255
    noise = np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    blurred = (clean + np.roll(clean, 1, 0) + np.roll(clean, 2, 1)) / 3
    return [
        (np.clip(clean + 0.004 * noise, 0, 1), clean),
        (np.clip(clean + 0.2 * noise, 0, 1), clean),
        (blurred, clean),
        (clean * 0.4, clean),
        (np.round(clean * 4) / 4, clean),
    ]


def test_photographs_have_the_values_of_scikit_image(photographs: list[np.ndarray]) -> None:
    for photograph in photographs[:2]:
        for pair in degraded_pairs(photograph[:301, :223]):
            assert_as_scikit_image(*pair)


@pytest.mark.parametrize(
    "shape",
    # 38 and 39 rows are one band of rows, and one row more; 70 and 71 are two.
    [(7, 7), (7, 90), (90, 7), (8, 11), (38, 20), (39, 20), (70, 33), (71, 33), (64, 200), (321, 81)],
    ids=str,
)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_random_pairs_of_every_size_have_the_values_of_scikit_image(shape: tuple[int, int], kind: type) -> None:
    random = np.random.default_rng(shape[0])
    clean = random.random((*shape, 3)).astype(kind)
    assert_as_scikit_image(random.random((*shape, 3)).astype(kind), clean)
    assert_as_scikit_image(np.clip(clean + 0.05 * random.standard_normal(clean.shape), 0, 1).astype(kind), clean)


def test_flat_images_and_one_channel_have_the_values_of_scikit_image() -> None:
    bright, dark = np.full((40, 50, 3), 0.999), np.full((40, 50, 3), 0.2)
    assert_as_scikit_image(dark, bright)
    assert_as_scikit_image(bright - 1e-4, bright)
    assert_as_scikit_image(dark[..., :1], bright[..., :1])


def test_equal_images_have_infinite_psnr_and_ssim_one(photographs: list[np.ndarray]) -> None:
    image = photographs[0].astype(np.float32) / 255
    assert psnr(image, image.copy()) == math.inf
    assert ssim(image, image.copy()) == pytest.approx(1, abs=1e-12)


def test_images_that_cannot_be_compared_are_refused() -> None:
    whole, narrow = np.zeros((8, 8, 3)), np.zeros((8, 6, 3))
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match="one shape"):
            measure(whole, narrow)
    with pytest.raises(ValueError, match="at least 7"):
        ssim(narrow, narrow)
    assert psnr(narrow, narrow + 0.1) == pytest.approx(20)


def test_a_metric_has_the_value_of_pyiqa_and_stdout_stays_clean(
    photographs: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    pyiqa = pytest.importorskip("pyiqa")
    image, clean = degraded_pairs(photographs[0][:96, :128])[1]
    gmsd, similarity, entropy = load_metrics("gmsd, ssim,entropy", CPU)
    assert (gmsd.name, gmsd.lower_is_better, gmsd.needs_clean) == ("gmsd", True, True)
    assert (similarity.name, similarity.lower_is_better) == ("pyiqa-ssim", False)  # our column of that name stays ours
    assert not entropy.needs_clean
    x, y = (torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None] for pixels in (image, clean))
    assert gmsd.measure(image, clean) == pytest.approx(float(pyiqa.create_metric("gmsd", device=CPU)(x, y)))
    assert similarity.measure(image, clean) == pytest.approx(float(pyiqa.create_metric("ssim", device=CPU)(x, y)))
    assert entropy.measure(image, clean) == pytest.approx(float(pyiqa.create_metric("entropy", device=CPU)(x)))
    assert gmsd.measure(image, clean) > gmsd.measure(clean, clean)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("lpisp", "no such metric; did you mean lpips?"),
        ("gmsd,", "no such metric"),
        ("fid", "a whole set"),
        ("gmsd,ssim,gmsd", "twice"),
    ],
)
def test_unusable_names_are_one_line(names: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        load_metrics(names, CPU)
    assert "\n" not in str(refused.value)


def test_weights_that_cannot_be_downloaded_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from pyiqa.utils import download_util

    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UsageError, match=r"--metrics lpips: its weights cannot be loaded: \S") as refused:
        load_metrics("lpips", CPU)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().out == ""


def test_an_image_that_a_metric_cannot_take_is_reported_with_its_size(photographs: list[np.ndarray]) -> None:
    small = photographs[0][:4, :4].astype(np.float32) / 255
    (measure,) = load_metrics("ms_ssim", CPU)
    with pytest.raises(UsageError, match="--metrics ms_ssim: fails on an image of 4×4"):
        measure.measure(small, small)


def test_values_do_not_depend_on_memory_layout(photographs: list[np.ndarray]) -> None:
    image, clean = degraded_pairs(photographs[0][:64, :80])[2]
    turned = [np.asfortranarray(pixels)[::-1, ::-1] for pixels in (image, clean)]
    assert ssim(*turned) == pytest.approx(ssim(image, clean), abs=1e-9)
    assert psnr(*turned) == pytest.approx(psnr(image, clean), abs=1e-9)
