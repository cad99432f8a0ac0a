"""Enlarged images have copies in their spectrum, also sharpened ones; reduced images and photographs have none."""

from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from million_ird.measures.resolution import ResolutionMeasure, sharpest_tiles
from million_ird.measures.spectral_copies import _DISTANCES, _coherence, spectral_copies
from tests.million_ird.measures.sample_images import BUNDLED, ENCODERS, bundled_image, encoded_image, natural_noise

MEASURE = ResolutionMeasure()
LIMIT = 0.03
FULL_TRUST = 99.0
"""A `cutoff` with which all coherence counts."""
KERNELS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
}
PHOTOGRAPHS = ("chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
SCENE = Image.fromarray(natural_noise(700, 900))


def resized(image: Image.Image, factor: float, kernel: Image.Resampling) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), kernel)


def bundled(name: str) -> Image.Image:
    return Image.open(BUNDLED / name).convert("RGB")


def corners(tiles: int) -> NDArray[np.intp]:
    """Return where tiles lie that are side by side."""
    return 128 * np.stack([np.zeros(tiles, np.intp), np.arange(tiles)], axis=1)


def number(image: Image.Image | NDArray[np.uint8], **options: object) -> float:
    value = MEASURE.measure(encoded_image(image, **options))["spectral_copies"]
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("kernel", "factor"),
    list(product(KERNELS, (1.19, 1.25, 4 / 3, 1.42, 1.5, 1.53, 1.6, 1.66, 1.75, 1.9, 2, 2.1, 2.4))),
)
def test_enlarging_by_any_factor_leaves_copies(kernel: str, factor: float) -> None:
    image = resized(SCENE, factor, KERNELS[kernel])
    for options in ENCODERS.values():
        assert number(image, **options) > LIMIT, options


@pytest.mark.parametrize("stretch", [1.001, 1.002, 1.004, 1.006, 1.01])
@pytest.mark.parametrize("factor", [1.2, 1.45, 1.7, 1.9, 2.3])
def test_images_that_were_fitted_to_another_aspect_have_copies(factor: float, stretch: float) -> None:
    for kernel in KERNELS.values():
        image = SCENE.resize((round(SCENE.width * factor * stretch), round(SCENE.height * factor)), kernel)
        assert number(image) > LIMIT, kernel
        assert number(image.transpose(Image.Transpose.ROTATE_90)) > LIMIT, kernel


@pytest.mark.parametrize(("name", "kernel"), list(product(PHOTOGRAPHS[:3], KERNELS)))
def test_photographs_enlarged_to_where_blocks_are_coherent_are_found(name: str, kernel: str) -> None:
    for factor in (4 / 3, 1.6, 2):
        assert number(resized(bundled(name), factor, KERNELS[kernel])) > LIMIT, factor


@pytest.mark.parametrize(("name", "kernel"), list(product(PHOTOGRAPHS[:3], KERNELS)))
def test_doubled_photographs_are_found_sharpened_ones_too(name: str, kernel: str) -> None:
    image = resized(bundled(name), 2, KERNELS[kernel])
    for options in ENCODERS.values():
        assert number(image, **options) > LIMIT, options
        assert number(image.filter(ImageFilter.UnsharpMask(1.5, 120, 0)), **options) > LIMIT, options


def test_a_doubled_image_is_found_from_whatever_pixel_it_begins() -> None:
    image = resized(bundled("coffee.png"), 2, Image.Resampling.BICUBIC)
    for left, top in ((1, 0), (0, 1), (3, 5), (6, 2)):
        assert number(image.crop((left, top, image.width, image.height))) > LIMIT


@pytest.mark.parametrize("factor", [0.96, 0.9, 0.83, 0.75, 0.72, 0.64, 0.5])
def test_reduced_images_have_none_by_any_kernel(factor: float) -> None:
    for name, kernel in product((None, *PHOTOGRAPHS), (*KERNELS.values(), Image.Resampling.BOX)):
        reduced = resized(SCENE if name is None else bundled(name), factor, kernel)
        for options in ENCODERS.values():
            assert number(reduced, **options) < LIMIT, (name, kernel, options)


@pytest.mark.parametrize(("form", "quality"), list(product(("JPEG", "WEBP", "AVIF"), (30, 50, 65, 75, 85, 95))))
@pytest.mark.parametrize("name", [None, *PHOTOGRAPHS])
def test_the_blocks_of_an_encoder_are_none(name: str | None, form: str, quality: int) -> None:
    image = SCENE.resize((500, 400)) if name is None else bundled(name)
    assert number(image, format=form, quality=quality) < LIMIT


@pytest.mark.parametrize(("name", "quality"), list(product(PHOTOGRAPHS, (75, 92))))
def test_the_blocks_of_a_soft_photograph_are_no_doubling(name: str, quality: int) -> None:
    for sigma in (0.7, 1, 1.3):
        soft = np.asarray(cv2.GaussianBlur(np.asarray(bundled(name)), (0, 0), sigma), np.uint8)
        assert number(soft, format="JPEG", quality=quality) < LIMIT, sigma


