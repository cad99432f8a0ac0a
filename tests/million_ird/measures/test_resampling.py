"""Enlarged images have a period, at any factor and by any kernel; reduced ones and photographs have none."""

import io
from itertools import product

import cv2
import numpy as np
import pytest
from PIL import Image

from million_ird.measures.resampling import ResamplingMeasure, resampled
from tests.million_ird.measures.sample_images import BUNDLED, ENCODERS, bundled_image, encoded_image, natural_noise

MEASURE = ResamplingMeasure()
LIMIT = 0.05
KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
}
SCENE = Image.fromarray(natural_noise(800, 1000))


def resized(image: Image.Image, factor: float, kernel: Image.Resampling) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), kernel)


def number(image: Image.Image, **options: object) -> float:
    return MEASURE.measure(encoded_image(image, **options))["resampled"] or 0


@pytest.mark.parametrize(
    ("kernel", "factor"),
    [
        (kernel, factor)
        for kernel, factor in product(KERNELS, (1.2, 1.25, 1.3, 1.4, 1.5, 1.6, 1.8, 2.4))
        if (kernel, factor) != ("nearest", 1.6)  # 0.033
    ],
)
def test_enlarging_leaves_a_period_also_after_jpeg(kernel: str, factor: float) -> None:
    image = resized(SCENE, factor, KERNELS[kernel])
    assert number(image) > LIMIT
    assert number(image, format="JPEG", quality=92) > LIMIT


@pytest.mark.parametrize("kernel", ["bicubic", "Lanczos"])
@pytest.mark.parametrize("name", [None, "chelsea.png", "astronaut.png"])
def test_enlarging_to_where_blocks_have_lines(name: str | None, kernel: str) -> None:
    image = SCENE if name is None else Image.open(BUNDLED / name).convert("RGB")
    assert number(resized(image, 4 / 3, KERNELS[kernel])) > LIMIT


@pytest.mark.parametrize("name", ["COLOR_BayerRG2RGB", "COLOR_BayerRG2RGB_EA", "COLOR_BayerRG2RGB_VNG"])
@pytest.mark.parametrize("scene", ["coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"])
def test_the_interpolation_of_a_cameras_colour_filters_is_no_period(scene: str, name: str) -> None:
    pixels = np.asarray(Image.open(BUNDLED / scene).convert("RGB"))
    mosaic = pixels[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = pixels[::2, ::2, 2], pixels[1::2, 1::2, 0]
    image = Image.fromarray(cv2.demosaicing(mosaic, getattr(cv2, name)))
    assert number(image) < LIMIT
    assert number(image, format="JPEG", quality=95) < LIMIT


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_repeated_pixels_are_found(factor: int) -> None:
    image = resized(SCENE, factor, Image.Resampling.NEAREST)
    assert number(image) > LIMIT
    assert number(image, format="WEBP", quality=90) > LIMIT


@pytest.mark.parametrize(("form", "quality"), list(product(("JPEG", "WEBP", "AVIF"), (30, 50, 65, 75, 85, 95))))
@pytest.mark.parametrize("name", [None, "coffee.png", "chelsea.png", "rocket.jpg"])
def test_the_blocks_of_an_encoder_are_no_period(name: str | None, form: str, quality: int) -> None:
    image = SCENE.resize((500, 400)) if name is None else Image.open(BUNDLED / name).convert("RGB")
    assert number(image, format=form, quality=quality) < LIMIT


@pytest.mark.parametrize(
    ("kernel", "factor"), list(product(("LANCZOS", "BICUBIC", "BILINEAR"), (0.9, 0.8, 0.75, 0.6, 0.5)))
)
def test_reducing_with_averaging_leaves_none(kernel: str, factor: float) -> None:
    assert number(resized(SCENE, factor, Image.Resampling[kernel]), format="JPEG", quality=92) < LIMIT


SCENES = [None, "coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"]


@pytest.mark.parametrize("quality", [80, 88, 95])
@pytest.mark.parametrize("factor", [0.96, 0.93, 0.9, 0.85, 0.83, 0.8, 0.77, 0.7, 0.6])
def test_the_blocks_of_a_jpeg_that_was_reduced_are_no_period(quality: int, factor: float) -> None:
    for name, kernel in product(SCENES, ("BICUBIC", "LANCZOS")):
        image = SCENE if name is None else Image.open(BUNDLED / name).convert("RGB")
        reduced = resized(Image.open(_jpeg(image, quality)), factor, Image.Resampling[kernel])
        for options in ENCODERS.values():
            assert number(reduced, **options) < LIMIT, (name, kernel, options)


@pytest.mark.parametrize("factor", [0.95, 0.9, 0.72, 0.67, 0.62, 0.58, 0.45])
@pytest.mark.parametrize("kernel", [cv2.INTER_AREA, cv2.INTER_LINEAR], ids=["area", "linear"])
def test_reducing_as_opencv_does_leaves_none(kernel: int, factor: float) -> None:
    for name in SCENES[1:]:
        pixels = np.asarray(Image.open(BUNDLED / str(name)).convert("RGB"))
        reduced = Image.fromarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=kernel))
        for options in ENCODERS.values():
            assert number(reduced, **options) < LIMIT, (name, options)


@pytest.mark.parametrize(
    ("name", "factor", "kernel"),
    [
        ("coffee.png", 0.77, cv2.INTER_LINEAR),
        ("gravel.png", 0.55, cv2.INTER_LINEAR),
        ("grass.png", 0.83, cv2.INTER_LINEAR),
        ("grass.png", 0.77, cv2.INTER_AREA),
        ("grass.png", 0.58, cv2.INTER_AREA),
    ],
)
def test_lines_count_less_where_the_spectrum_goes_on_up_to_nyquist(name: str, factor: float, kernel: int) -> None:
    pixels = np.asarray(Image.open(BUNDLED / name).convert("RGB"))
    reduced = Image.fromarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=kernel))
    assert number(reduced) < LIMIT / 2 < resampled(np.asarray(reduced.convert("L")))


@pytest.mark.parametrize("factor", [1.2, 1.25, 1.4, 1.5, 1.8])
def test_an_enlarged_jpeg_is_found_although_it_has_blocks(factor: float) -> None:
    for quality in (60, 85):
        assert number(resized(Image.open(_jpeg(SCENE, quality)), factor, Image.Resampling.BICUBIC)) > LIMIT


@pytest.mark.parametrize("name", ["camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"])
def test_photographs_have_none(name: str) -> None:
    assert (MEASURE.measure(bundled_image(name))["resampled"] or 0) < LIMIT


def test_stripes_in_one_direction_are_no_period() -> None:
    luma = natural_noise(400, 500)
    luma[:, ::5] //= 2
    assert resampled(luma) < LIMIT


def test_even_and_small_images() -> None:
    assert resampled(np.full((300, 300), 7, np.uint8)) == 0
    assert MEASURE.measure(encoded_image(natural_noise(127, 300))) == {"resampled": None}


def _jpeg(image: Image.Image, quality: int) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer
