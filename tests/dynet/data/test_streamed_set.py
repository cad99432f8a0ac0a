import logging
import multiprocessing
import pickle
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dynet.data.hub_set import HubSet
from dynet.data.shards import ParquetShard
from dynet.data.shuffle_window import OPEN_GROUPS, STEPS_PER_GROUP, open_groups
from dynet.data.streamed_set import StreamedSet
from tests.dynet.sharded import (
    GROUPS,
    IMAGE,
    MANY,
    SIDE,
    await_fetches,
    mix_of,
    patch,
    stored,
    streamed,
    whole,
    write_file,
    write_set,
)

SMALL = {"train": [[3, 4], [5], [2, 2, 2]], "validation": [[2]]}


@pytest.fixture(scope="module")
def photo(photographs: list[np.ndarray]) -> np.ndarray:
    return photographs[1]


@pytest.fixture(scope="module")
def small(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("small") / "set", photo, SMALL)


@pytest.fixture(scope="module")
def many(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("many") / "set", photo, MANY)


@pytest.fixture(autouse=True)
def _nothing_goes_on_behind() -> Iterator[None]:
    yield
    await_fetches()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """File, first byte and one after last, of all that is read from shards."""
    noted: list[tuple[str, int, int]] = []
    read = ParquetShard.read

    def noting(shard: ParquetShard, start: int, stop: int) -> bytes:
        noted.append((Path(shard.path).name, start, stop))
        return read(shard, start, stop)

    monkeypatch.setattr(ParquetShard, "read", noting)
    return noted


def test_rows_images_and_groups_equal_those_of_the_whole_dataset(small: Path, tmp_path: Path) -> None:
    far, near = streamed(small, tmp_path), HubSet.open(str(small), None)
    assert (len(far), far.paired, far.task, far.location) == (18, False, None, str(small))
    assert far.validation is not None
    assert near.validation is not None
    assert far.validation.validation is None
    for one, other in ((far, near), (far.validation, near.validation)):
        assert len(one) == len(other)
        for row in range(len(one)):
            cuts = [each.crop(row, 32, np.random.default_rng(row)).clean for each in (one, other)]
            assert np.array_equal(*cuts)
        assert np.array_equal(one.group_ids(), other.group_ids())
        assert np.array_equal(
            one.rows_from_files({"picture 2", "picture 0"}), other.rows_from_files({"picture 2", "picture 0"})
        )
    assert list(far.rows_from_files({"picture 2"})) == [6, 7, 8]


def test_pairs_are_cropped_at_the_same_position(photo: np.ndarray, tmp_path: Path) -> None:
    columns = {
        name: pa.array([stored(patch(photo, number + by)) for number in range(6)], IMAGE)
        for name, by in (("target", 0), ("input", 1))
    }
    (tmp_path / "set").mkdir()
    write_file(tmp_path / "set" / "train.parquet", [pa.table(columns)])
    images = StreamedSet(str(tmp_path / "set"), "derain", tmp_path / "cache")
    assert (images.paired, images.task, images.validation) == (True, "derain", None)
    assert len(np.unique(images.group_ids())) == 6
    for row in range(6):
        crop = images.crop(row, 20, np.random.default_rng(row))
        random = np.random.default_rng(row)
        top, left = (int(random.integers(SIDE - 20 + 1)) for _ in range(2))
        assert np.array_equal(crop.clean, patch(photo, row)[top : top + 20, left : left + 20])
        assert np.array_equal(crop.degraded, patch(photo, row + 1)[top : top + 20, left : left + 20])


def test_opening_reads_footers_only_and_a_row_reads_its_group(
    small: Path, tmp_path: Path, reads: list[tuple[str, int, int]]
) -> None:
    images = streamed(small, tmp_path)
    assert Counter(name for name, _, _ in reads) == {path.name: 1 for path in (small / "patches").iterdir()}
    reads.clear()
    for row in (4, 3, 5, 4, 6):
        whole(images, row)
    ((name, start, stop),) = reads
    assert name == "train-00000-of-00003.parquet"
    held = sum(len(stored_bytes(small, row)) for row in range(3, 7))
    assert held < stop - start < held + 600  # headers of pages, and four empty paths
    reads.clear()
    again = streamed(small, tmp_path)
    whole(again, 5)
    assert reads == []  # another process of the run, or the run resumed


def stored_bytes(folder: Path, row: int) -> bytes:
    found: bytes = HubSet.open(str(folder), None)._images[row]["image"]["bytes"]
    return found


def test_a_footer_longer_than_the_first_request_is_read_completely(
    photo: np.ndarray, tmp_path: Path, reads: list[tuple[str, int, int]]
) -> None:
    folder = write_set(tmp_path / "set", photo, {"train": [[1] * 120]})
    assert len(streamed(folder, tmp_path / "cache")) == 120
    assert len(reads) == 2
    assert np.array_equal(whole(streamed(folder, tmp_path / "cache"), 119), patch(photo, 119))


