import cv2
import numpy as np
import pytest
from scipy import ndimage

from dynet.degradations.convolution import convolve
from dynet.degradations.defocus_blur import defocus_blur, disc_kernel
from dynet.degradations.downscale import KERNELS, downscale
from dynet.degradations.gaussian_blur import gaussian_blur, gaussian_kernel
from dynet.degradations.linear_light import to_light
from dynet.degradations.motion_blur import motion_blur, path_kernel, shaken_path
from dynet.runtime.rng import generator

PATHS = [shaken_path(generator(0, "path", key), 30, 50, shake) for key in range(5) for shake in (0.3, 1)]
KERNELS_OF_ALL_BLURS = [
    *(gaussian_kernel(sigma, ratio, 20) for sigma in (0, 0.3, 1.7, 6) for ratio in (0.1, 0.6, 1)),
    *(disc_kernel(radius) for radius in (0, 0.4, 1, 3.3, 12)),
    *(path_kernel(path) for path in PATHS),
]


def moments(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre of gravity and covariance of (right, up) around the middle of the kernel."""
    reach = kernel.shape[0] // 2
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    positions = np.stack([right.ravel(), -down.ravel()])
    centre = positions @ kernel.ravel()
    return centre, (positions * kernel.ravel()) @ positions.T - np.outer(centre, centre)


@pytest.mark.parametrize("kernel", KERNELS_OF_ALL_BLURS, ids=lambda kernel: str(kernel.shape[0]))
def test_kernels_sum_to_one_are_positive_and_are_centred(kernel: np.ndarray) -> None:
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert kernel.min() >= 0
    assert np.abs(moments(kernel)[0]).max() < 1e-9


def test_blur_does_not_change_a_flat_image_of_any_level() -> None:
    for level in range(256):
        flat = np.full((20, 23, 3), level, np.uint8)
        random = generator(0, "test")
        assert np.array_equal(gaussian_blur(flat, random, sigma=3, ratio=0.5, angle=30), flat)
        assert np.array_equal(defocus_blur(flat, random, radius=6), flat)
        assert np.array_equal(motion_blur(flat, random, length=25, angle=30, shake=1), flat)


@pytest.mark.parametrize("path", PATHS[:3])
def test_convolution_equals_scipys(path: np.ndarray, photographs: list[np.ndarray]) -> None:
    crop, kernel = photographs[1][:60, :90], path_kernel(path)
    theirs = np.stack([ndimage.convolve(crop[..., c].astype(float), kernel, mode="reflect") for c in range(3)], -1)
    assert convolve(crop, kernel) == pytest.approx(theirs, abs=0.01)
    assert convolve(crop[..., 0], kernel) == pytest.approx(theirs[..., 0], abs=0.01)


@pytest.mark.parametrize("sigma", [0.6, 1.5, 4])
def test_an_isotropic_gaussian_blur_equals_scipys_and_opencvs(sigma: float, photographs: list[np.ndarray]) -> None:
    crop = photographs[0][50:150, 100:220]
    ours = gaussian_blur(crop, generator(0, "test"), sigma=sigma, ratio=1, angle=77).astype(float)
    theirs = ndimage.gaussian_filter(crop.astype(float), (sigma, sigma, 0), mode="reflect")
    assert np.abs(ours - theirs).max() <= 0.5 + 0.1  # rounded, and the kernel ends a little earlier
    assert abs((ours - theirs).mean()) < 0.01
    opencvs = cv2.GaussianBlur(crop.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    assert np.abs(ours - opencvs).max() <= 0.5 + 0.1


@pytest.mark.parametrize("angle", [0, 30, 90, 135, -60])
def test_an_elongated_gaussian_has_its_covariance(angle: float) -> None:
    sigma, ratio, radians = 4.0, 0.4, np.radians(angle)
    rotation = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    expected = rotation @ np.diag([sigma**2, (sigma * ratio) ** 2]) @ rotation.T
    assert moments(gaussian_kernel(sigma, ratio, angle))[1] == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("radius", [1.5, 4, 9.7])
def test_a_disc_is_round_and_uniform(radius: float) -> None:
    kernel = disc_kernel(radius)
    assert moments(kernel)[1] == pytest.approx(np.eye(2) * (radius**2 / 4 + 1 / 12), rel=0.03, abs=0.07)
    assert np.array_equal(kernel, kernel.T)
    reach = kernel.shape[0] // 2
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    within = kernel[np.hypot(down, right) < radius - 0.75]
    assert within == pytest.approx(1 / (np.pi * radius**2), rel=0.03)
    assert not kernel[np.hypot(down, right) > radius + 0.75].any()


def test_highlights_out_of_focus_stay_bright_as_in_linear_light() -> None:
    night = np.zeros((41, 41, 3), np.uint8)
    night[20, 20] = 255
    disc = defocus_blur(night, generator(0, "test"), radius=3)
    assert to_light(disc).sum() == pytest.approx(3, rel=0.05)  # the light of one pixel, in three channels
    assert disc[20, 20, 0] == pytest.approx(255 * (1.055 * (1 / (np.pi * 9)) ** (1 / 2.4) - 0.055), abs=2)


@pytest.mark.parametrize("angle", [0, 45, 90, 160])
@pytest.mark.parametrize("length", [6, 30, 160])
def test_without_shake_the_path_is_straight_and_has_its_length(length: float, angle: float) -> None:
    path = shaken_path(generator(0, "path"), length, angle, 0)
    assert abs(path[-1] - path[0]) == pytest.approx(length)
    assert np.angle((path[-1] - path[0]).conjugate(), deg=True) == pytest.approx(angle)
    radians = np.radians(angle)
    line = np.array([np.cos(radians), np.sin(radians)])
    covariance = moments(path_kernel(path))[1]
    assert line @ covariance @ line == pytest.approx(length**2 / 12, rel=0.05, abs=0.4)
    assert np.linalg.eigvalsh(covariance)[0] < 0.3  # a pixel wide


def test_a_shaken_path_has_its_length_and_is_bent() -> None:
    straightness = []
    for key in range(40):
        path = shaken_path(generator(1, "path", key), 30, 0, 1)
        assert np.abs(np.diff(path)).sum() == pytest.approx(30)
        straightness.append(abs(path[-1] - path[0]) / 30)
    assert 0.2 < np.mean(straightness) < 0.8
    mild = [abs(np.ptp(shaken_path(generator(1, "path", key), 30, 0, 0.2).real)) / 30 for key in range(40)]
    assert np.mean(mild) > np.mean(straightness)


def test_downscaling_equals_pillows_with_each_kernel_equally_often(photographs: list[np.ndarray]) -> None:
    from PIL import Image

    crop = photographs[2][100:190, 100:220]
    image = Image.fromarray(crop)
    expected = [
        np.array(image.resize((40, 30), smaller).resize((120, 90), larger))
        for smaller in KERNELS
        for larger in KERNELS[1:]
    ]
    counts = [0] * len(expected)
    for key in range(360):
        result = downscale(crop, generator(0, "test", key), scale=3)
        counts[next(index for index, image in enumerate(expected) if np.array_equal(image, result))] += 1
    assert min(counts) > 12  # of 30 on average


def test_downscaling_shifts_nothing_and_loses_more_with_larger_factors(photographs: list[np.ndarray]) -> None:
    rows, columns = np.mgrid[:65, :65]
    blob = np.rint(255 * np.exp(-((rows - 32) ** 2 + (columns - 32) ** 2) / 128))[..., None].repeat(3, 2)
    crop = photographs[2][100:220, 100:220]
    for key in range(12):
        small = downscale(blob.astype(np.uint8), generator(0, "test", key), scale=2.7)[..., 0].astype(float)
        assert (small * rows).sum() / small.sum() == pytest.approx(32, abs=0.1)
        assert (small * columns).sum() / small.sum() == pytest.approx(32, abs=0.1)
        errors = [
            np.mean((downscale(crop, generator(0, "test", key), scale=scale).astype(float) - crop) ** 2)
            for scale in (1, 1.5, 3, 8)
        ]
        assert errors == sorted(errors)
        assert errors[0] == 0
