from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dynet.data import Pictures, Source
from dynet.errors import DataError
from dynet.randomness import generator

Write = Callable[[Path, list[np.ndarray]], None]


def test_pictures_come_back_as_they_were_written(data_set: Path, photographs: list[np.ndarray]) -> None:
    pictures = Pictures([Source(str(data_set), 1)])
    written = [photo[y : y + 128, 100:228] for photo in photographs for y in (0, 80, 160)]
    for key in range(5):
        drawn = pictures.draw(generator(0, "test", key))
        assert any(np.array_equal(drawn, patch) for patch in written)


def test_sets_are_drawn_by_weight(tmp_path: Path, write_patches: Write) -> None:
    for name, value in (("black", 0), ("white", 255)):
        write_patches(tmp_path / name, [np.full((16, 16, 3), value, np.uint8)])
    sources = [Source.parse(str(tmp_path / "black")), Source.parse(f"{tmp_path / 'white'}=3")]
    pictures = Pictures(sources)
    bright = np.mean([pictures.draw(generator(0, "test", key)).mean() for key in range(400)]) / 255
    assert bright == pytest.approx(0.75, abs=0.06)


def test_the_fingerprint_follows_rows_and_weights_and_not_the_place(tmp_path: Path, write_patches: Write) -> None:
    patches = [np.full((16, 16, 3), value, np.uint8) for value in (0, 9)]
    write_patches(tmp_path / "a", patches)
    write_patches(tmp_path / "b", patches)
    write_patches(tmp_path / "more", [*patches, patches[0]])

    def fingerprint(argument: str) -> str:
        return Pictures([Source.parse(str(tmp_path / argument))]).fingerprint()

    assert fingerprint("a") == fingerprint("b")
    assert len({fingerprint(argument) for argument in ("a", "a=2", "more")}) == 3


@pytest.mark.parametrize("argument", ["x=", "x=a", "x=0", "x=-1", "x=nan", "x=inf"])
def test_a_weight_that_is_none_is_refused(argument: str) -> None:
    with pytest.raises(DataError, match="weight"):
        Source.parse(argument)


def test_what_is_no_data_set_is_refused_in_one_line(tmp_path: Path, write_patches: Write) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("not pictures")
    write_patches(tmp_path / "none", [])
    for name in ("missing", "empty", "texts", "none"):
        with pytest.raises(DataError) as caught:
            Pictures([Source(str(tmp_path / name), 1)])
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
