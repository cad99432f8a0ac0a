"""Blocks of a JPEG are found at their frequency after a reduction, and nothing else is taken for them."""

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image

from million_ird.images.line_steps import line_steps
from million_ird.measures.reduced_blocks import find_reduced_blocks, near_multiples
from tests.million_ird.measures.sample_images import BUNDLED, natural_noise

NAMES = ("coffee.png", "chelsea.png", "rocket.jpg")
KERNELS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def blocks(image: Image.Image) -> list[float]:
    rows, columns = line_steps(np.asarray(image.convert("L")))
    pairs = (rows.first, columns.first), (rows.second, columns.second), (rows.sixth, columns.sixth)
    return find_reduced_blocks(pairs).tolist()


def scene(name: str) -> Image.Image:
    return Image.open(BUNDLED / name).convert("RGB")


def saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def resized(image: Image.Image, factor: float, kernel: Image.Resampling) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), kernel)


@pytest.mark.parametrize("quality", [30, 60])
@pytest.mark.parametrize("factor", [0.97, 0.93, 0.9, 0.88, 0.85])
def test_blocks_of_a_reduced_jpeg_are_at_their_frequency(factor: float, quality: int) -> None:
    found = {}
    for name, kernel in product(NAMES, KERNELS):
        places = blocks(resized(saved(scene(name), quality), factor, kernel))
        found[name, kernel] = any(one == pytest.approx(1 / (8 * factor), abs=0.002) for one in places)
    assert sum(found.values()) >= len(found) - 1, found


@pytest.mark.parametrize("factor", [1, 1.25, 1.33, 1.4, 1.5, 1.6, 2])
def test_enlarged_and_plain_images_have_none_also_as_jpeg(factor: float) -> None:
    image = Image.fromarray(natural_noise(500, 600))
    for before, kernel in product((image, saved(image, 60)), KERNELS):
        enlarged = resized(before, factor, kernel)
        assert blocks(enlarged) == []
        assert blocks(saved(enlarged, 85)) == []


def test_multiples_are_folded_at_half_the_sampling_rate() -> None:
    frequencies = np.linspace(0, 0.5, 5001)
    near = near_multiples(np.array([1 / 7.2]), frequencies)
    multiples = np.arange(1, 9) / 7.2
    distance = np.abs(frequencies[:, None] - np.abs(multiples - np.rint(multiples))).min(axis=1)
    assert near[distance < 0.0059].all()
    assert not near[distance > 0.0061].any()
    assert not near_multiples(np.empty(0), frequencies).any()
