import os
import threading
from pathlib import Path

import pytest

from dynet.demo.folder import SECONDS_KEPT, PageFolder
from dynet.errors import PictureError


def test_what_is_old_is_removed_but_for_what_it_began_with(tmp_path: Path) -> None:
    folder = PageFolder(tmp_path)
    (tmp_path / "first.png").write_bytes(b"x")
    folder.keep()
    with folder.writing() as new:
        (new / "old.png").write_bytes(b"x")
        (new / "new.png").write_bytes(b"x")
    for path, age in ((tmp_path / "first.png", 2), (new / "old.png", 1), (new / "new.png", 0.9)):
        os.utime(path, times=(path.stat().st_mtime - age * SECONDS_KEPT - 1,) * 2)
    folder.remove_old()
    assert {path.name for path in tmp_path.rglob("*.png")} == {"first.png", "new.png"}


def test_nothing_is_written_once_the_end_has_come_and_what_was_being_written_is_waited_for(tmp_path: Path) -> None:
    folder = PageFolder(tmp_path)
    inside, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with folder.writing() as new:
            inside.set()
            go_on.wait(30)
            (new / "late.png").write_bytes(b"x")

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(30)
    ending = threading.Thread(target=folder.end)
    ending.start()
    ending.join(0.05)
    assert ending.is_alive()
    go_on.set()
    ending.join(30)
    assert [path.name for path in tmp_path.rglob("*.png")] == ["late.png"]
    with pytest.raises(PictureError, match="ended"), folder.writing():
        pass
    writer.join()
