"""Files are complete or absent, flushed around their renaming, and only leftovers of dead writers are removed."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dynet import DyNet
from dynet.inference.decoded_image import DecodedImage
from dynet.runtime import atomic_files
from dynet.runtime.atomic_files import create_output_folder, make_folder, replacing, sweep, temporary_name
from tests.dynet.disk_calls import DiskCalls, recorded_disk_calls


@pytest.fixture
def disk() -> Iterator[DiskCalls]:
    with recorded_disk_calls() as disk:
        yield disk


def test_weights_images_and_texts_are_flushed_around_their_renaming(
    tiny: DyNet, tmp_path: Path, disk: DiskCalls
) -> None:
    from dynet.inference.images import write_image

    tiny.save_pretrained(tmp_path / "model")
    write_image(
        tmp_path / "images" / "a.png", DecodedImage(colour=np.zeros((4, 4, 3), np.uint8), alpha=None, format="PNG")
    )
    assert {os.path.basename(path) for path in disk.renamed} == {"weights.safetensors", "config.json", "a.png"}


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half" * (1 // 0))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "ü" * 127, "line\nbreak"):
        with replacing(tmp_path / name) as temporary:
            temporary.write_text("content")
        assert (tmp_path / name).read_text() == "content"


@pytest.mark.parametrize("error", ["EINVAL", "ENOTSUP", "EACCES"])
def test_a_file_system_that_cannot_flush_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    _refuse_folders(monkeypatch, getattr(errno, error))
    make_folder(tmp_path / "deep" / "er")
    atomic_files.write_atomically(tmp_path / "deep" / "er" / "a", "content")
    assert (tmp_path / "deep" / "er" / "a").read_text() == "content"


def test_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _refuse_folders(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="no luck"):
        atomic_files.write_atomically(tmp_path / "a", "content")


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "nothing" / "a"):  # fails at its end, and at its beginning
        with pytest.raises(OSError, match=r"rectory") as caught:
            atomic_files.write_atomically(path, "content")
        assert (caught.value.filename, caught.value.filename2) == (str(path), None)
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def _refuse_folders(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(error, "no luck")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)


WRITER = """
import sys, time
from pathlib import Path
from dynet.runtime.atomic_files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("begun", flush=True)
    time.sleep(100)
"""


def test_only_what_dead_writers_left_is_removed(tmp_path: Path) -> None:
    mine = temporary_name(tmp_path / "a")  # of an earlier process that had this id
    mine.touch()
    (tmp_path / f"{temporary_name(tmp_path / 'm', keep_suffix=True).name}.onnx").touch()
    elsewhere = tmp_path / f".a.{'0' * 8}-{os.getpid()}.tmp"
    elsewhere.touch()
    others = {elsewhere, tmp_path / ".lock", tmp_path / "b.tmp", tmp_path / ".c.tmp", tmp_path / ".d.12.tmp"}
    for path in others:
        path.touch()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "w"], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    (unfinished,) = tmp_path.glob(".w.*")
    create_output_folder(tmp_path)
    assert {*tmp_path.iterdir()} == others | {unfinished}
    writer.kill()
    writer.wait()
    sweep(tmp_path)
    assert {*tmp_path.iterdir()} == others
