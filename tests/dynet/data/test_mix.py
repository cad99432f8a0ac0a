"""The draw: no image is decoded here, but for the images whose pixels say where they were cut."""

import logging
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from dynet.data.folder_set import FolderSet
from dynet.data.image_set import CropPair
from dynet.data.mix import Mix, TrainingExample, TrainingTask, orient
from dynet.data.sources import DataSource, open_mix
from dynet.errors import DataError, UnusableImage

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Numbers:
    """A set whose images hold nothing but their row, and a number of the set."""

    rows: int
    number: int = 0
    paired: bool = False
    task: str | None = None
    family_of: int = 1
    validation: "Numbers | None" = None
    spans: tuple[tuple[int, int], ...] = ()
    location: str = "somewhere"

    def __len__(self) -> int:
        return self.rows

    def identity(self) -> bytes:
        return bytes([self.rows % 256, self.number])

    def group_ids(self) -> npt.NDArray[np.uint64]:
        # Scattered, as hashes are, so that what is held out is not simply the first rows.
        return (np.arange(self.rows, dtype=np.uint64) // self.family_of * np.uint64(2654435761)) % np.uint64(2**32)

    def rows_from_files(self, stems: Set[str]) -> Rows:
        return np.array([row for row in range(self.rows) if f"{self.number}-{row}" in stems], np.int64)

    def row_spans(self, seed: int, step: int) -> Rows | None:
        return np.array(self.spans) if self.spans else None

    def crop(self, row: int, size: int, random: np.random.Generator, grid_share: float = 0.0) -> CropPair:
        picture = np.full((size, size, 3), (row // 256, row % 256, self.number), np.uint8)
        return CropPair(picture if self.paired else None, picture)


def told(example: TrainingExample) -> tuple[int, int, int]:
    """Task, set and row of an example."""
    high, low, number = example.clean[0, 0].tolist()
    return example.task, number, high * 256 + low


def nothing(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return image


def clean_task(name: str, weight: float = 1.0) -> TrainingTask:
    return TrainingTask(name=name, weight=weight, degrade=nothing)


def pair_task(name: str, weight: float = 1.0) -> TrainingTask:
    return TrainingTask(name=name, weight=weight, degrade=None)


def mix_of(*sets: Numbers | tuple[Numbers, float], tasks: list[TrainingTask] | None = None, **changes: object) -> Mix:
    weighted = [entry if isinstance(entry, tuple) else (entry, 1.0) for entry in sets]
    settings = {"seed": 3, "hold_out": 0, "exclude": {}} | changes
    return Mix(tasks or [clean_task("noise")], weighted, **settings)


def draws(mix: Mix, count: int) -> list[tuple[int, int, int]]:
    return [told(mix.example(key // 32, key % 32, 1)) for key in range(count)]


def surprise(counts: Counter[object], shares: dict[object, float]) -> float:
    """Pearson's chi-square; 3.3 standard deviations above what is expected would be rare."""
    total = sum(counts.values())
    assert set(counts) <= set(shares)
    return sum((counts[name] - share * total) ** 2 / (share * total) for name, share in shares.items())


def test_tasks_and_sets_are_drawn_by_weight_and_rows_uniformly() -> None:
    tasks = [clean_task("a", 5), pair_task("b", 3), clean_task("c", 2)]
    mix = mix_of((Numbers(4, 1), 3.0), (Numbers(8, 2), 1.0), Numbers(2, 3, paired=True), tasks=tasks)
    drawn = draws(mix, 4000)
    assert surprise(Counter(task for task, _, _ in drawn), {0: 0.5, 1: 0.3, 2: 0.2}) < 12  # 2 degrees of freedom
    for task in (0, 2):
        sets = Counter(number for which, number, _ in drawn if which == task)
        assert surprise(sets, {1: 0.75, 2: 0.25}) < 11  # 1 degree
    rows = Counter(row for _, number, row in drawn if number == 2)
    assert surprise(rows, dict.fromkeys(range(8), 1 / 8)) < 25  # 7 degrees
    assert {number for which, number, _ in drawn if which == 1} == {3}


def test_an_example_is_the_same_in_any_process_and_order() -> None:
    mix, other = (mix_of(Numbers(1000), Numbers(500, 1), hold_out=4) for _ in range(2))
    keys = [(step, index) for step in range(4) for index in range(8)]
    forward = [told(mix.example(*key, 4)) for key in keys]
    assert [told(other.example(*key, 4)) for key in reversed(keys)] == forward[::-1]
    assert len(set(forward)) > 25
    assert draws(mix_of(Numbers(1000), seed=4), 32) != draws(mix_of(Numbers(1000), seed=3), 32)


def test_the_order_of_tasks_in_a_recipe_does_not_matter() -> None:
    tasks = [clean_task("b", 2), clean_task("a", 1), clean_task("c", 3)]
    mixes = [mix_of(Numbers(50), tasks=order) for order in (tasks, tasks[::-1])]
    named = [[(mix.tasks[task].name, row) for task, _, row in draws(mix, 64)] for mix in mixes]
    assert named[0] == named[1]


@pytest.mark.parametrize("family_of", [1, 7])
def test_held_out_groups_are_never_drawn(family_of: int) -> None:
    mix = mix_of(Numbers(210, family_of=family_of), hold_out=5)
    held_out = {told(example)[2] for example in mix.validation(0, 1)}
    drawn = {row for _, _, row in draws(mix, 4000)}
    assert len(held_out) == 5
    assert not {row // family_of for row in held_out} & {row // family_of for row in drawn}
    assert len(drawn) > 190


def test_held_out_examples_are_the_same_at_every_call_and_spread_over_their_rows() -> None:
    mix = mix_of(Numbers(1000, family_of=100), hold_out=4)
    first, again = ([told(example) for example in mix.validation(0, 4)] for _ in range(2))
    assert first == again
    rows = [row for _, _, row in first]
    assert np.diff(rows).tolist() == [25, 25, 25]


def test_clean_crops_are_of_the_held_out_rows_of_every_set() -> None:
    sets = (Numbers(1000), Numbers(300, 1, paired=True), Numbers(50, 2, validation=Numbers(10, 3)))
    mix = mix_of(*sets, tasks=[clean_task("noise"), pair_task("rain")], hold_out=2)
    first, again = ([crop[0, 0].tolist() for crop in mix.clean_crops(4)] for _ in range(2))
    assert first == again
    held_out = [told(example) for task in (0, 1) for example in mix.validation(task, 4)]
    assert sorted(first) == sorted([row // 256, row % 256, number] for _, number, row in held_out)
    assert {number for _, _, number in first} == {0, 1, 3}
    assert mix_of(Numbers(20)).clean_crops(4) == []


@pytest.mark.parametrize(("rows", "asked", "held"), [(2, 8, 1), (15, 8, 1), (40, 8, 4), (400, 8, 8)])
def test_at_most_a_tenth_but_at_least_one_is_held_out(rows: int, asked: int, held: int) -> None:
    mix = mix_of(Numbers(rows), hold_out=asked)
    assert len(mix.validation(0, 1)) == held
    assert len({row for _, _, row in draws(mix, 4000)}) == rows - held


def test_a_set_of_one_image_cannot_hold_one_out() -> None:
    with pytest.raises(DataError, match="somewhere holds one image, or crops of one"):
        mix_of(Numbers(5, family_of=5), hold_out=1)


def test_a_validation_split_is_used_instead_of_training_rows() -> None:
    mix = mix_of(Numbers(20, 1, validation=Numbers(10, 2)), hold_out=4)
    assert [told(example)[1:] for example in mix.validation(0, 1)] == [(2, 0), (2, 2), (2, 5), (2, 7)]
    assert {row for _, _, row in draws(mix, 1000)} == set(range(20))


def test_without_validation_every_row_is_drawn_and_none_is_held_out() -> None:
    mix = mix_of(Numbers(20))
    assert mix.validation(0, 1) == []
    assert {row for _, _, row in draws(mix, 1000)} == set(range(20))


def test_excluded_images_are_neither_drawn_nor_held_out(caplog: pytest.LogCaptureFixture) -> None:
    names = {f"0-{row}" for row in range(0, 40, 2)}
    split = Numbers(4, 1, validation=Numbers(3, 2))
    with caplog.at_level(logging.WARNING):
        mix = mix_of(Numbers(40), split, hold_out=4, exclude={"list.txt": names | {"1-3", "2-1"}})
    assert not caplog.records
    drawn = {(number, row) for _, number, row in draws(mix, 4000)}
    held_out = {told(example)[1:] for example in mix.validation(0, 1)}
    assert all(row % 2 for number, row in drawn | held_out if number == 0)
    assert {row for number, row in drawn if number == 1} == {0, 1, 2}
    assert {row for number, row in held_out if number == 2} == {0, 2}


def test_a_list_without_matches_is_a_warning_and_one_that_excludes_all_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        mix_of(Numbers(3), exclude={"idle.txt": {"7-7"}, "busy.txt": {"0-1"}})
    assert [record.getMessage() for record in caplog.records] == ["exclude: idle.txt matches no image of any dataset"]
    with pytest.raises(DataError, match=r"somewhere: all of its images are excluded by all\.txt"):
        mix_of(Numbers(2), exclude={"all.txt": {"0-0", "0-1"}})


def test_a_list_that_matches_only_the_validation_split_causes_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        mix_of(Numbers(3, validation=Numbers(3, 2)), hold_out=1, exclude={"list.txt": {"2-0"}})
    assert not caplog.records


def test_only_rows_in_open_spans_are_drawn() -> None:
    mix = mix_of(Numbers(100, spans=((10, 20), (50, 55))), exclude={"list.txt": {"0-11"}})
    assert {row for _, _, row in draws(mix, 2000)} == ({*range(10, 20)} | {*range(50, 55)}) - {11}


def test_the_fingerprint_depends_on_rows_weights_tasks_and_exclusions() -> None:
    tasks = [clean_task("a"), clean_task("b")]
    mixes = [
        mix_of(Numbers(5, 1), Numbers(6, 2), tasks=tasks),
        mix_of(Numbers(6, 2), Numbers(5, 1), tasks=tasks),
        mix_of(Numbers(5, 1), Numbers(7, 2), tasks=tasks),
        mix_of(Numbers(5, 1), (Numbers(6, 2), 2.0), tasks=tasks),
        mix_of(Numbers(5, 1), Numbers(6, 2, task="a"), tasks=tasks),
        mix_of(Numbers(5, 1), Numbers(6, 2), tasks=tasks, exclude={"list.txt": {"1-0"}}),
    ]
    assert len({mix.fingerprint() for mix in mixes}) == len(mixes)
    assert mix_of(Numbers(5, 1), Numbers(6, 2), tasks=tasks).fingerprint() == mixes[0].fingerprint()


def test_clean_images_serve_every_degrading_task_unless_they_have_a_task() -> None:
    tasks = [clean_task("denoise15"), clean_task("denoise50"), pair_task("derain")]
    rain = Numbers(2, 3, paired=True, task="derain")
    served = {
        told[:2] for told in draws(mix_of(Numbers(2, 1), Numbers(2, 2, task="denoise50"), rain, tasks=tasks), 400)
    }
    assert served == {(0, 1), (1, 1), (1, 2), (2, 3)}


def test_pairs_without_a_task_serve_the_only_task_of_pairs() -> None:
    pairs = Numbers(3, paired=True)
    assert len(draws(mix_of(pairs, tasks=[pair_task("derain")]), 3)) == 3
    with pytest.raises(DataError) as caught:
        mix_of(pairs, tasks=[pair_task("derain"), pair_task("dehaze")])
    assert str(caught.value) == (
        "--data somewhere holds pairs, and does not say for which of derain, dehaze: --data derain:somewhere says it"
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            Numbers(2, task="rain"),
            "holds clean images for task rain, but the recipe's tasks are a (of clean images), b",
        ),
        (Numbers(2, paired=True, task="a"), "holds pairs for task a, but the recipe's tasks are a (of clean images)"),
        (
            Numbers(2, task="b"),
            "holds clean images for task b, but the recipe's tasks are a (of clean images), b (of",
        ),
    ],
)
def test_a_set_without_a_task_is_an_error_that_lists_the_tasks(images: Numbers, message: str) -> None:
    with pytest.raises(DataError) as caught:
        mix_of(Numbers(1), Numbers(1, paired=True), images, tasks=[clean_task("a"), pair_task("b")])
    assert f"--data somewhere {message}" in str(caught.value)


def test_a_task_without_a_set_is_an_error() -> None:
    tasks = [clean_task("a"), pair_task("b")]
    with pytest.raises(DataError, match="task b needs pairs: --data b:DIR_OR_REPO"):
        mix_of(Numbers(1), tasks=tasks)
    with pytest.raises(DataError, match="task a needs clean images: --data DIR_OR_REPO"):
        mix_of(Numbers(1, paired=True), tasks=tasks)


def test_all_eight_orientations_differ_and_one_is_upright() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(orient(picture, 0), picture)
    assert len({(orient(picture, which).shape, orient(picture, which).tobytes()) for which in range(8)}) == 8


@pytest.fixture
def coded(tmp_path: Path) -> FolderSet:
    """A pair whose pixels are (row, column, side)."""
    rows, columns = np.mgrid[0:40, 0:30].astype(np.uint8)
    for side, name in enumerate(("target", "input")):
        (tmp_path / name).mkdir()
        Image.fromarray(np.dstack([rows, columns, np.full_like(rows, side)])).save(tmp_path / name / "1.png")
    (images,) = FolderSet.open(str(tmp_path), None)
    return images


def test_pairs_share_position_and_orientation_and_all_of_them_occur(coded: FolderSet) -> None:
    mix = Mix([pair_task("any")], [(coded, 1.0)], seed=0, hold_out=0, exclude={})
    corners, ways = set(), Counter()
    for key in range(1500):
        degraded, clean, _ = mix.example(key, 0, 24)
        assert np.array_equal(degraded[..., :2], clean[..., :2])
        assert (degraded[..., 2] == 1).all()
        assert (clean[..., 2] == 0).all()
        top, left = clean[..., 0].min(), clean[..., 1].min()
        corners.add((int(top), int(left)))
        upright = np.dstack(np.mgrid[top : top + 24, left : left + 24]).astype(np.uint8)
        ways[next(way for way in range(8) if np.array_equal(orient(upright, way), clean[..., :2]))] += 1
    assert corners == {(top, left) for top in range(17) for left in range(7)}
    assert surprise(ways, dict.fromkeys(range(8), 1 / 8)) < 25  # 7 degrees of freedom


def test_crops_on_the_grid_of_jpeg_begin_at_multiples_of_8(coded: FolderSet) -> None:
    mix = Mix([pair_task("any")], [(coded, 1.0)], seed=0, hold_out=0, exclude={}, grid_share=1)
    cleans = [mix.example(key, 0, 20).clean for key in range(60)]
    assert {(int(clean[..., 0].min()), int(clean[..., 1].min())) for clean in cleans} == {
        (top, left) for top in (0, 8, 16) for left in (0, 8)
    }


def test_clean_crops_are_degraded_with_the_generator_of_their_key() -> None:
    def dust(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return np.where(random.random(image.shape) < 0.5, image, np.uint8(0))

    mix = mix_of(Numbers(3, 200), tasks=[TrainingTask(name="dust", weight=1.0, degrade=dust)])
    patterns = {mix.example(step, index, 16).degraded[..., 2].tobytes() for step in range(4) for index in range(4)}
    assert len(patterns) == 16
    assert np.array_equal(mix.example(2, 3, 16).degraded, mix.example(2, 3, 16).degraded)


def _folder(path: Path, photographs: list[np.ndarray], broken: int) -> Path:
    path.mkdir()
    for number in range(8):
        Image.fromarray(photographs[number % 4][:64, :64]).save(path / f"{number}.png")
    for number in range(broken):
        (path / f"broken{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return path


def _mix_of(folder: Path) -> Mix:
    keys = {"seed": 0, "hold_out": 0, "exclude": (), "stream": False, "cache": folder}
    return open_mix(
        [TrainingTask(name="any", weight=1, degrade=lambda clean, _: clean)], [DataSource(str(folder))], **keys
    )


def test_a_damaged_image_is_skipped_with_a_warning_that_names_it(
    tmp_path: Path, photographs: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    mix = _mix_of(_folder(tmp_path / "few broken", photographs, 2))
    forward = [mix.example(step, 0, 32).clean for step in range(40)]
    assert {record.getMessage().split("/")[-1].split(" ")[0] for record in caplog.records} == {
        "broken0.jpg",
        "broken1.jpg",
    }
    assert len(caplog.records) == 2  # once each, however often it is drawn
    again = _mix_of(tmp_path / "few broken")
    assert all(np.array_equal(again.example(step, 0, 32).clean, forward[step]) for step in reversed(range(40)))


def test_a_set_without_usable_images_is_an_error(tmp_path: Path, photographs: list[np.ndarray]) -> None:
    folder = _folder(tmp_path / "small", photographs, 0)
    with pytest.raises(UnusableImage, match=r"64x64 pixels, too few for crop: 96"):
        _mix_of(folder).example(0, 0, 96)


def test_16_bit_grey_is_scaled_and_not_clipped_to_white(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    grey = (np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 15).astype(np.uint16)
    for number in range(2):
        Image.fromarray(grey).save(tmp_path / "deep" / f"{number}.png")
        Image.fromarray(grey).save(tmp_path / "deep" / f"{number}t.tif")
    mix = _mix_of(tmp_path / "deep")
    expected = np.rint(grey / 257).astype(np.uint8)
    for step in range(8):
        seen = mix.example(step, 0, 64).clean[..., 1]
        assert any(np.array_equal(orient(np.repeat(expected[..., None], 3, 2), k)[..., 0], seen) for k in range(8))
