"""PSNR and SSIM against scikit-image, and what pyiqa adds."""

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


def assert_as_scikit_image(picture: np.ndarray, clean: np.ndarray) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    assert abs(psnr(picture, clean) - skimage.peak_signal_noise_ratio(clean, picture, data_range=1)) < 1e-4
    theirs = skimage.structural_similarity(clean, picture, data_range=1, channel_axis=-1)
    assert abs(ssim(picture, clean) - theirs) < 1e-4


def damaged(photograph: np.ndarray) -> list[ImagePair]:
    """A photograph with noise, blurred, darkened and in coarse levels, each beside its clean one."""
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


def test_photographs_measure_as_in_scikit_image(photographs: list[np.ndarray]) -> None:
    for photograph in photographs[:2]:
        for pair in damaged(photograph[:301, :223]):
            assert_as_scikit_image(*pair)


@pytest.mark.parametrize(
    "shape",
    # 38 and 39 rows are one band of rows, and one row more; 70 and 71 are two.
    [(7, 7), (7, 90), (90, 7), (8, 11), (38, 20), (39, 20), (70, 33), (71, 33), (64, 200), (321, 81)],
    ids=str,
)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_random_pairs_of_every_size_measure_as_in_scikit_image(shape: tuple[int, int], kind: type) -> None:
    random = np.random.default_rng(shape[0])
    clean = random.random((*shape, 3)).astype(kind)
    assert_as_scikit_image(random.random((*shape, 3)).astype(kind), clean)
    assert_as_scikit_image(np.clip(clean + 0.05 * random.standard_normal(clean.shape), 0, 1).astype(kind), clean)


def test_flat_pictures_and_one_channel_measure_as_in_scikit_image() -> None:
    bright, dark = np.full((40, 50, 3), 0.999), np.full((40, 50, 3), 0.2)
    assert_as_scikit_image(dark, bright)
    assert_as_scikit_image(bright - 1e-4, bright)
    assert_as_scikit_image(dark[..., :1], bright[..., :1])


def test_equal_pictures_have_infinite_psnr_and_ssim_one(photographs: list[np.ndarray]) -> None:
    picture = photographs[0].astype(np.float32) / 255
    assert psnr(picture, picture.copy()) == math.inf
    assert ssim(picture, picture.copy()) == pytest.approx(1, abs=1e-12)


def test_what_cannot_be_compared_is_refused() -> None:
    whole, narrow = np.zeros((8, 8, 3)), np.zeros((8, 6, 3))
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match="one shape"):
            measure(whole, narrow)
    with pytest.raises(ValueError, match="at least 7"):
        ssim(narrow, narrow)
    assert psnr(narrow, narrow + 0.1) == pytest.approx(20)


def test_a_metric_is_pyiqas_own_value_and_stdout_stays_clean(
    photographs: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    pyiqa = pytest.importorskip("pyiqa")
    picture, clean = damaged(photographs[0][:96, :128])[1]
    gmsd, similarity, entropy = load_metrics("gmsd, ssim,entropy", CPU)
    assert (gmsd.name, gmsd.lower_is_better, gmsd.needs_clean) == ("gmsd", True, True)
    assert (similarity.name, similarity.lower_is_better) == ("pyiqa-ssim", False)  # our column of that name stays ours
    assert not entropy.needs_clean
    x, y = (torch.from_numpy(np.ascontiguousarray(one.transpose(2, 0, 1)))[None] for one in (picture, clean))
    assert gmsd.measure(picture, clean) == pytest.approx(float(pyiqa.create_metric("gmsd", device=CPU)(x, y)))
    assert similarity.measure(picture, clean) == pytest.approx(float(pyiqa.create_metric("ssim", device=CPU)(x, y)))
    assert entropy.measure(picture, clean) == pytest.approx(float(pyiqa.create_metric("entropy", device=CPU)(x)))
    assert gmsd.measure(picture, clean) > gmsd.measure(clean, clean)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("lpisp", "no such metric; did you mean lpips?"),
        ("gmsd,", "no such metric"),
        ("fid", "a whole set"),
        ("gmsd,ssim,gmsd", "twice"),
    ],
)
def test_names_that_cannot_be_are_one_line(names: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        load_metrics(names, CPU)
    assert "\n" not in str(refused.value)


def test_weights_that_cannot_be_fetched_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from pyiqa.utils import download_util

    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UsageError, match=r"--metrics lpips: its weights cannot be loaded: \S") as refused:
        load_metrics("lpips", CPU)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().out == ""


def test_a_picture_that_a_metric_cannot_take_is_named_by_its_size(photographs: list[np.ndarray]) -> None:
    small = photographs[0][:4, :4].astype(np.float32) / 255
    (measure,) = load_metrics("ms_ssim", CPU)
    with pytest.raises(UsageError, match="--metrics ms_ssim: fails on an image of 4×4"):
        measure.measure(small, small)


def test_figures_do_not_depend_on_how_a_picture_lies_in_memory(photographs: list[np.ndarray]) -> None:
    picture, clean = damaged(photographs[0][:64, :80])[2]
    turned = [np.asfortranarray(one)[::-1, ::-1] for one in (picture, clean)]
    assert ssim(*turned) == pytest.approx(ssim(picture, clean), abs=1e-9)
    assert psnr(*turned) == pytest.approx(psnr(picture, clean), abs=1e-9)
