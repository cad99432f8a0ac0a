"""Blocks of a strong JPEG compression are found after a reduction by any factor and kernel, and saving again."""

import functools
import io
from itertools import product

import cv2
import numpy as np
import pytest
from PIL import Image

from million_ird.measures.resized_blocks import ResizedBlocksMeasure, resized_blocks
from tests.million_ird.measures.sample_images import BUNDLED, ENCODERS, bundled_image, encoded_image, natural_noise

MEASURE = ResizedBlocksMeasure()
LIMIT = 0.009
FULL = pytest.mark.full
KERNELS = ("BILINEAR", "BICUBIC", "LANCZOS")


@functools.cache
def scene(name: str) -> Image.Image:
    if name == "noise":
        return Image.fromarray(natural_noise(700, 900))
    return Image.open(BUNDLED / name).convert("RGB")


def compressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def resized(image: Image.Image, factor: float, kernel: str = "BICUBIC") -> Image.Image:
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling[kernel])


def number(image: Image.Image, encoder: str = "PNG") -> float:
    return MEASURE.measure(encoded_image(image, **ENCODERS[encoder]))["resized_blocks"] or 0


@pytest.mark.parametrize(("quality", "factor"), [*product((10, 20), (0.77, 0.87, 0.93)), (30, 0.87), (30, 0.93)])
@pytest.mark.parametrize("name", ["coffee.png", pytest.param("chelsea.png", marks=FULL)])
def test_blocks_are_found_after_reducing(name: str, quality: int, factor: float) -> None:
    # In images of 400 to 500 px, saving as JPEG again hides much, and a soft kernel some.
    for kernel in KERNELS if quality < 30 else KERNELS[1:]:
        image = resized(compressed(scene(name), quality), factor, kernel)
        for encoder in ENCODERS if quality < 20 else ("PNG", "WebP"):
            assert number(image, encoder) > LIMIT, (kernel, encoder)


def test_the_stronger_the_compression_the_larger() -> None:
    numbers = [number(resized(compressed(scene("coffee.png"), quality), 0.87), "JPEG") for quality in (10, 30, 60, 90)]
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("name", ["noise", "coffee.png", pytest.param("chelsea.png", marks=FULL)])
@pytest.mark.parametrize("factor", [0.7, 0.77, 0.87, 0.93])
def test_reducing_alone_leaves_none(name: str, factor: float) -> None:
    for kernel, encoder in product(("BICUBIC", "LANCZOS"), ENCODERS):
        assert number(resized(scene(name), factor, kernel), encoder) < LIMIT, (kernel, encoder)


@pytest.mark.parametrize("factor", [0.95, 0.88, 0.83, 0.77, 0.72, 0.62])
@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"])
def test_reducing_a_good_jpeg_leaves_few(name: str, factor: float) -> None:
    for encoder in ENCODERS:
        for quality, kernel in product((85, 95), KERNELS):
            reduced = resized(compressed(scene(name), quality), factor, kernel)
            assert number(reduced, encoder) < LIMIT, (quality, kernel, encoder)


@pytest.mark.parametrize("factor", [0.95, 0.9, 0.77, 0.72, 0.67, 0.62, 0.58])
@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"])
def test_reducing_as_opencv_does_leaves_none(name: str, factor: float) -> None:
    for encoder in ENCODERS:
        averaged = cv2.resize(np.asarray(scene(name)), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        assert number(Image.fromarray(averaged), encoder) < LIMIT, encoder


@pytest.mark.parametrize(("form", "quality"), list(product(("JPEG", "WEBP", "AVIF"), (50, 60, 70, 75, 85, 95))))
@pytest.mark.parametrize("name", ["noise", "coffee.png", "rocket.jpg"])
def test_the_files_own_blocks_do_not_count(name: str, form: str, quality: int) -> None:
    image = encoded_image(scene(name), format=form, quality=quality)
    assert (MEASURE.measure(image)["resized_blocks"] or 0) < LIMIT


@pytest.mark.parametrize("name", ["astronaut.png", "brick.png", "camera.png", "chelsea.png", "coins.png", "grass.png"])
def test_photographs_have_none(name: str) -> None:
    assert (MEASURE.measure(bundled_image(name))["resized_blocks"] or 0) < LIMIT


def test_stripes_in_one_direction_are_no_blocks() -> None:
    luma = natural_noise(400, 500)
    luma[:, ::7] //= 2
    assert resized_blocks(luma) < LIMIT


def test_even_and_small_images() -> None:
    assert resized_blocks(np.full((300, 300), 7, np.uint8)) == 0
    assert MEASURE.measure(encoded_image(natural_noise(127, 300))) == {"resized_blocks": None}
