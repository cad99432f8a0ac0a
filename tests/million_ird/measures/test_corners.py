"""Rotated, round and cut-out photographs have even corners that end in an edge; photographs and vignettes have none."""

from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageDraw

from million_ird.measures.corners import corner_share
from million_ird.measures.layout import LayoutMeasure
from tests.million_ird.measures.sample_images import BUNDLED, ENCODERS, encoded_image, natural_noise, to_colour

LIMIT = 0.0005
SCENES = ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg")
ON = (("coffee.png", 0), ("coffee.png", 255), ("chelsea.png", 0), ("chelsea.png", 255), ("astronaut.png", 255))
"""Photographs and the shade around them; the astronaut is black in two corners."""


def scene(name: str) -> Image.Image:
    return Image.open(BUNDLED / name).convert("RGB")


def number(image: Image.Image, encoder: str = "PNG") -> float:
    return LayoutMeasure().measure(encoded_image(image, **ENCODERS[encoder]))["corner_share"] or 0


def inside(image: Image.Image, shape: str, shade: int) -> Image.Image:
    """Return an image in an even colour outside of a shape."""
    mask = Image.new("L", image.size, 0)
    draw, box = ImageDraw.Draw(mask), (0, 0, image.width - 1, image.height - 1)
    if shape == "circle":
        draw.ellipse(box, fill=255)
    elif shape == "diamond":
        middle = image.width / 2, image.height / 2
        draw.polygon([(middle[0], 0), (box[2], middle[1]), (middle[0], box[3]), (0, middle[1])], fill=255)
    else:
        draw.rounded_rectangle(box, image.width // 10, fill=255)
    return Image.composite(image, Image.new("RGB", image.size, (shade,) * 3), mask)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("angle", [-3, 5, 20, 45])
def test_rotated_photographs_are_found(angle: int, encoder: str) -> None:
    for name, shade in ON:
        image = scene(name).rotate(angle, Image.Resampling.BICUBIC, fillcolor=(shade,) * 3)
        assert number(image, encoder) > LIMIT, (name, shade)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("shape", ["circle", "diamond", "rounded"])
def test_photographs_within_a_shape_are_found(shape: str, encoder: str) -> None:
    for name, shade in ON:
        assert number(inside(scene(name), shape, shade), encoder) > LIMIT, (name, shade)


@pytest.mark.parametrize("name", SCENES)
def test_photographs_and_vignettes_have_none(name: str) -> None:
    pixels = np.asarray(scene(name), np.float32)
    y, x = np.mgrid[-1 : 1 : pixels.shape[0] * 1j, -1 : 1 : pixels.shape[1] * 1j]
    for strength in (0.5, 0.75, 1.0, 1.3, 2.0, 3.0):
        dark = pixels * np.clip(1.3 - strength * (x * x + y * y), 0, 1)[..., None]
        assert number(Image.fromarray(np.clip(dark, 0, 255).astype(np.uint8))) == 0, strength
    assert number(scene(name)) == 0


@pytest.mark.parametrize("shape", [(160, 240), (171, 256), (240, 160)], ids=str)
@pytest.mark.parametrize(("middle", "fall"), [(1.3, 0.75), (1.6, 0.9), (2, 1.2), (3, 2), (5, 3), (8, 5)])
def test_a_bright_scene_with_a_vignette_down_to_black_has_none(
    shape: tuple[int, int], middle: float, fall: float
) -> None:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    shade = np.clip(middle - fall * (x * x + y * y), 0, 1)
    assert shade[0, 0] == 0
    bright = to_colour(natural_noise(*shape) // 4 + 170)
    assert corner_share(np.clip(bright * shade[..., None], 0, 255).astype(np.uint8)) == 0


def test_three_corners_other_colours_and_frames_have_none() -> None:
    pixels = to_colour(natural_noise(160, 240) // 2 + 60)
    for shades in ((0, 0, 0, None), (0, 0, 0, 90)):
        changed = pixels.copy()
        for (rows, columns), shade in zip(product((slice(12), slice(-12, None)), repeat=2), shades, strict=True):
            if shade is not None:
                changed[rows, columns] = shade
        assert corner_share(changed) == 0, shades
    framed = pixels.copy()
    framed[:8], framed[-8:], framed[:, :8], framed[:, -8:] = 0, 0, 0, 0
    assert corner_share(framed) == 0
    changed = pixels.copy()
    for rows, columns in product((slice(12), slice(-12, None)), repeat=2):
        changed[rows, columns] = 0
    assert corner_share(changed) == pytest.approx(144 / (160 * 240), rel=0.2)


def test_even_and_tiny_images() -> None:
    assert corner_share(np.full((90, 120, 3), 7, np.uint8)) == 0
    assert corner_share(np.zeros((16, 16, 3), np.uint8)) == 0
    assert LayoutMeasure().measure(encoded_image(np.zeros((15, 40, 3), np.uint8)))["corner_share"] is None