def test_identity_depends_on_the_images_but_not_on_their_folder(small: Path, photo: np.ndarray, tmp_path: Path) -> None:
    names = [streamed(small, tmp_path / "a").identity()]
    shutil.copytree(small, tmp_path / "moved")
    names.append(streamed(tmp_path / "moved", tmp_path / "b").identity())
    longer = write_set(tmp_path / "longer", photo, {"train": [[3, 4], [5], [2, 2, 3]], "validation": [[2]]})
    names.append(streamed(longer, tmp_path / "c").identity())
    assert names[0] == names[1] != names[2]


def test_a_rewritten_file_is_read_again(small: Path, photo: np.ndarray, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", photo, {"train": [[4]]})
    before = whole(streamed(folder, tmp_path / "cache"), 0)
    write_set(tmp_path / "other", photo[::-1], {"train": [[4]]})
    shutil.copy(tmp_path / "other" / "patches" / "train-00000-of-00001.parquet", folder / "patches")
    after = whole(streamed(folder, tmp_path / "cache"), 0)
    assert np.array_equal(after, patch(photo[::-1], 0))
    assert not np.array_equal(before, after)


def test_draws_are_in_the_window_and_the_same_in_any_process(many: Path, tmp_path: Path) -> None:
    mix, other = (mix_of(streamed(many, tmp_path / name)) for name in "ab")
    steps = [0, 5, STEPS_PER_GROUP, 40 * STEPS_PER_GROUP]
    wanted = {(step, index): mix.example(step, index, 16) for step in steps for index in range(4)}
    for (step, index), example in reversed(wanted.items()):
        assert np.array_equal(other.example(step, index, 16).clean, example.clean)
    images = streamed(many, tmp_path / "c")
    for step in steps:
        spans = images.row_spans(3, step)
        assert [tuple(span) for span in spans] == [(2 * at, 2 * at + 2) for at in sorted(open_groups(3, step, GROUPS))]


def test_each_row_group_is_fetched_once_for_all_its_crops(
    many: Path, tmp_path: Path, reads: list[tuple[str, int, int]]
) -> None:
    mix = mix_of(streamed(many, tmp_path))
    reads.clear()
    for step in range(0, 8 * STEPS_PER_GROUP, 4):
        for index in range(4):
            mix.example(step, index, 16)
    assert max(Counter(reads).values()) == 1
    assert len(reads) <= OPEN_GROUPS + 8


def _draw(folder: str, cache: Path, which: int) -> None:
    mix = mix_of(StreamedSet(folder, None, cache))
    for step in range(which, 4 * STEPS_PER_GROUP, 3):
        mix.example(step, which, 16)
    await_fetches()


def _logged(log: Path, work: Callable[[], None]) -> None:
    read = ParquetShard.read

    def noting(shard: ParquetShard, start: int, stop: int) -> bytes:
        with log.open("a") as lines:
            lines.write(f"{Path(shard.path).name} {start}\n")
        return read(shard, start, stop)

    ParquetShard.read = noting
    work()


def test_processes_share_what_is_fetched(many: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    work = [partial(_draw, str(many), tmp_path / "cache", which) for which in range(3)]
    processes = [context.Process(target=_logged, args=(tmp_path / "log", each)) for each in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert max(Counter((tmp_path / "log").read_text().splitlines()).values()) == 1


def test_a_small_cache_causes_more_fetches_but_changes_no_pixels(
    many: Path, tmp_path: Path, reads: list[tuple[str, int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tight = streamed(many, tmp_path / "tight", max_bytes=60_000)
    assert re.search(r"row groups will be fetched repeatedly$", caplog.messages[-1])
    roomy = streamed(many, tmp_path / "roomy")
    reads.clear()
    for row in [*range(0, 140, 2), *range(0, 140, 2)]:
        assert np.array_equal(whole(tight, row), whole(roomy, row))
    assert max(Counter(reads).values()) == 3  # twice by the small one, once by the other
    assert sum(path.stat().st_size for path in (tmp_path / "tight").glob("*.arrow")) <= 60_000


def test_a_pickled_set_works_in_a_worker(small: Path, tmp_path: Path) -> None:
    images = streamed(small, tmp_path)
    before = whole(images, 7)
    images.row_spans(1, 1)
    assert np.array_equal(whole(pickle.loads(pickle.dumps(images)), 7), before)
    queue = (context := multiprocessing.get_context("fork")).Queue()
    child = context.Process(target=lambda: queue.put(whole(images, 7)))
    child.start()
    assert np.array_equal(queue.get(timeout=30), before)
    child.join()


def test_held_out_rows_are_whole_images_and_never_drawn(many: Path, photo: np.ndarray, tmp_path: Path) -> None:
    mix = mix_of(streamed(many, tmp_path), hold_out=4)
    held = {example.clean.tobytes() for example in mix.validation(0, SIDE)}
    numbers = [number for number in range(140) if patch(photo, number).tobytes() in held]
    assert 4 <= len(held) <= 6
    images = {number // 3 for number in numbers}
    kin = {patch(photo, number).tobytes() for number in range(140) if number // 3 in images}
    for step in range(0, 60 * STEPS_PER_GROUP, 16):
        example = mix.example(step, 0, SIDE).clean
        turned = [np.rot90(side, turn).tobytes() for side in (example, example[:, ::-1]) for turn in range(4)]
        assert not kin & set(turned)
