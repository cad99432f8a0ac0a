"""The gates of the shipped recipes on real pictures: what stays, what goes, and the reason that is recorded."""

import io
from pathlib import Path

import pytest
from PIL import Image

from million_ird.candidate import Drop
from million_ird.config.gates import first_drop
from million_ird.config.loading import load
from million_ird.config.recipe import Recipe
from million_ird.images.encoded_image import EncodedImage
from million_ird.measures.registry import MEASURES
from tests.million_ird.measures.sample_images import BUNDLED, bundled, sample

SIZES = {"short_side", "long_side", "megapixels"}


@pytest.fixture(scope="module")
def demo() -> Recipe:
    return load("demo.yaml")


def verdict(recipe: Recipe, picture: EncodedImage) -> Drop | None:
    """The first gate that drops it, gates on size and on scores apart."""
    gates = [gate for gate in recipe.gates if gate.field not in SIZES]
    numbers = {}
    for measure in MEASURES.values():
        if {gate.field for gate in gates} & set(measure.fields):
            numbers.update(measure.measure(picture))
    return first_drop(gates, numbers)


@pytest.mark.parametrize(
    "name",
    ["astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "rocket.jpg"],
)
def test_bundled_photographs_stay(demo: Recipe, name: str) -> None:
    assert verdict(demo, bundled(name)) is None


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
def test_bundled_others_go_and_say_why(demo: Recipe, name: str, reason: str) -> None:
    drop = verdict(demo, bundled(name))
    assert drop is not None
    assert drop.reason == reason


def test_a_flat_picture_is_flat(demo: Recipe) -> None:
    drop = verdict(demo, sample(Image.new("RGB", (400, 300), (200, 180, 90))))
    assert drop is not None
    assert drop.reason == "flat_artwork"


@pytest.mark.parametrize(
    ("reason", "harm"),
    [
        ("compressed", lambda picture: (picture, {"format": "JPEG", "quality": 20})),
        ("recompressed", lambda picture: (_jpeg(picture, 20), {"format": "JPEG", "quality": 95})),
        ("enlarged", lambda picture: (picture.resize((picture.width * 2, picture.height * 2)), {})),
    ],
)
def test_harm_to_a_photograph_is_named(demo: Recipe, reason: str, harm: object) -> None:
    assert callable(harm)
    picture, saving = harm(Image.open(BUNDLED / "coffee.png").convert("RGB"))
    drop = verdict(demo, sample(picture, **saving))
    assert drop is not None
    assert drop.reason == reason


def _jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def test_demo_and_default_have_the_same_gates_but_for_size(demo: Recipe) -> None:
    def rest(recipe: Recipe) -> list[object]:
        return [gate for gate in recipe.gates if gate.field not in SIZES]

    assert rest(demo) == rest(load("million_ird.yaml"))


@pytest.mark.parametrize("kind", ["logos", "charts", "documents", "screens", "blurred"])
def test_real_negatives_go(demo: Recipe, kind: str, shared_data: Path) -> None:
    for path in sorted((shared_data / "negatives" / kind).iterdir())[:5]:
        assert verdict(demo, sample(path.read_bytes())) is not None, path.name


def test_real_photographs_stay_dark_and_foggy_ones_too(demo: Recipe, shared_data: Path) -> None:
    files = [
        *sorted((shared_data / "real" / "lowlight").iterdir()),
        shared_data / "real" / "hazy" / "canyon.png",
        shared_data / "photos" / "190_Cold_Peak.jpg",
        shared_data / "train" / "BSDS500" / "train" / "135069.jpg",
        shared_data / "train" / "BSDS500" / "train" / "42044.jpg",
    ]
    for path in files:
        assert verdict(demo, sample(path.read_bytes())) is None, path.name
