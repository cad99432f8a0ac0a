"""A mark laid over a scene on a lattice is found whatever it shows; walls, windows, fences and skies are none."""

import functools
from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from million_ird.measures.tiling import TilingMeasure, tiled_mark
from tests.million_ird.measures.sample_images import BUNDLED, ENCODERS, bundled_image, encoded_image, natural_noise

MEASURE = TilingMeasure()
LIMIT = 6.0
PHOTOGRAPHS = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png", "rocket.jpg")
Levels = NDArray[np.float32]


def number(image: Image.Image | NDArray[np.uint8], encoder: str = "PNG") -> float:
    return MEASURE.measure(encoded_image(image, **ENCODERS[encoder]))["tiled_mark"] or 0


def draw(painter: ImageDraw.ImageDraw, kind: str, x: int, y: int, size: int, ink: tuple[int, ...]) -> None:
    box = (x - size, y - size, x + size, y + size)
    line = max(1, size // 14)
    if kind == "ring":
        painter.ellipse(box, outline=ink, width=line)
    elif kind == "cross":
        painter.line(box, fill=ink, width=line)
        painter.line((x - size, y + size, x + size, y - size), fill=ink, width=line)
    elif kind == "logo":
        painter.polygon(((x, y - size), (x + size, y + size), (x - size, y + size // 2)), outline=ink, width=line)
        painter.ellipse((x - size // 4, y, x + size // 4, y + size // 2), fill=ink)
    else:
        painter.text((x, y), "stock", fill=ink, font=ImageFont.load_default(size), anchor="mm")


def marked(image: Image.Image, kind: str, opacity: float, step: tuple[int, int], *, staggered: bool) -> Image.Image:
    """Return the image under marks; step: down and across in px."""
    layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
    painter = ImageDraw.Draw(layer)
    for row, y in enumerate(range(step[0] // 2, image.height, step[0])):
        shift = step[1] // 2 if staggered and row % 2 else 0
        for x in range(step[1] // 2 - shift, image.width + step[1], step[1]):
            draw(painter, kind, x, y, min(step) // 3, (255, 255, 255, round(255 * opacity)))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


@functools.cache
def scene(name: str) -> Image.Image:
    return Image.open(BUNDLED / name).convert("RGB")


@pytest.mark.parametrize("opacity", [0.25, pytest.param(0.45, marks=pytest.mark.full)])
@pytest.mark.parametrize(("kind", "encoder"), list(product(("ring", "cross", "logo", "text"), ENCODERS)))
@pytest.mark.parametrize(
    ("name", "step", "staggered"),
    [("coffee.png", (80, 80), False), ("chelsea.png", (60, 95), False), ("coffee.png", (55, 110), True)],
)
def test_a_tiled_mark_is_found(
    name: str, step: tuple[int, int], staggered: bool, kind: str, encoder: str, opacity: float
) -> None:
    image = marked(scene(name), kind, opacity, step, staggered=staggered)
    assert number(image, encoder) > LIMIT


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_mark_on_a_large_photograph_is_found(factor: int) -> None:
    large = Image.fromarray(natural_noise(400 * factor, 500 * factor))
    image = marked(large, "ring", 0.3, (80 * factor, 90 * factor), staggered=False)
    assert number(large, "JPEG") < LIMIT < number(image, "JPEG")


def test_a_mark_turned_with_the_image_counts_the_same() -> None:
    luma = np.asarray(marked(scene("coffee.png"), "logo", 0.3, (70, 90), staggered=False).convert("L"))
    assert tiled_mark(np.ascontiguousarray(luma.T)) == pytest.approx(tiled_mark(luma), abs=0.3)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_have_none(name: str) -> None:
    assert (MEASURE.measure(bundled_image(name))["tiled_mark"] or 0) < 4


@pytest.mark.parametrize("encoder", ENCODERS)
def test_one_mark_and_a_single_row_of_marks_are_not_tiled(encoder: str) -> None:
    image = scene("coffee.png").copy()
    painter = ImageDraw.Draw(image)
    draw(painter, "logo", 480, 320, 40, (255, 255, 255))
    assert number(image, encoder) < LIMIT
    for x in range(40, 600, 80):
        draw(painter, "ring", x, 200, 30, (255, 255, 255))
    assert number(image, encoder) < LIMIT


def textured(height: int, width: int, strength: float, seed: int) -> Levels:
    return (natural_noise(height, width, seed).astype(np.float32) - 128) * strength


def bricks(height: int, width: int, jitter: int, seed: int) -> Levels:
    """Return courses of bricks that differ in shade, and by up to `jitter` px in size."""
    random = np.random.default_rng(seed)
    wall = np.full((height, width), 190, np.float32)
    down, across, mortar = height // 16, height // 8, max(2, height // 110)
    for row, y in enumerate(range(0, height, down)):
        for x in range(-across, width, across):
            top, left, bottom, right = random.integers(-jitter, jitter + 1, 4)
            start = max(0, x + across // 2 * (row % 2) + left)
            end = max(0, x + across // 2 * (row % 2) + across - mortar + right)
            wall[max(0, y + top) : max(0, y + down - mortar + bottom), start:end] = 110 + random.normal(0, 25)
    return wall + textured(height, width, 0.4, seed)


def windows(height: int, width: int, jitter: int, seed: int) -> Levels:
    random = np.random.default_rng(seed)
    wall = 170 + textured(height, width, 0.2, seed)
    down, across = height // 6, height // 8
    for y in range(down // 3, height, down):
        for x in range(across // 3, width, across):
            top, left = random.integers(-jitter, jitter + 1, 2)
            y0, x0 = max(0, y + top), max(0, x + left)
            wall[y0 : y0 + down // 2, x0 : x0 + across // 2] = 60 + random.normal(0, 15)
            wall[y0 : y0 + down // 2, x0 + across // 4 : x0 + across // 4 + 2] = 220
    return wall


def fence(height: int, width: int, _: int, seed: int) -> Levels:
    y, x = np.mgrid[:height, :width]
    wires = ((x + y) % (height // 10) < height // 120) | ((x - y) % (height // 10) < height // 120)
    return np.where(wires, 200, 128 + textured(height, width, 0.8, seed)).astype(np.float32)


def stripes(height: int, width: int, _: int, seed: int) -> Levels:
    x = np.arange(width, dtype=np.float32)[None]
    return 128 + 50 * np.sign(np.sin(x * 2 * np.pi / (height / 12))) + textured(height, width, 0.3, seed)


def sky(height: int, width: int, _: int, seed: int) -> Levels:
    down = np.linspace(200, 140, height, dtype=np.float32)[:, None]
    return down + np.random.default_rng(seed).normal(0, 1.5, (height, width)).astype(np.float32)


def seen(levels: Levels, *, tilt: float = 0) -> NDArray[np.uint8]:
    """Return levels as a camera sees them: tilted by a share of the height, through a lens, with noise."""
    height, width = levels.shape
    if tilt:
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        to = np.array([[0, 0], [width, height * tilt], [width, height * (1 - tilt)], [0, height]], np.float32)
        turn = cv2.getPerspectiveTransform(corners, to)
        levels = np.asarray(cv2.warpPerspective(levels, turn, (width, height), borderMode=cv2.BORDER_REFLECT))
    noise = np.random.default_rng(1).normal(0, 2, levels.shape)
    return np.clip(cv2.GaussianBlur(levels, (0, 0), 0.8) + noise + 0.5, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("make", [bricks, windows, fence, stripes, sky], ids=lambda make: make.__name__)
@pytest.mark.parametrize("size", [(321, 481), (480, 640), (900, 1200)])
@pytest.mark.parametrize(("jitter", "tilt"), [(0, 0), (1, 0), (2, 0), (0, 0.05)])
def test_what_repeats_in_the_scene_is_no_mark(make: object, size: tuple[int, int], jitter: int, tilt: float) -> None:
    assert callable(make)
    assert number(seen(make(*size, jitter, 3), tilt=tilt), "JPEG") < LIMIT


def test_even_images_have_none_and_small_ones_give_null() -> None:
    assert number(np.full((300, 400), 7, np.uint8)) == 0
    assert number(np.tile(np.arange(256, dtype=np.uint8), (300, 2))) < LIMIT
    assert MEASURE.measure(encoded_image(np.zeros((127, 400), np.uint8))) == {"tiled_mark": None}


@pytest.mark.parametrize("tile", [32, 64, 100])
def test_a_dithered_sky_is_none(tile: int) -> None:
    random = np.random.default_rng(tile)
    sky = np.linspace(120, 150, 400)[:, None] + np.zeros(600)
    dither = np.tile(random.uniform(-1, 1, (tile, tile)), (400 // tile + 1, 600 // tile + 1))[:400, :600]
    luma = np.vstack([np.rint(sky + dither), natural_noise(120, 600)]).astype(np.uint8)
    assert number(luma) < LIMIT
