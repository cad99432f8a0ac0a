"""Upscaled images are distinguished from native ones: noise, bundled photographs, and real ones if present."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from million_ird.measures.resolution import ResolutionMeasure, extreme_tiles, mean_power
from tests.million_ird.measures.sample_images import BUNDLED, encoded_image, natural_noise

MEASURE = ResolutionMeasure()
KERNELS = {name: Image.Resampling[name] for name in ("BILINEAR", "BICUBIC", "LANCZOS")}


def upscale(image: Image.Image, factor: float, kernel: Image.Resampling) -> Image.Image:
    small = image.resize((round(image.width / factor), round(image.height / factor)), Image.Resampling.LANCZOS)
    return small.resize(image.size, kernel)


def drops(image: Image.Image, **options: object) -> tuple[float, float]:
    numbers = MEASURE.measure(encoded_image(image, **options))
    return numbers["octave_drop"] or 0, numbers["lower_octave_drop"] or 0


def test_white_noise_has_unit_power_and_no_drop() -> None:
    noise = np.random.default_rng(0).normal(128, 20, (512, 512)).clip(0, 255).astype(np.uint8)
    power = mean_power(extreme_tiles(noise)[1])
    assert power[:, 1:].mean() == pytest.approx(noise.var(), rel=0.05)
    numbers = MEASURE.measure(encoded_image(noise))
    assert numbers["octave_drop"] == pytest.approx(0, abs=0.5)
    assert numbers["lower_octave_drop"] == pytest.approx(0, abs=0.5)
    assert numbers["effective_resolution"] == 1
    # The square rings over half of Nyquist hold three quarters of the plane; rows of the half plane count a little.
    assert numbers["high_frequency_share"] == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("kernel", KERNELS)
def test_upscaling_leaves_an_octave_empty(kernel: str) -> None:
    native = Image.fromarray(natural_noise(768, 768))
    twice, four = (drops(upscale(native, factor, KERNELS[kernel])) for factor in (2, 4))
    assert drops(native)[0] < 15
    assert twice[0] > 24.5
    assert drops(native)[1] < 12
    assert four[1] > 20


@pytest.mark.parametrize("name", ["astronaut.png", "coffee.png", "rocket.jpg", "chelsea.png"])
def test_bundled_photographs_pass_and_their_upscaled_copies_do_not(name: str) -> None:
    native = Image.open(BUNDLED / name).convert("RGB")
    assert drops(native) < (24.5, 20)
    twice = native.resize((native.width * 2, native.height * 2), Image.Resampling.BICUBIC)
    assert drops(twice)[0] > 24.5
    assert drops(twice, format="JPEG", quality=92)[0] > drops(native)[0] + 4


def test_diagonal_detail_counts_as_detail() -> None:
    y, x = np.mgrid[:512, :512]
    stripes = 128 + 60 * np.sign(np.sin((x + y) / 7.3)) + np.random.default_rng(0).normal(0, 2, (512, 512))
    assert drops(Image.fromarray(stripes.clip(0, 255).astype(np.uint8))) < (24.5, 20)


def test_a_mostly_plain_image_is_measured_by_its_sharp_tiles() -> None:
    sky = np.repeat(np.linspace(120, 160, 768).astype(np.uint8)[:, None], 768, axis=1)
    sky[:384, :384] = natural_noise(384, 384)
    assert drops(Image.fromarray(sky)) < (15, 12)


@pytest.mark.parametrize("deviation", [3, 6])
@pytest.mark.parametrize("kernel", KERNELS)
def test_noise_does_not_hide_that_an_image_is_upscaled(kernel: str, deviation: float) -> None:
    """Half of the image is smooth, so that the noise can be seen."""
    native = np.full((1024, 1024), 120, np.uint8)
    native[:, :512] = natural_noise(1024, 512)
    twice = upscale(Image.fromarray(native), 2, KERNELS[kernel])
    noise = np.random.default_rng(0).normal(0, deviation, native.shape)
    numbers = [
        MEASURE.measure(encoded_image(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)))
        for image in (native, twice)
    ]
    for field, limit in (("octave_drop", 20), ("cutoff", 33)):
        clean, upscaled = (values[field] or 0 for values in numbers)
        assert clean < limit < upscaled, field


def test_effective_resolution_follows_the_factor() -> None:
    native = Image.fromarray(natural_noise(768, 768))
    values = [
        MEASURE.measure(encoded_image(upscale(native, factor, Image.Resampling.LANCZOS)))["effective_resolution"] or 0
        for factor in (1, 1.5, 2, 3, 4)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1
    assert values[-1] < 0.45


def test_small_and_flat_images_are_null() -> None:
    assert set(MEASURE.measure(encoded_image(natural_noise(127, 500))).values()) == {None}
    assert set(MEASURE.measure(encoded_image(np.full((300, 300), 90, np.uint8))).values()) == {None}


def test_real_photographs(shared_data: Path) -> None:
    for name in ("190_Cold_Peak.jpg", "094_Temple.jpg"):
        native = Image.open(shared_data / "photos" / name).convert("RGB")
        middle = native.crop((300, 200, 300 + 768, 200 + 768))
        assert drops(middle) < (24.5, 20)
        assert drops(upscale(middle, 2, Image.Resampling.BICUBIC))[0] > 24.5
        assert drops(upscale(middle, 4, Image.Resampling.LANCZOS))[1] > 20
