import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.data.folder_set import FolderSet
from dynet.errors import DataError
from dynet.runtime.rng import generator

Make = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Make:
    """Writes small images, each of one level that its place in the arguments gives."""

    def make(*files: str, size: tuple[int, int] = (20, 24), top: str = "Bilder дата") -> Path:
        for level, file in enumerate(files):
            path = tmp_path / top / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (level, level, level)).save(path)
        return tmp_path / top

    return make


def one(folder: Path, task: str | None = None) -> FolderSet:
    (opened,) = FolderSet.open(str(folder), task)
    return opened


def test_pairs_and_clean_images_are_read_from_their_files(folder: Make) -> None:
    pairs = one(folder("input/b.png", "target/b.png", "input/a.png", "target/a.png"))
    levels = [[int(side.mean()) for side in (crop.degraded, crop.clean)] for crop in _cuts(pairs)]
    assert (pairs.paired, pairs.task, levels) == (True, None, [[2, 3], [0, 1]])
    clean = one(folder("z.png", "k/y.bmp", top="clean"))
    assert (clean.paired, clean.task, clean.names) == (False, None, ("k/y.bmp", "z.png"))
    assert [(crop.degraded, int(crop.clean.mean())) for crop in _cuts(clean)] == [(None, 1), (None, 0)]


def _cuts(images: FolderSet) -> list:
    return [images.crop(row, 16, generator(0, "test", row)) for row in range(len(images))]


def test_a_moved_folder_keeps_its_identity_and_other_files_change_it(folder: Make, tmp_path: Path) -> None:
    top = folder("input/a.png", "target/a.png", "input/b.png", "target/b.png")
    before = one(top).identity()
    moved = tmp_path / "elsewhere" / "new name"
    moved.parent.mkdir()
    shutil.move(top, moved)
    assert one(moved).identity() == before
    for change in (
        lambda: Image.effect_noise((20, 24), 9).convert("RGB").save(moved / "input/a.png"),
        lambda: [(moved / side / "b.png").unlink() for side in ("input", "target")],
        lambda: [(moved / side / "a.png").rename(moved / side / "c.png") for side in ("input", "target")],
    ):
        change()
        after = one(moved).identity()
        assert after != before
        before = after


def test_the_order_of_a_directory_listing_does_not_matter(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    top = folder(*(f"{name}/{side}/1.png" for name in "cab" for side in ("blur", "sharp")))
    before = one(top)
    group_ids = before.group_ids().tolist()
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: Path) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> object:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr("dynet.data.layouts.os.scandir", Backwards)
    after = one(top)
    assert after == before
    assert after.identity() == before.identity()
    assert after.group_ids().tolist() == group_ids


def test_a_scene_with_several_hazes_is_one_group_and_so_is_a_video(folder: Make) -> None:
    hazes = [f"synthetic/{scene}_{air}_0.1.png" for scene in ("0001", "0002") for air in (0.8, 0.9, 1)]
    hazy = one(folder(*hazes, "original/0001.png", "original/0002.png", top="haze"))
    assert [hazy.group_ids().tolist().count(family) for family in np.unique(hazy.group_ids())] == [3, 3]
    films = one(folder(*(f"{film}/{side}/{n}.png" for film in "ab" for side in ("blur", "sharp") for n in range(4))))
    assert [films.group_ids().tolist().count(family) for family in np.unique(films.group_ids())] == [4, 4]
    clean = one(folder("x/1.png", "y/1.png", top="clean"))
    assert len(set(clean.group_ids().tolist())) == 2


def test_rows_are_found_by_their_clean_file(folder: Make) -> None:
    hazy = one(folder("synthetic/0001_1_0.1.png", "synthetic/0002_1_0.1.png", "original/0001.png", "original/0002.png"))
    assert hazy.rows_from_files({"0002", "0001_1_0.1"}).tolist() == [1]
    clean = one(folder("Sub/ABC.png", "abc.jpg", "x.png", top="clean"))
    assert clean.rows_from_files({"abc"}).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda top: Image.new("RGB", (21, 24)).save(top / "input/a.png"), "input/a.png has 21x24 pixels, but"),
        (
            lambda top: (top / "target/a.png").write_bytes(b"no picture"),
            "target/a.png is not an image that can be read",
        ),
        (lambda top: (top / "input/a.png").unlink(), "input/a.png cannot be"),
        (lambda top: os.truncate(top / "target/a.png", 60), "target/a.png"),
        (lambda top: Image.new("RGB", (20, 15)).save(top / "target/a.png"), "target/a.png has 20x15 pixels, too few"),
    ],
)
def test_an_unusable_pair_is_named(folder: Make, spoil: Callable[[Path], object], message: str) -> None:
    pairs = one(folder("input/a.png", "target/a.png"))
    spoil(folder("x.png", top="other").parent / "Bilder дата")
    with pytest.raises(DataError) as caught:
        pairs.crop(0, 16, generator(0, "test"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_exif_orientation_is_applied(folder: Make) -> None:
    top = folder("a.jpg", size=(24, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(top / "a.jpg").save(top / "a.jpg", exif=exif)
    shapes = one(top).crop(0, 24, generator(0, "test")).clean.shape
    assert shapes == (24, 24, 3)
    with pytest.raises(DataError, match=r"a\.jpg has 40x24 pixels, too few for crop: 25"):
        one(top).crop(0, 25, generator(0, "test"))


def test_the_users_task_overrides_that_of_the_layout(folder: Make) -> None:
    top = folder("rainy/rain-1.png", "gt/norain-1.png")
    assert (one(top).task, one(top, "rain").task) == ("derain", "rain")


def test_a_task_for_a_folder_of_several_tasks_is_an_error(folder: Make) -> None:
    top = folder("Denoise/a.png", "Derain/rainy/rain-1.png", "Derain/gt/norain-1.png")
    assert [(part.task, part.paired) for part in FolderSet.open(str(top), None)] == [(None, False), ("derain", True)]
    with pytest.raises(DataError, match=r"--data derain:.* is for several tasks \(clean images, derain\): name one"):
        FolderSet.open(str(top), "derain")


def test_a_pickled_set_is_equal(folder: Make) -> None:
    pairs = one(folder("input/a.png", "target/a.png"))
    assert pickle.loads(pickle.dumps(pairs)) == pairs
