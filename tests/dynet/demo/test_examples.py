from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.demo import examples
from dynet.demo.examples import write_examples

PLENTY = 10**6


def test_the_photographs_are_those_of_scikit_image(tmp_path: Path, photographs: list[np.ndarray]) -> None:
    written = write_examples(tmp_path, PLENTY)
    assert [path.stem for path in written] == ["astronaut", "cat", "coffee", "rocket"]
    for path, photograph in zip(written, [photographs[i] for i in (0, 2, 1, 3)], strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), photograph)


def test_without_scikit_image_they_are_drawn_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "find_spec", lambda name: None)
    written = write_examples(tmp_path / "one", PLENTY)
    again = write_examples(tmp_path / "two", PLENTY)
    assert [path.stem for path in written] == ["discs", "fabric"]
    for path, other in zip(written, again, strict=True):
        assert path.read_bytes() == other.read_bytes()
        picture = np.asarray(Image.open(path))
        assert picture.shape == (384, 512, 3)
        assert picture.std() > 25  # not flat: something to restore


def test_where_the_page_takes_only_small_pictures_they_are_made_small(tmp_path: Path) -> None:
    for path in write_examples(tmp_path, 20_000):
        picture = Image.open(path)
        assert 18_000 < picture.width * picture.height <= 20_000
