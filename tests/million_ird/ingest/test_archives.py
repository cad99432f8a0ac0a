"""Archives made by the standard library, whole and broken."""

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from million_ird.build import Options, build
from million_ird.errors import SourceError
from million_ird.ingest import Journey
from million_ird.ingest.archives import ArchiveSource, is_archive
from million_ird.ledger import load
from million_ird.recipe import parse
from million_ird.record import Candidate, Failed
from million_ird.storage import Folder

LIMIT = 1_000_000


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def tar(members: list[tuple[str, bytes]], **options: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:  # type: ignore[call-overload]
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zipped(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def webdataset(count: int = 5) -> list[tuple[str, bytes]]:
    """As img2dataset writes it."""
    members = []
    for number in range(count):
        told = {"license": f"CC-{number}", "author": "me", "url": "https://x", "aesthetic": number / 10, "caption": "a"}
        members += [(f"{number:09d}.jpg", picture(number)), (f"{number:09d}.json", json.dumps(told).encode())]
        members.append((f"{number:09d}.txt", b"a caption"))
    return members


def listed(source: ArchiveSource) -> list[Candidate]:
    return [candidate for unit in source.units() for candidate in source.candidates(unit)]


def streamed(source: ArchiveSource) -> dict[str, tuple[Candidate, bytes | Failed]]:
    found: dict[str, tuple[Candidate, bytes | Failed]] = {}
    journey = Journey(out=Folder("memory://nowhere"), concurrency=4)
    for unit in source.units():
        assert unit.remote
        source.stream(unit, lambda _: True, lambda one, got: found.update({one.uri: (one, got)}), journey)
    return found


@pytest.mark.parametrize(("suffix", "pack"), [("tar", tar), ("zip", zipped)])
def test_members_of_a_plain_archive_are_read_where_they_lie(tmp_path: Path, suffix: str, pack: object) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(pack(webdataset()))  # type: ignore[operator]
    source = ArchiveSource("a", str(tmp_path / f"a.{suffix}"), LIMIT, ("aesthetic",), ("caption",))
    source.check()
    found = listed(source)
    assert [one.uri for one in found] == [f"a.{suffix}/{n:09d}.jpg" for n in range(5)]
    assert [one.licence for one in found] == [f"CC-{n}" for n in range(5)]
    assert found[3].extra == {"aesthetic": 0.3, "caption": "a"}
    assert found[0].attribution == "me"
    for number, one in enumerate(found):
        bare = Candidate(key=one.key, source=one.source, uri=one.uri, version="")
        assert source.fetch(bare) == picture(number)
    assert not any(unit.remote for unit in source.units())


@pytest.mark.parametrize("suffix", ["tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst"])
def test_a_compressed_tar_is_streamed_with_what_comes_after_a_picture(tmp_path: Path, suffix: str) -> None:
    plain = tar(webdataset())
    packed = {
        "tar.gz": gzip.compress,
        "tgz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar.zst": lambda content: pa.compress(content, "zstd", asbytes=True),
    }[suffix](plain)
    if suffix == "tar.zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(plain)
        packed = sink.getvalue().to_pybytes()
    (tmp_path / f"a.{suffix}").write_bytes(packed)
    found = streamed(ArchiveSource("a", str(tmp_path / f"a.{suffix}"), LIMIT, ("aesthetic",)))
    assert [got for _, got in found.values()] == [picture(number) for number in range(5)]
    assert [one.licence for one, _ in found.values()] == [f"CC-{n}" for n in range(5)]


@pytest.mark.parametrize(("suffix", "pack"), [("tar", tar), ("zip", zipped)])
def test_an_archive_elsewhere_is_streamed(suffix: str, pack: object) -> None:
    content = pack(webdataset())  # type: ignore[operator]
    fsspec.filesystem("memory").pipe(f"/bucket/x.{suffix}", content)
    found = streamed(ArchiveSource("x", f"memory://bucket/x.{suffix}", LIMIT))
    assert {uri: got for uri, (_, got) in found.items()} == {f"x.{suffix}/{n:09d}.jpg": picture(n) for n in range(5)}


def test_patterns_and_braces_name_several(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number:05d}.tar").write_bytes(tar([(f"{number}.png", picture(number))]))
    braces = ArchiveSource("s", f"{tmp_path}/{{00001..00002}}.tar", LIMIT)
    assert [one.uri for one in listed(braces)] == ["00001.tar/1.png", "00002.tar/2.png"]
    star = ArchiveSource("s", f"{tmp_path}/*.tar", LIMIT)
    assert [star.fetch(one) for one in listed(star)] == [picture(number) for number in range(3)]


def test_what_is_no_picture_is_passed_over_and_names_are_only_names(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"odd{kind!r}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        names = ["../../up.png", "/root.png", "ünï 画.png", "x" * 300 + ".png", "same.png", "same.png"]
        for number, name in enumerate([".hidden.png", "__MACOSX/a.png", *names]):
            member = tarfile.TarInfo(name)
            member.size = len(picture(number))
            archive.addfile(member, io.BytesIO(picture(number)))
    (tmp_path / "odd.tar").write_bytes(file.getvalue())
    source = ArchiveSource("odd", str(tmp_path / "odd.tar"), LIMIT)
    found = {one.uri.removeprefix("odd.tar/"): source.fetch(one) for one in listed(source)}
    assert found == {name: picture(number + 2) for number, name in enumerate(names)}  # of two, the last


def test_a_name_that_is_no_text_is_found_again(tmp_path: Path) -> None:
    plain = tar([("aaaa.png", picture(1))]).replace(b"aaaa.png", b"a\xe9\xff\xe8.png"[:8], 1)
    header = bytearray(plain[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "odd.tar").write_bytes(bytes(header) + plain[512:])
    source = ArchiveSource("odd", str(tmp_path / "odd.tar"), LIMIT)
    (one,) = listed(source)
    assert "\\xe9" in one.uri
    assert source.fetch(one) == picture(1)


def test_limits_and_damage_are_failures_of_the_picture(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(LIMIT + 1))
        archive.writestr("good.png", picture(0))
        archive.writestr("lies.png", bytes(500_000))
    content = bytearray(bomb.getvalue())
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # says that it holds 100 bytes
        where = content.rindex(b"lies.png") if mark == b"PK\x01\x02" else content.index(b"lies.png")
        start = content.rindex(mark, 0, where)
        content[start + at : start + at + 4] = struct.pack("<I", 100)
    where = content.index(b"good.png") + 60
    content[where] ^= 0xFF
    (tmp_path / "bad.zip").write_bytes(content)
    source = ArchiveSource("bad", str(tmp_path / "bad.zip"), LIMIT)
    found = {one.uri: source.fetch(one) for one in listed(source)}
    classes = {uri: got.failure_class for uri, got in found.items() if isinstance(got, Failed)}
    assert classes == {"bad.zip/bomb.png": "too_large", "bad.zip/good.png": "damaged", "bad.zip/lies.png": "damaged"}


def test_an_encrypted_member_says_so(tmp_path: Path) -> None:
    content = bytearray(zipped([("a.png", picture(0))]))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    source = ArchiveSource("locked", str(tmp_path / "locked.zip"), LIMIT)
    (one,) = listed(source)
    assert source.fetch(one) == Failed("encrypted", "File 'a.png' is encrypted, password required for extraction")


def test_a_tar_that_is_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    whole = tar([(f"{n}.png", picture(n)) for n in range(3)])
    second = whole.index(b"2.png")
    (tmp_path / "cut.tar").write_bytes(whole[: second + 512 + 100])
    source = ArchiveSource("cut", str(tmp_path / "cut.tar"), LIMIT)
    found = [source.fetch(one) for one in listed(source)]
    assert found[:2] == [picture(0), picture(1)]
    assert isinstance(found[2], Failed)
    assert found[2].failure_class == "truncated"
    longer = gzip.compress(tar([(f"{n}.png", picture(n)) for n in range(30)]))
    (tmp_path / "cut.tar.gz").write_bytes(longer[: len(longer) // 2])
    got = streamed(ArchiveSource("cut", str(tmp_path / "cut.tar.gz"), LIMIT))
    assert got["cut.tar.gz/0.png"][1] == picture(0)
    assert isinstance(got["cut.tar.gz"][1], Failed)


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_what_is_no_archive_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(picture(0))
    with pytest.raises(SourceError, match=f"{name}: is no archive"):
        ArchiveSource("a", str(tmp_path / name), LIMIT).check()


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, 8_000_000_000
    file = tmp_path / "huge.tar"
    with file.open("wb") as out:
        out.write(member.tobuf(tarfile.GNU_FORMAT))
        out.truncate(9_000_000_000)
    with pytest.raises(SourceError, match="header of 8,000,000,000 bytes"):
        ArchiveSource("huge", str(file), LIMIT).check()


def test_a_member_more_changes_one_unit(tmp_path: Path) -> None:
    members = [(f"{n}.png", b"x%d" % n) for n in range(300)]

    def slots(content: bytes) -> dict[str, int]:
        (tmp_path / "a.tar").write_bytes(content)
        units = list(ArchiveSource("a", str(tmp_path / "a.tar"), LIMIT).units())
        assert len({unit.slot for unit in units}) == len(units)
        return {unit.slot: len(unit.entries) for unit in units}

    before = slots(tar(members))
    after = slots(tar([*members[:150], ("new.png", b"new"), *members[150:]]))
    assert sum(before.values()) == 300
    assert sum(after.values()) == 301
    changed = [slot for slot in before.keys() | after.keys() if before.get(slot) != after.get(slot)]
    assert len(changed) <= 3


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "zip"])
def test_a_build_from_an_archive_keeps_its_bytes(tmp_path: Path, suffix: str) -> None:
    members = webdataset(6)
    content = {"tar": tar(members), "tar.gz": gzip.compress(tar(members)), "zip": zipped(members)}[suffix]
    (tmp_path / f"a.{suffix}").write_bytes(content)
    recipe = parse({"texts": ["caption"], "columns": ["aesthetic"], "patches": {"size": 16}}, origin="test")
    result = build([str(tmp_path / f"a.{suffix}")], str(tmp_path / "out"), recipe, Options(workers=0))
    assert result.funnel.kept == 6
    ledger = load(Folder(str(tmp_path / "out"))).to_pylist()
    assert [row["uri"] for row in ledger] == [f"a.{suffix}/{n:09d}.jpg" for n in range(6)]
    assert [row["caption"] for row in ledger] == ["a"] * 6
    assert [row["aesthetic"] for row in ledger] == [n / 10 for n in range(6)]
    again = build([str(tmp_path / f"a.{suffix}")], str(tmp_path / "out"), recipe, Options(workers=0))
    assert again.did_nothing
    taste = build([str(tmp_path / f"a.{suffix}")], str(tmp_path / "taste"), recipe, Options(workers=0, limit=2))
    assert taste.funnel.candidates == 2


def test_names_tell_archives() -> None:
    assert all(map(is_archive, ("a.tar", "b.TAR.GZ", "s3://x/{00..10}.tar", "c.zip")))
    assert not any(map(is_archive, ("a.parquet", "tar", "a.tar.txt")))
