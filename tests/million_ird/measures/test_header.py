"""Numbers of the header, compared with how Pillow saved the file and with the bytes that were written."""

import io

import numpy as np
import pytest
from PIL import Image

from million_ird.measures.header import HeaderMeasure
from million_ird.measures.jpeg_tables import ijg_luma_table, jpeg_quality
from tests.million_ird.measures.sample_images import encoded_image, natural_noise, to_colour

MEASURE = HeaderMeasure()
IMAGE = Image.fromarray(to_colour(natural_noise(24, 40)))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_quality_is_the_one_that_pillow_saved_with_from_1_to_100(mode: str) -> None:
    for quality in range(1, 101):
        numbers = MEASURE.measure(encoded_image(IMAGE.convert(mode), format="JPEG", quality=quality))
        assert numbers["jpeg_quality"] == quality


def test_our_tables_equal_pillows() -> None:
    for quality in (1, 5, 24, 25, 49, 50, 51, 75, 99, 100):
        buffer = io.BytesIO()
        IMAGE.save(buffer, "JPEG", quality=quality)
        stored = sorted(Image.open(buffer).quantization[0])
        assert stored == sorted(ijg_luma_table(quality))


def test_another_table_gets_the_quality_of_the_same_coarseness() -> None:
    random = np.random.default_rng(0)
    for quality in (20, 50, 80, 92):
        near = np.clip(np.rint(ijg_luma_table(quality) * random.uniform(0.9, 1.1, 64)), 1, 255).astype(int)
        assert jpeg_quality((tuple(near.tolist()),)) == pytest.approx(quality, abs=3)
    flat = [jpeg_quality(((step,) * 64,)) for step in (1, 4, 20, 100, 255)]
    assert flat == sorted(flat, reverse=True)
    assert (flat[0], flat[-1]) == (100, 1)


def test_quality_is_null_without_tables() -> None:
    assert jpeg_quality(None) is None
    assert jpeg_quality(()) is None
    assert jpeg_quality(((1, 2, 3),)) is None
    assert MEASURE.measure(encoded_image(IMAGE))["jpeg_quality"] is None


def test_sizes_are_as_displayed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    numbers = MEASURE.measure(encoded_image(IMAGE, format="JPEG", exif=exif))
    assert (numbers["short_side"], numbers["long_side"]) == (24, 40)
    assert numbers["aspect"] == pytest.approx(40 / 24)
    assert numbers["megapixels"] == pytest.approx(24 * 40 / 1e6)
    assert numbers["frames"] == 1


def test_bits_per_pixel_are_given_for_lossy_files_only() -> None:
    jpeg = encoded_image(IMAGE, format="JPEG", quality=80)
    assert MEASURE.measure(jpeg)["bits_per_pixel"] == pytest.approx(len(jpeg.encoded) * 8 / (24 * 40))
    assert MEASURE.measure(encoded_image(IMAGE, format="WEBP", quality=80))["bits_per_pixel"] is not None
    for lossless in ({"format": "PNG"}, {"format": "BMP"}, {"format": "TIFF"}, {"format": "WEBP", "lossless": True}):
        assert MEASURE.measure(encoded_image(IMAGE, **lossless))["bits_per_pixel"] is None


def test_an_animation_has_a_number_of_frames_and_no_bits_per_pixel() -> None:
    frames = [Image.fromarray(to_colour(natural_noise(16, 16, seed))) for seed in range(3)]
    numbers = MEASURE.measure(encoded_image(frames[0], format="WEBP", save_all=True, append_images=frames[1:]))
    assert numbers["frames"] == 3
    assert numbers["bits_per_pixel"] is None
