import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dynet.data.group_cache import GroupCache
from dynet.errors import DataError

ROWS = 1000


def table(number: int) -> pa.Table:
    """8 kB of a number."""
    return pa.table({"value": np.full(ROWS, number, np.int64)})


def first(opened: pa.Table) -> int:
    return int(opened.column("value")[0].as_py())


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def older(folder: Path, *keys: str) -> None:
    """Makes the files look as if they had been opened long ago, the first before the others."""
    for number, key in enumerate(keys):
        os.utime(folder / f"{key}.arrow", (1000 + number, 1000 + number))


def test_a_table_is_made_once_and_then_read(tmp_path: Path) -> None:
    cache = GroupCache(tmp_path / "cache", 10**6)
    made = []
    for _ in range(3):
        assert first(cache.open("a", lambda: made.append(1) or table(7))) == 7
    assert made == [1]
    assert files(tmp_path / "cache") == {"a.arrow"}


def test_the_least_recently_opened_table_is_deleted_and_made_again(tmp_path: Path) -> None:
    cache = GroupCache(tmp_path, 27_000)
    for number, key in enumerate("abc"):
        cache.open(key, lambda number=number: table(number))
    older(tmp_path, "a", "b", "c")
    cache.open("a", lambda: pytest.fail("it is there"))
    kept = cache.open("b", lambda: pytest.fail("it is there"))
    older(tmp_path, "b")
    cache.open("d", lambda: table(3))
    assert files(tmp_path) == {"a.arrow", "c.arrow", "d.arrow"}
    assert set(kept.column("value").to_pylist()) == {1}
    assert first(cache.open("b", lambda: table(8))) == 8
    assert sum(path.stat().st_size for path in tmp_path.glob("*.arrow")) <= 27_000


def test_a_table_larger_than_the_limit_is_the_only_one_kept(tmp_path: Path) -> None:
    cache = GroupCache(tmp_path, 100)
    cache.open("a", lambda: table(0))
    assert first(cache.open("b", lambda: table(1))) == 1
    assert files(tmp_path) == {"b.arrow"}


def test_unfinished_files_are_deleted_for_killed_processes_only(tmp_path: Path) -> None:
    cache = GroupCache(tmp_path, 10**6)
    (tmp_path / "dead.part").write_bytes(b"half")
    (tmp_path / "live.part").write_bytes(b"half")
    with cache._lock("live", wait=True):
        cache.open("a", lambda: table(0))
    assert files(tmp_path) == {"a.arrow", "live.part"}


def test_an_error_while_making_leaves_no_file_and_no_lock(tmp_path: Path) -> None:
    cache = GroupCache(tmp_path, 10**6)

    def broken() -> pa.Table:
        raise DataError("no network")

    with pytest.raises(DataError, match="no network"):
        cache.open("a", broken)
    assert files(tmp_path) == set()
    assert first(cache.open("a", lambda: table(2))) == 2


def test_prefetching_does_not_wait_for_another_process(tmp_path: Path) -> None:
    cache = GroupCache(tmp_path, 10**6)
    with cache._lock("a", wait=True):
        cache.add_unless_locked("a", lambda: pytest.fail("another is at it"))
    cache.add_unless_locked("a", lambda: table(4))
    cache.add_unless_locked("a", lambda: pytest.fail("it is there"))
    assert first(cache.open("a", lambda: pytest.fail("it is there"))) == 4


def _many(folder: Path, log: Path, most: int) -> None:
    cache = GroupCache(folder, most)

    def make(number: int) -> pa.Table:
        time.sleep(0.01)
        with log.open("a") as lines:
            lines.write(f"{number}\n")
        return table(number)

    for turn in range(60):
        number = turn * 7 % 20
        assert first(cache.open(f"key{number}", lambda number=number: make(number))) == number


@pytest.mark.parametrize(("most", "again"), [(10**6, False), (50_000, True)])
def test_processes_share_tables_and_never_make_one_simultaneously(tmp_path: Path, most: int, again: bool) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_many, args=(tmp_path / "c", tmp_path / "log", most)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    made = list(map(int, (tmp_path / "log").read_text().split()))
    assert set(made) == set(range(20))
    assert len(made) > 20 if again else len(made) == 20
    if again:
        assert len(files(tmp_path / "c")) <= 5 + 3


def test_a_process_forked_while_a_table_is_made_does_not_keep_its_lock(tmp_path: Path) -> None:
    cache, context = GroupCache(tmp_path, 10**6), multiprocessing.get_context("fork")
    with cache._lock("a", wait=True):
        child = context.Process(target=time.sleep, args=(30,))
        child.start()
    try:
        with cache._lock("a", wait=False) as held:
            assert held
    finally:
        child.kill()
        child.join()


def test_a_folder_that_cannot_be_written_to_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"^\S+/file/cache cannot be written to: Not a directory$"):
        GroupCache(tmp_path / "file" / "cache", 10**6).open("a", lambda: table(0))


def test_a_full_disk_is_a_one_line_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa, "OSFile", full)
    with pytest.raises(DataError, match=r"cannot be written to: No space left on device$"):
        GroupCache(tmp_path, 10**6).open("a", lambda: table(0))
    assert files(tmp_path) == set()


def test_a_file_that_did_not_reach_the_disk_is_made_again(tmp_path: Path) -> None:
    cache = GroupCache(tmp_path, 10**6)
    cache.open("a", lambda: table(0))
    for left in (b"", (tmp_path / "a.arrow").read_bytes()[:3000]):
        (tmp_path / "a.arrow").write_bytes(left)
        assert first(cache.open("a", lambda: table(5))) == 5


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    cache, context = GroupCache(tmp_path, 10**6), multiprocessing.get_context("fork")
    child = context.Process(target=lambda: cache.open("a", lambda: time.sleep(60) or table(0)))
    child.start()
    while _is_free(cache, "a"):
        time.sleep(0.01)
    child.kill()
    child.join()
    assert first(cache.open("a", lambda: table(6))) == 6


def _is_free(cache: GroupCache, key: str) -> bool:
    with cache._lock(key, wait=False) as held:
        return held
