from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.demo import examples
from dynet.demo.examples import write_examples

MANY_PIXELS = 10**6
ROOT = Path(__file__).parents[3]


def test_the_photographs_are_those_of_other_packages_that_nothing_here_trains_on(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    written = write_examples(tmp_path, MANY_PIXELS)
    assert [path.stem for path in written] == ["motorcycle", "portrait"]
    held_out = Path(data.__file__).with_name("motorcycle_left.png")
    assert np.array_equal(np.asarray(Image.open(written[0])), np.asarray(Image.open(held_out)))
    assert Image.open(written[1]).size == (512, 600)
    demo = (ROOT / "pipelines" / "demo.py").read_text(encoding="utf-8")
    assert 'HELD_OUT = "motorcycle_left.png"' in demo
    assert "/[!m]*.{png,jpg} photos/" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_without_these_packages_the_drawings_are_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
