import io

import cv2
import numpy as np
import pytest
from PIL import Image

from dynet.degradations.jpeg import jpeg
from dynet.degradations.webp import webp
from dynet.errors import ImageError
from dynet.runtime.rng import generator

NOTHING = generator(0, "test")


def mse(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean((first.astype(float) - second) ** 2))


@pytest.mark.parametrize("quality", [10, 30, 75, 95])
def test_jpeg_equals_pillows_and_nearly_opencvs(quality: int, photographs: list[np.ndarray], tmp_path) -> None:
    crop = photographs[0][:99, 100:253]
    ours = jpeg(crop, NOTHING, quality=quality)
    Image.fromarray(crop).save(tmp_path / "crop.jpg", quality=quality)
    assert np.array_equal(ours, np.array(Image.open(tmp_path / "crop.jpg")))
    _, encoded = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert mse(ours, cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]) < 0.02 * mse(ours, crop)


@pytest.mark.parametrize("quality", [1, 30, 80])
def test_webp_equals_pillows_and_is_close_to_opencvs(quality: int, photographs: list[np.ndarray]) -> None:
    crop = photographs[0][:99, 100:253]
    ours = webp(crop, NOTHING, quality=quality)
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "WEBP", quality=quality, method=2)
    assert np.array_equal(ours, np.array(Image.open(file).convert("RGB")))
    _, encoded = cv2.imencode(".webp", crop[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
    theirs = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]
    assert mse(ours, crop) == pytest.approx(mse(theirs, crop), rel=0.25)


@pytest.mark.parametrize("compress", [jpeg, webp])
def test_less_quality_is_worse(compress, photographs: list[np.ndarray]) -> None:
    errors = [mse(compress(photographs[0], NOTHING, quality=q), photographs[0]) for q in (1, 10, 50, 95)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 0


@pytest.mark.parametrize(("compress", "longest"), [(jpeg, 65500), (webp, 16383)])
def test_images_too_large_for_the_format_are_a_one_line_error(compress, longest: int) -> None:
    assert compress(np.zeros((1, longest, 3), np.uint8), NOTHING, quality=50).shape == (1, longest, 3)
    with pytest.raises(ImageError, match=f"{longest} pixels a side, not 2x{longest + 1}"):
        compress(np.zeros((longest + 1, 2, 3), np.uint8), NOTHING, quality=50)