@pytest.mark.parametrize("name", [*PHOTOGRAPHS[:3], "astronaut.png", "grass.png", "gravel.png"])
@pytest.mark.parametrize("factor", [1, 0.75, 0.6])
def test_the_small_blocks_of_webp_are_no_enlargement(name: str, factor: float) -> None:
    reduced = np.asarray(resized(bundled(name), factor, Image.Resampling.LANCZOS))
    soft = np.asarray(cv2.GaussianBlur(reduced, (0, 0), 0.7), np.uint8)
    assert number(soft, format="WEBP", quality=90) < LIMIT
    assert number(soft, format="WEBP", lossless=True) < LIMIT


@pytest.mark.parametrize("name", ["COLOR_BayerRG2RGB", "COLOR_BayerRG2RGB_EA", "COLOR_BayerRG2RGB_VNG"])
@pytest.mark.parametrize("scene", ["coffee.png", "chelsea.png", "rocket.jpg"])
def test_the_interpolation_of_a_cameras_colour_filters_is_none(scene: str, name: str) -> None:
    pixels = np.asarray(bundled(scene))
    mosaic = pixels[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = pixels[::2, ::2, 2], pixels[1::2, 1::2, 0]
    image = Image.fromarray(cv2.demosaicing(mosaic, getattr(cv2, name)))
    for options in ENCODERS.values():
        assert number(image, **options) < LIMIT, options


@pytest.mark.parametrize("name", ["camera.png", "brick.png", "grass.png", "gravel.png", *PHOTOGRAPHS])
def test_photographs_have_none(name: str) -> None:
    assert (MEASURE.measure(bundled_image(name))["spectral_copies"] or 0) < LIMIT


@pytest.mark.parametrize("tiles", [1, 2, 4, 9, 24])
def test_noise_has_none_however_few_its_tiles_are(tiles: int) -> None:
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(0, 20, (tiles, 128, 128)).astype(np.float32)
        assert spectral_copies(noise, corners(tiles), FULL_TRUST) < LIMIT / 2


@pytest.mark.parametrize("name", ["camera.png", "brick.png", "grass.png", "gravel.png", *PHOTOGRAPHS])
def test_photographs_have_none_also_without_a_look_at_their_cutoff(name: str) -> None:
    tiles = sharpest_tiles(bundled_image(name))
    assert tiles is not None
    assert spectral_copies(tiles.pixels, tiles.corners, FULL_TRUST) < LIMIT


@pytest.mark.parametrize(("kernel", "factor"), list(product(KERNELS, (1.25, 1.42, 1.5, 1.75))))
def test_copies_count_only_if_they_are_in_phase_over_the_whole_image(kernel: str, factor: float) -> None:
    enlarged = np.asarray(resized(SCENE, factor, KERNELS[kernel]))
    random = np.random.default_rng(3)
    mosaic = np.zeros((640, 768), np.uint8)
    for row, column in product(range(0, 640, 128), range(0, 768, 128)):
        y, x = (int(random.integers(side - 128)) for side in enlarged.shape)
        mosaic[row : row + 128, column : column + 128] = enlarged[y : y + 128, x : x + 128]
    assert number(enlarged[:640, :768]) > LIMIT
    assert number(mosaic) < LIMIT


def test_a_pattern_in_one_direction_is_none() -> None:
    luma = natural_noise(400, 500)
    luma[:, ::5] //= 2
    assert number(luma) < LIMIT


def test_the_coherence_is_that_of_the_definition() -> None:
    random = np.random.default_rng(0)
    spectra = (random.normal(size=(3, 128, 128)) + 1j * random.normal(size=(3, 128, 128))).astype(np.complex64)
    spectra[:, 44] += 2 * spectra[:, 44 - 70]
    others = [*range(1, 33), *range(96, 128)]
    found = dict(zip(_DISTANCES.tolist(), _coherence(spectra).squared, strict=True))
    for distance, band in ((48, range(34, 54)), (64, range(34, 54)), (70, range(37, 62)), (109, range(56, 62))):
        squared = []
        for tile, upper in product(spectra, band):
            high, low = tile[upper, others], tile[(upper - distance) % 128, others]
            squared.append(abs(np.vdot(low, high)) ** 2 / (np.vdot(high, high).real * np.vdot(low, low).real))
        assert found[distance] == pytest.approx((np.mean(squared) * 64 - 1) / 63, abs=1e-5)
    assert max(found, key=lambda distance: found[distance]) == 70


def test_even_tiles_have_none_and_hide_none() -> None:
    even = np.zeros((4, 128, 128), np.float32)
    assert spectral_copies(even, corners(4), FULL_TRUST) < 0.001
    tiles = sharpest_tiles(encoded_image(resized(SCENE, 1.5, KERNELS["bicubic"])))
    assert tiles is not None
    all_corners = np.concatenate([corners(4), tiles.corners])
    assert spectral_copies(np.concatenate([even, tiles.pixels]), all_corners, FULL_TRUST) > LIMIT
