"""A palette is counted, dithered or not; photographs have many colours, and grey and toned ones are not judged."""

import numpy as np
import pytest
from PIL import Image

from million_ird.measures.colours import ColourMeasure
from tests.million_ird.measures.sample_images import BUNDLED, bundled_image, encoded_image

MEASURE = ColourMeasure()


def coloured(name: str) -> Image.Image:
    return Image.open(BUNDLED / name).convert("RGB")


@pytest.mark.parametrize("colours", [16, 64, 256])
@pytest.mark.parametrize("dithered", [False, True])
@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png", "astronaut.png"])
def test_a_palette_is_counted(name: str, colours: int, dithered: bool) -> None:
    image = coloured(name)
    dither = Image.Dither.FLOYDSTEINBERG if dithered else Image.Dither.NONE
    image = image.quantize(palette=image.quantize(colours), dither=dither).convert("RGB")
    assert 8 <= (MEASURE.measure(encoded_image(image))["colours"] or 0) <= colours


@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg", "motorcycle_left.png"])
@pytest.mark.parametrize("quality", [None, 50, 92])
def test_photographs_have_many(name: str, quality: int | None) -> None:
    options = {} if quality is None else {"format": "JPEG", "quality": quality}
    assert (MEASURE.measure(encoded_image(coloured(name), **options))["colours"] or 0) > 1000


@pytest.mark.parametrize("name", ["camera.png", "coins.png", "moon.png", "brick.png", "grass.png"])
def test_grey_and_toned_photographs_give_null(name: str) -> None:
    assert MEASURE.measure(bundled_image(name)) == {"colours": None}
    grey = np.asarray(Image.open(BUNDLED / name).convert("L"), np.float64)
    toned = np.stack([grey, 0.85 * grey, 0.65 * grey], axis=2).astype(np.uint8)
    assert MEASURE.measure(encoded_image(toned)) == {"colours": None}


def test_small_images_give_null() -> None:
    assert MEASURE.measure(encoded_image(np.zeros((63, 200, 3), np.uint8))) == {"colours": None}
