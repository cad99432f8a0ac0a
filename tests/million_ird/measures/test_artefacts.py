"""Traces of JPEG: found in pixels that were compressed, at any crop, and not in pixels that were not."""

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from million_ird.measures.artefacts import ArtefactMeasure
from tests.million_ird.measures.sample_images import BUNDLED, bundled_image, encoded_image, natural_noise

MEASURE = ArtefactMeasure()
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png")


def jpeg(image: Image.Image, quality: int, **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return Image.open(buffer).convert("RGB")


def open_bundled(name: str) -> Image.Image:
    return Image.open(BUNDLED / name).convert("RGB")


def reduced(name: str) -> Image.Image:
    """Return a photograph without a trace of what it was saved as before."""
    image = open_bundled(name)
    return image.resize((image.width * 5 // 6, image.height * 5 // 6), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("quality", [10, 20, 30, 50, 70])
def test_the_quality_of_an_earlier_compression_is_found_in_the_pixels(name: str, quality: int) -> None:
    compressed = jpeg(open_bundled(name), quality)
    assert MEASURE.measure(encoded_image(compressed))["jpeg_trace"] == pytest.approx(quality, abs=3)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("quality", [80, 85, 88, 91, 93, 95, 96, 97, 98])
def test_a_fine_compression_is_found_too(name: str, subsampling: int, quality: int) -> None:
    compressed = jpeg(reduced(name), quality, subsampling=subsampling)
    assert MEASURE.measure(encoded_image(compressed))["fine_trace"] == pytest.approx(quality, abs=1)


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, "camera.png", "rocket.jpg"])
@pytest.mark.parametrize("saving", [{}, {"format": "WEBP", "quality": 90}, {"format": "AVIF", "quality": 80}])
def test_without_jpeg_there_is_no_trace(name: str, saving: dict[str, object]) -> None:
    assert MEASURE.measure(encoded_image(reduced(name), **saving))["fine_trace"] is None


def drawings() -> dict[str, NDArray[np.uint8]]:
    """Return drawn images, on whose blocks a few coefficients recur."""
    y, x = np.mgrid[:384, :512]
    text = np.full((384, 512), 255, np.uint8)
    for row in range(24, 384, 24):
        cv2.putText(text, "The quick brown fox jumps over it", (4, row), 0, 0.7, 0, 1, cv2.LINE_8)
    photograph = open_bundled("coffee.png").convert("L").resize((512, 384))
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16 + 8
    return {
        "text": text,
        "dithered": np.asarray(photograph.convert("1").convert("L")),
        "ordered dither": (255 * (np.asarray(photograph) > np.tile(bayer, (96, 128)))).astype(np.uint8),
        **{f"squares of {size}": (200 * ((x // size + y // size) % 2)).astype(np.uint8) for size in (1, 2, 3, 5)},
        **{f"diagonals of {size}": (100 + 30 * ((x + y) % size)).astype(np.uint8) for size in (2, 3, 4)},
        "rings": ((x - 256) ** 2 // 64 + (y - 192) ** 2 // 64).astype(np.uint8),
        "tiles": np.tile(natural_noise(16, 16), (24, 32)),
        "dots": (200 * ((x % 7 == 0) & (y % 5 == 0))).astype(np.uint8),
    }


def test_drawings_have_no_fine_trace() -> None:
    found = {name: MEASURE.measure(encoded_image(one))["fine_trace"] for name, one in drawings().items()}
    assert not {name: trace for name, trace in found.items() if trace is not None}


@pytest.mark.parametrize("quality", [30, 50])
@pytest.mark.parametrize("kernel", list(Image.Resampling))
def test_half_of_a_jpeg_has_no_fine_trace(quality: int, kernel: Image.Resampling) -> None:
    for name in PHOTOGRAPHS:
        compressed = jpeg(reduced(name), quality)
        half = compressed.resize((compressed.width // 2, compressed.height // 2), kernel)
        assert MEASURE.measure(encoded_image(half))["fine_trace"] is None, name


@pytest.mark.parametrize("change", ["mark", "saved at 98", "noise"])
def test_a_fine_trace_survives_small_changes(change: str) -> None:
    compressed = jpeg(reduced("coffee.png"), 92)
    pixels = np.array(compressed)
    if change == "mark":
        pixels[40:80, 40:160] = 255 - pixels[40:80, 40:160]
    elif change == "saved at 98":
        pixels = np.array(jpeg(compressed, 98, subsampling=0))
    else:
        noise = np.random.default_rng(0).normal(0, 1, pixels.shape)
        pixels = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
    assert MEASURE.measure(encoded_image(pixels))["fine_trace"] == pytest.approx(92, abs=1.5)


@pytest.mark.parametrize("quality", [10, 30])
def test_the_trace_survives_saving_again_at_95(quality: int) -> None:
    saved_again = encoded_image(jpeg(open_bundled("coffee.png"), quality), format="JPEG", quality=95)
    assert MEASURE.measure(saved_again)["jpeg_trace"] == pytest.approx(quality, abs=3)


def test_a_crop_does_not_hide_the_trace() -> None:
    compressed = jpeg(open_bundled("coffee.png"), 20).crop((3, 5, 563, 385))
    assert MEASURE.measure(encoded_image(compressed))["jpeg_trace"] == pytest.approx(20, abs=3)


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, "camera.png", "rocket.jpg", "grass.png"])
def test_there_is_no_trace_without_coarse_compression(name: str) -> None:
    trace = MEASURE.measure(bundled_image(name))["jpeg_trace"]
    assert trace is None or trace > 70


def test_downscaling_removes_the_trace() -> None:
    compressed = jpeg(open_bundled("coffee.png"), 20)
    shrunk = compressed.resize((compressed.width * 2 // 3, compressed.height * 2 // 3), Image.Resampling.LANCZOS)
    assert MEASURE.measure(encoded_image(shrunk))["jpeg_trace"] is None


def test_the_trace_in_grey_is_that_in_colour() -> None:
    compressed = jpeg(open_bundled("coffee.png"), 25)
    grey = jpeg(open_bundled("coffee.png").convert("L"), 25).convert("L")
    traces = [MEASURE.measure(encoded_image(image))["jpeg_trace"] for image in (grey, compressed)]
    assert traces[0] == pytest.approx(traces[1], abs=3)


def test_blockiness_grows_with_compression_and_does_not_depend_on_the_crop() -> None:
    image = open_bundled("coffee.png")
    values = [MEASURE.measure(encoded_image(jpeg(image, quality)))["blockiness"] or 0 for quality in (95, 50, 20, 5)]
    assert values == sorted(values)
    compressed = jpeg(image, 10)
    cropped = compressed.crop((3, 6, 587, 390))
    assert MEASURE.measure(encoded_image(cropped))["blockiness"] == pytest.approx(
        MEASURE.measure(encoded_image(compressed))["blockiness"], rel=0.1
    )
    assert (MEASURE.measure(encoded_image(natural_noise(400, 400)))["blockiness"] or 0) < 5


def test_blockiness_equals_a_plain_loop() -> None:
    luma = np.asarray(jpeg(open_bundled("chelsea.png"), 15).convert("L"))
    excess = []
    for values in (luma.astype(int), luma.T.astype(int)):
        steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
        whole = len(steps) // 8 * 8
        phases = [steps[k:whole:8].mean() for k in range(8)]
        excess.append(max(phases) / np.median(phases) - 1)
    assert MEASURE.measure(encoded_image(luma))["blockiness"] == pytest.approx(50 * sum(excess), rel=1e-6)


def test_small_flat_and_striped_images_are_null() -> None:
    assert set(MEASURE.measure(encoded_image(natural_noise(31, 300))).values()) == {None}
    assert set(MEASURE.measure(encoded_image(np.full((100, 100), 200, np.uint8))).values()) == {None}
    stripes = np.repeat(cv2.resize(natural_noise(1, 64), (128, 1)), 64, axis=0)
    assert MEASURE.measure(encoded_image(stripes))["blockiness"] is None
