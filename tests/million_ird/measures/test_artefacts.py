"""What JPEG leaves: found in pixels that were compressed, at any crop, and not in pixels that were not."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from million_ird.measures.artefacts import ArtefactMeasure, jpeg_trace
from tests.million_ird.measures.sample_images import BUNDLED, bundled, natural, sample

MEASURE = ArtefactMeasure()
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png")


def jpeg(picture: Image.Image, quality: int, **saving: object) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, **saving)
    return Image.open(buffer).convert("RGB")


def opened(name: str) -> Image.Image:
    return Image.open(BUNDLED / name).convert("RGB")


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("quality", [10, 20, 30, 50, 70])
def test_the_quality_of_an_earlier_compression_is_found_in_the_pixels(name: str, quality: int) -> None:
    harmed = jpeg(opened(name), quality)
    assert MEASURE.measure(sample(harmed))["jpeg_trace"] == pytest.approx(quality, abs=3)


@pytest.mark.parametrize("quality", [10, 30])
def test_it_survives_saving_again_at_95(quality: int) -> None:
    again = sample(jpeg(opened("coffee.png"), quality), format="JPEG", quality=95)
    assert MEASURE.measure(again)["jpeg_trace"] == pytest.approx(quality, abs=3)


def test_a_crop_does_not_hide_it() -> None:
    harmed = jpeg(opened("coffee.png"), 20).crop((3, 5, 563, 385))
    assert MEASURE.measure(sample(harmed))["jpeg_trace"] == pytest.approx(20, abs=3)


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, "camera.png", "rocket.jpg", "grass.png"])
def test_there_is_no_trace_where_there_was_no_coarse_compression(name: str) -> None:
    trace = MEASURE.measure(bundled(name))["jpeg_trace"]
    assert trace is None or trace > 70


def test_shrinking_takes_the_trace_away() -> None:
    harmed = jpeg(opened("coffee.png"), 20)
    shrunk = harmed.resize((harmed.width * 2 // 3, harmed.height * 2 // 3), Image.Resampling.LANCZOS)
    assert MEASURE.measure(sample(shrunk))["jpeg_trace"] is None


def test_grey_is_traced_as_colour_is() -> None:
    harmed = jpeg(opened("coffee.png"), 25)
    grey = jpeg(opened("coffee.png").convert("L"), 25).convert("L")
    assert jpeg_trace(np.asarray(grey)) == pytest.approx(MEASURE.measure(sample(harmed))["jpeg_trace"], abs=3)


def test_blockiness_grows_with_compression_and_does_not_mind_the_crop() -> None:
    picture = opened("coffee.png")
    values = [MEASURE.measure(sample(jpeg(picture, quality)))["blockiness"] or 0 for quality in (95, 50, 20, 5)]
    assert values == sorted(values)
    harmed = jpeg(picture, 10)
    cropped = harmed.crop((3, 6, 587, 390))
    assert MEASURE.measure(sample(cropped))["blockiness"] == pytest.approx(
        MEASURE.measure(sample(harmed))["blockiness"], rel=0.1
    )
    assert (MEASURE.measure(sample(natural(400, 400)))["blockiness"] or 0) < 5


def test_blockiness_is_that_of_a_plain_loop() -> None:
    luma = np.asarray(jpeg(opened("chelsea.png"), 15).convert("L"))
    excess = []
    for values in (luma.astype(int), luma.T.astype(int)):
        steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
        whole = len(steps) // 8 * 8
        phases = [steps[k:whole:8].mean() for k in range(8)]
        excess.append(max(phases) / np.median(phases) - 1)
    assert MEASURE.measure(sample(luma))["blockiness"] == pytest.approx(50 * sum(excess), rel=1e-6)


def test_nulls() -> None:
    assert set(MEASURE.measure(sample(natural(31, 300))).values()) == {None}
    assert set(MEASURE.measure(sample(np.full((100, 100), 200, np.uint8))).values()) == {None}
    stripes = np.repeat(cv2.resize(natural(1, 64), (128, 1)), 64, axis=0)
    assert MEASURE.measure(sample(stripes))["blockiness"] is None
