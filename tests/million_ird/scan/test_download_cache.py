"""The store of what was streamed: a tar that any program reads, an index, a note that both are whole."""

import tarfile
from pathlib import Path

import pytest

from million_ird.candidate import Candidate, Failed
from million_ird.errors import BuildError
from million_ird.runtime.storage import Folder
from million_ird.scan.download_cache import ROWS_PER_PART, ByteRange, ChunkCache, earlier_rows
from million_ird.scan.source_bytes import DownloadCache

NAME = "ab12-cd34"


def candidate(number: int, version: str = "1") -> Candidate:
    return Candidate(
        key=f"{number:032x}",
        source="s",
        uri=f"{number}.jpg",
        version=version,
        licence="CC0",
        extra={"score": number / 2},
    )


def fill(out: Folder, name: str, count: int = 3) -> None:
    with ChunkCache(out, name).writing({}) as writing:
        for number in reversed(range(count)):  # they come in any order
            writing.add(candidate(number), b"picture %d" % number)
        writing.add(candidate(count), Failed("http_404", "gone"))
        writing.add(candidate(count + 1), None)
        writing.finish([candidate(number).key for number in range(count + 2)], "gates", ("score",))


def test_what_was_added_is_found_in_order(tmp_path: Path) -> None:
    out = Folder(str(tmp_path))
    fill(out, NAME)
    note = ChunkCache(out, NAME).manifest()
    assert note is not None
    assert (note.rows, note.failures, note.unasked, note.gates) == (5, {"http_404": 1}, 1, "gates")
    stored = ChunkCache(out, NAME).candidates(0, 5)
    assert [one.uri for one, _ in stored] == [f"{number}.jpg" for number in range(5)]
    assert [one.extra for one, _ in stored] == [{"score": number / 2} for number in range(5)]
    assert [place.read(out) for _, place in stored[:3] if isinstance(place, ByteRange)] == [
        b"picture 0",
        b"picture 1",
        b"picture 2",
    ]
    assert stored[3][1] == Failed("http_404", "gone")
    assert stored[4][1] is None


def test_the_tar_is_a_tar(tmp_path: Path) -> None:
    fill(Folder(str(tmp_path)), NAME)
    (path,) = tmp_path.rglob("*.tar")
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        assert {name: file.read() for name, file in files.items() if file} == {
            candidate(number).key: b"picture %d" % number for number in range(3)
        }


def test_a_unit_that_was_interrupted_is_not_there(tmp_path: Path) -> None:
    out = Folder(str(tmp_path))

    def interrupted() -> None:
        with ChunkCache(out, NAME).writing({}) as writing:
            writing.add(candidate(0), b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ChunkCache(out, NAME).manifest() is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_later_unit_takes_over_what_an_earlier_one_fetched(tmp_path: Path) -> None:
    out = Folder(str(tmp_path))
    fill(out, NAME)
    again = earlier_rows(out, [NAME], frozenset({candidate(1).key}))
    with ChunkCache(out, "ab12-ef56").writing(again) as writing:
        told = [writing.keep(candidate(number)) for number in range(5)]
        changed = writing.keep(candidate(0, version="2"))
        writing.add(candidate(1), b"new")
        keys = [candidate(number).key for number in (0, 1, 2, 3)]
        writing.finish(keys, "gates", ())
    assert told == [True, False, True, True, False]  # 1 is to be tried again, 4 was never asked for
    assert not changed
    places = DownloadCache(out, ("ab12-ef56",)).places(keys)
    assert [places[key].read(out) for key in keys[:3]] == [b"picture 0", b"new", b"picture 2"]
    assert places.keys() == set(keys[:3])


def test_parts_are_named_by_what_is_in_them(tmp_path: Path) -> None:
    def digests(change: int | None) -> list[str]:
        out = Folder(str(tmp_path / str(change)))
        with ChunkCache(out, NAME).writing({}) as writing:
            for number in range(2 * ROWS_PER_PART + 5):
                writing.add(candidate(number), b"other" if number == change else b"picture %d" % number)
            note = writing.finish(None, "gates", ())
        assert [(part.start, part.stop) for part in note.parts] == [(0, 128), (128, 256), (256, 261)]
        return [part.digest for part in note.parts]

    before, after = digests(None), digests(200)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_a_store_that_was_spoilt_is_one_line(tmp_path: Path) -> None:
    out = Folder(str(tmp_path))
    fill(out, NAME)
    (path,) = tmp_path.rglob("*.tar")
    place = DownloadCache(out, (NAME,)).places([candidate(2).key])[candidate(2).key]
    path.write_bytes(path.read_bytes()[:515])
    with pytest.raises(BuildError, match="cut short; remove it and run the build again"):
        place.read(out)
    path.unlink()
    with pytest.raises(BuildError, match="is gone; run the build again"):
        place.read(out)
