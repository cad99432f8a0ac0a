"""Images that a caller has in memory, in every form that numpy and Pillow have for them."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from dynet.errors import ImageError
from dynet.inference.in_memory import array_like, image_of_array, image_of_pillow

ARRAY = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)


class Labelled(np.ndarray):
    """An array of a subclass, as imageio and others return it."""


@pytest.mark.parametrize(
    "form", [np.asarray, np.asfortranarray, np.matrix, lambda array: array.view(Labelled), lambda array: array[::-1]]
)
def test_arrays_of_any_class_and_order_have_the_samples_of_a_plain_one(
    form: Callable[[np.ndarray], np.ndarray],
) -> None:
    array = form(ARRAY)
    image = image_of_array(array)
    assert type(image.colour) is np.ndarray
    assert np.array_equal(image.as_rgb()[..., 0], np.asarray(array) / np.float32(255))
    assert np.array_equal(array_like(image.with_rgb(image.as_rgb()), array), np.asarray(array))


class Broken(Image.Image):
    """A file that is opened, and whose plugin fails when its pixels are read."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._size, self._mode, self.error = (4, 4), "RGB", error

    def load(self) -> None:
        raise self.error


@pytest.mark.parametrize("error", [OSError, SyntaxError, IndexError, EOFError, ZeroDivisionError])
def test_a_pil_image_of_a_broken_file_is_an_image_error(error: type[Exception]) -> None:
    with pytest.raises(ImageError, match=r"^image: cannot be decoded: some reason$"):
        image_of_pillow(Broken(error("some reason")))


def test_a_truncated_qoi_is_an_image_error() -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)).save(whole, "QOI")
    with pytest.raises(ImageError, match="cannot be decoded"):
        image_of_pillow(Image.open(io.BytesIO(whole.getvalue()[:2000])))
