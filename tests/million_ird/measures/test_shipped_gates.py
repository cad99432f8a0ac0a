"""The gates of the shipped recipes on real images: which are kept, which are dropped, and the recorded reason."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from million_ird.candidate import Drop
from million_ird.config.gates import first_drop
from million_ird.config.loading import load
from million_ird.config.recipe import Recipe
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.registry import MEASURES
from tests.million_ird.measures.sample_images import BUNDLED, bundled_image, encoded_image

SIZES = {"short_side", "long_side", "megapixels"}


@pytest.fixture(scope="module")
def demo() -> Recipe:
    return load("demo.yaml")


def verdict(recipe: Recipe, image: EncodedImage) -> Drop | None:
    """Return the first gate that drops the image; gates on size and on scores are left out."""
    gates = [gate for gate in recipe.gates if gate.field not in SIZES]
    numbers = {}
    for measure in MEASURES.values():
        if {gate.field for gate in gates} & set(measure.fields):
            numbers.update(measure.measure(image))
    return first_drop(gates, numbers)


@pytest.mark.parametrize(
    "name",
    # without moon.png, whose pixels are doubled
    [
        "astronaut.png",
        "brick.png",
        "camera.png",
        "chelsea.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "rocket.jpg",
    ],
)
def test_bundled_photographs_are_kept(demo: Recipe, name: str) -> None:
    assert verdict(demo, bundled_image(name)) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("page.png", "text"),
        ("horse.png", "flat_artwork"),
        ("logo.png", "flat_artwork"),
        ("phantom.png", "flat_artwork"),
        ("color.png", "framed"),
    ],
)
def test_other_bundled_images_are_dropped_with_a_reason(demo: Recipe, name: str, reason: str) -> None:
    drop = verdict(demo, bundled_image(name))
    assert drop is not None
    assert drop.reason == reason


def test_a_flat_image_is_flat_artwork(demo: Recipe) -> None:
    drop = verdict(demo, encoded_image(Image.new("RGB", (400, 300), (200, 180, 90))))
    assert drop is not None
    assert drop.reason == "flat_artwork"


@pytest.mark.parametrize(
    ("reason", "damage"),
    [
        ("compressed", lambda image: (image, {"format": "JPEG", "quality": 20})),
        ("recompressed", lambda image: (_jpeg(image, 20), {"format": "JPEG", "quality": 95})),
        ("enlarged", lambda image: (image.resize((image.width * 2, image.height * 2)), {})),
    ],
)
def test_damage_to_a_photograph_is_the_reason(demo: Recipe, reason: str, damage: object) -> None:
    assert callable(damage)
    image, options = damage(Image.open(BUNDLED / "coffee.png").convert("RGB"))
    drop = verdict(demo, encoded_image(image, **options))
    assert drop is not None
    assert drop.reason == reason


def _doubled(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST)


def _with_bars(image: Image.Image) -> Image.Image:
    """Return an image with black bars of 3 % above and below."""
    return ImageOps.expand(image, (0, round(image.height * 0.03)), "black")


def _beside_another(image: Image.Image) -> Image.Image:
    sheet = Image.new("RGB", (image.width, 2 * image.height))
    sheet.paste(image, (0, 0))
    sheet.paste(Image.open(BUNDLED / "astronaut.png").resize(image.size), (0, image.height))
    return sheet


def _mirrored(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.pad(np.asarray(image), ((0, 0), (90, 90), (0, 0)), "symmetric"))


@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png", "rocket.jpg"])
@pytest.mark.parametrize(
    ("reason", "change", "lossless"),
    [
        ("few_colours", lambda image: image.quantize(256).convert("RGB"), True),
        ("framed", _with_bars, False),
        ("composite", _beside_another, False),
        ("composite", _mirrored, False),
        ("resampled", _doubled, False),
    ],
)
def test_what_is_made_of_a_photograph_is_dropped_and_the_same_encoding_alone_is_not(
    demo: Recipe, name: str, reason: str, change: Callable[[Image.Image], Image.Image], lossless: bool
) -> None:
    image = Image.open(BUNDLED / name).convert("RGB")
    options: dict[str, object] = {} if lossless else {"format": "JPEG", "quality": 92}
    assert verdict(demo, encoded_image(image, **options)) is None
    drop = verdict(demo, encoded_image(change(image), **options))
    assert drop is not None
    # A few of the doubled pixels look like a joint, whose gate is asked first.
    assert drop.reason in {reason, "composite"} if change is _doubled else drop.reason == reason


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def test_demo_and_default_have_the_same_gates_except_for_size(demo: Recipe) -> None:
    def gates_without_size(recipe: Recipe) -> list[object]:
        return [gate for gate in recipe.gates if gate.field not in SIZES]

    assert gates_without_size(demo) == gates_without_size(load("million_ird.yaml"))


@pytest.mark.parametrize("kind", ["logos", "charts", "documents", "screens", "blurred"])
def test_real_negatives_are_dropped(demo: Recipe, kind: str, shared_data: Path) -> None:
    for path in sorted((shared_data / "negatives" / kind).iterdir())[:5]:
        assert verdict(demo, encoded_image(path.read_bytes())) is not None, path.name


def test_real_photographs_are_kept_including_dark_and_foggy_ones(demo: Recipe, shared_data: Path) -> None:
    files = [
        *sorted((shared_data / "real" / "lowlight").iterdir()),
        shared_data / "real" / "hazy" / "canyon.png",
        shared_data / "photos" / "190_Cold_Peak.jpg",
        shared_data / "train" / "BSDS500" / "train" / "135069.jpg",
        shared_data / "train" / "BSDS500" / "train" / "42044.jpg",
    ]
    for path in files:
        assert verdict(demo, encoded_image(path.read_bytes())) is None, path.name
