from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.demo import examples
from dynet.demo.examples import write_examples

MANY_PIXELS = 10**6


def test_the_photographs_are_those_of_scikit_image(tmp_path: Path, photographs: list[np.ndarray]) -> None:
    written = write_examples(tmp_path, MANY_PIXELS)
    assert [path.stem for path in written] == ["astronaut", "cat", "coffee", "rocket"]
    for path, photograph in zip(written, [photographs[i] for i in (0, 2, 1, 3)], strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), photograph)


def test_without_scikit_image_the_drawings_are_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "find_spec", lambda name: None)
    written = write_examples(tmp_path / "one", MANY_PIXELS)
    again = write_examples(tmp_path / "two", MANY_PIXELS)
    assert [path.stem for path in written] == ["discs", "fabric"]
    for path, other in zip(written, again, strict=True):
        assert path.read_bytes() == other.read_bytes()
        image = np.asarray(Image.open(path))
        assert image.shape == (384, 512, 3)
        assert image.std() > 25  # it has structure to restore


def test_examples_are_downscaled_to_the_limit(tmp_path: Path) -> None:
    for path in write_examples(tmp_path, 20_000):
        image = Image.open(path)
        assert 18_000 < image.width * image.height <= 20_000
