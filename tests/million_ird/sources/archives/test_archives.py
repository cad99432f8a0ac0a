"""Archives written by the standard library, intact and damaged."""

import bz2
import contextlib
import gc
import gzip
import io
import json
import lzma
import os
import random
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from million_ird.candidate import Candidate, Failed
from million_ird.config.loading import parse
from million_ird.errors import SourceError
from million_ird.ledger import load
from million_ird.runtime.storage import Folder
from million_ird.sources.archives.source import ArchiveSource, is_archive
from million_ird.sources.source import StreamContext
from million_ird.workflow import Options, build

LIMIT = 1_000_000


def png(seed: int) -> bytes:
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
    """Return members as img2dataset writes them."""
    members = []
    for number in range(count):
        fields = {
            "license": f"CC-{number}",
            "author": "me",
            "url": "https://x",
            "aesthetic": number / 10,
            "caption": "a",
        }
        members += [(f"{number:09d}.jpg", png(number)), (f"{number:09d}.json", json.dumps(fields).encode())]
        members.append((f"{number:09d}.txt", b"a caption"))
    return members


def list_candidates(source: ArchiveSource) -> list[Candidate]:
    return [candidate for chunk in source.chunks() for candidate in source.candidates(chunk)]


def stream_all(source: ArchiveSource) -> dict[str, tuple[Candidate, bytes | Failed]]:
    results: dict[str, tuple[Candidate, bytes | Failed]] = {}
    context = StreamContext(out=Folder("memory://nowhere"), concurrency=4)
    for chunk in source.chunks():
        assert chunk.remote
        source.stream(
            chunk,
            lambda _: True,
            lambda candidate, content: results.update({candidate.uri: (candidate, content)}),
            context,
        )
    return results


@pytest.mark.parametrize(("suffix", "pack"), [("tar", tar), ("zip", zipped)])
def test_members_of_a_plain_archive_are_read_in_place(
    tmp_path: Path, suffix: str, pack: Callable[[list[tuple[str, bytes]]], bytes]
) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(pack(webdataset()))
    source = ArchiveSource("a", str(tmp_path / f"a.{suffix}"), LIMIT, ("aesthetic",), ("caption",))
    source.check()
    results = list_candidates(source)
    assert [candidate.uri for candidate in results] == [f"a.{suffix}/{n:09d}.jpg" for n in range(5)]
    assert [candidate.licence for candidate in results] == [f"CC-{n}" for n in range(5)]
    assert results[3].extra == {"aesthetic": 0.3, "caption": "a"}
    assert results[0].attribution == "me"
    for number, candidate in enumerate(results):
        bare = Candidate(key=candidate.key, source=candidate.source, uri=candidate.uri, version="")
        assert source.fetch(bare) == png(number)
    assert not any(chunk.remote for chunk in source.chunks())


def in_zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize("suffix", ["tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst"])
def test_a_compressed_tar_is_streamed_with_the_sidecars_after_images(tmp_path: Path, suffix: str) -> None:
    plain = tar(webdataset())
    packers: dict[str, Callable[[bytes], bytes]] = {
        "tar.gz": gzip.compress,
        "tgz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar.zst": in_zstd,
    }
    packed = packers[suffix](plain)
    (tmp_path / f"a.{suffix}").write_bytes(packed)
    results = stream_all(ArchiveSource("a", str(tmp_path / f"a.{suffix}"), LIMIT, ("aesthetic",)))
    assert [content for _, content in results.values()] == [png(number) for number in range(5)]
    assert [candidate.licence for candidate, _ in results.values()] == [f"CC-{n}" for n in range(5)]


@pytest.mark.parametrize(("suffix", "pack"), [("tar", tar), ("zip", zipped)])
def test_a_remote_archive_is_streamed(suffix: str, pack: Callable[[list[tuple[str, bytes]]], bytes]) -> None:
    content = pack(webdataset())
    fsspec.filesystem("memory").pipe(f"/bucket/x.{suffix}", content)
    results = stream_all(ArchiveSource("x", f"memory://bucket/x.{suffix}", LIMIT))
    assert {uri: content for uri, (_, content) in results.items()} == {
        f"x.{suffix}/{n:09d}.jpg": png(n) for n in range(5)
    }


def test_patterns_and_braces_name_several_archives(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number:05d}.tar").write_bytes(tar([(f"{number}.png", png(number))]))
    braces = ArchiveSource("s", f"{tmp_path}/{{00001..00002}}.tar", LIMIT)
    assert [candidate.uri for candidate in list_candidates(braces)] == ["00001.tar/1.png", "00002.tar/2.png"]
    star = ArchiveSource("s", f"{tmp_path}/*.tar", LIMIT)
    assert [star.fetch(candidate) for candidate in list_candidates(star)] == [png(number) for number in range(3)]


def test_members_that_are_not_images_are_skipped_and_names_are_never_paths(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"odd{kind!r}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        names = ["../../up.png", "/root.png", "ünï 画.png", "x" * 300 + ".png", "same.png", "same.png"]
        for number, name in enumerate([".hidden.png", "__MACOSX/a.png", *names]):
            member = tarfile.TarInfo(name)
            member.size = len(png(number))
            archive.addfile(member, io.BytesIO(png(number)))
    (tmp_path / "odd.tar").write_bytes(file.getvalue())
    source = ArchiveSource("odd", str(tmp_path / "odd.tar"), LIMIT)
    results = {candidate.uri.removeprefix("odd.tar/"): source.fetch(candidate) for candidate in list_candidates(source)}
    assert results == {name: png(number + 2) for number, name in enumerate(names)}  # of two, the last


def test_a_member_whose_name_is_not_utf8_can_be_read(tmp_path: Path) -> None:
    plain = tar([("aaaa.png", png(1))]).replace(b"aaaa.png", b"a\xe9\xff\xe8.png"[:8], 1)
    header = bytearray(plain[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "odd.tar").write_bytes(bytes(header) + plain[512:])
    source = ArchiveSource("odd", str(tmp_path / "odd.tar"), LIMIT)
    (candidate,) = list_candidates(source)
    assert "\\xe9" in candidate.uri
    assert source.fetch(candidate) == png(1)


def test_limits_and_damage_fail_single_images(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(LIMIT + 1))
        archive.writestr("good.png", png(0))
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
    results = {candidate.uri: source.fetch(candidate) for candidate in list_candidates(source)}
    classes = {uri: content.failure_class for uri, content in results.items() if isinstance(content, Failed)}
    assert classes == {"bad.zip/bomb.png": "too_large", "bad.zip/good.png": "damaged", "bad.zip/lies.png": "damaged"}


def test_an_encrypted_member_fails_as_encrypted(tmp_path: Path) -> None:
    content = bytearray(zipped([("a.png", png(0))]))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    source = ArchiveSource("locked", str(tmp_path / "locked.zip"), LIMIT)
    (candidate,) = list_candidates(source)
    assert source.fetch(candidate) == Failed("encrypted", "the archive wants a password for it")


def test_a_truncated_tar_yields_its_readable_images(tmp_path: Path) -> None:
    whole = tar([(f"{n}.png", png(n)) for n in range(3)])
    second = whole.index(b"2.png")
    (tmp_path / "cut.tar").write_bytes(whole[: second + 512 + 100])
    source = ArchiveSource("cut", str(tmp_path / "cut.tar"), LIMIT)
    results = [source.fetch(candidate) for candidate in list_candidates(source)]
    assert results[:2] == [png(0), png(1)]
    assert isinstance(results[2], Failed)
    assert results[2].failure_class == "truncated"
    longer = gzip.compress(tar([(f"{n}.png", png(n)) for n in range(30)]))
    (tmp_path / "cut.tar.gz").write_bytes(longer[: len(longer) // 2])
    content = stream_all(ArchiveSource("cut", str(tmp_path / "cut.tar.gz"), LIMIT))
    *before, (last, failed) = content.values()
    assert 5 < len(before) < 29
    assert [results for _, results in before] == [png(n) for n in range(len(before))]
    assert isinstance(failed, Failed)
    assert (last.uri, failed.failure_class) == (f"cut.tar.gz/{len(before)}.png", "truncated")


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_a_file_that_is_not_an_archive_is_an_error_of_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(png(0))
    with pytest.raises(SourceError, match=f"{name}: is not a readable archive"):
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


def test_a_new_member_changes_one_chunk(tmp_path: Path) -> None:
    members = [(f"{n}.png", b"x%d" % n) for n in range(300)]

    def slots(content: bytes) -> dict[str, int]:
        (tmp_path / "a.tar").write_bytes(content)
        chunks = list(ArchiveSource("a", str(tmp_path / "a.tar"), LIMIT).chunks())
        assert len({chunk.slot for chunk in chunks}) == len(chunks)
        return {chunk.slot: len(chunk.entries) for chunk in chunks}

    before = slots(tar(members))
    after = slots(tar([*members[:150], ("new.png", b"new"), *members[150:]]))
    assert sum(before.values()) == 300
    assert sum(after.values()) == 301
    changed = [slot for slot in before.keys() | after.keys() if before.get(slot) != after.get(slot)]
    assert len(changed) <= 3


@pytest.mark.parametrize(
    "suffix", ["tar", pytest.param("tar.gz", marks=pytest.mark.full), pytest.param("zip", marks=pytest.mark.full)]
)
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


def test_archives_are_recognised_by_their_names() -> None:
    assert all(map(is_archive, ("a.tar", "b.TAR.GZ", "s3://x/{00..10}.tar", "c.zip")))
    assert not any(map(is_archive, ("a.parquet", "tar", "a.tar.txt")))


def header_of(name: str, size: int, kind: bytes = tarfile.REGTYPE, size_field: bytes | None = None) -> bytes:
    """Return a header with any declared size and a correct checksum."""
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = size
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    if size_field is not None:
        block[124:136] = size_field
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def classes(source: ArchiveSource) -> dict[str, str]:
    """Return the failure class of each candidate by its uri; empty if it was read."""
    results = {candidate.uri: source.fetch(candidate) for candidate in list_candidates(source)}
    return {uri: content.failure_class if isinstance(content, Failed) else "" for uri, content in results.items()}


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize(("spoil", "failure_class"), [(600, "damaged"), (None, "truncated")])
def test_the_rest_after_a_broken_header_is_one_failure(
    tmp_path: Path, suffix: str, spoil: int | None, failure_class: str
) -> None:
    content = bytearray(tar([(f"{n}.png", png(n)) for n in range(4)]))
    header = content.index(b"2.png")
    content[header] ^= 0xFF
    if spoil is None:
        content = content[: header + 100]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(gzip.compress(bytes(content)) if suffix == "tar.gz" else bytes(content))
    source = ArchiveSource("a", str(path), LIMIT)
    if suffix == "tar":
        results = classes(source)
    else:
        pairs = stream_all(source).items()
        results = {uri: content.failure_class if isinstance(content, Failed) else "" for uri, (_, content) in pairs}
    assert results == {f"a.{suffix}/0.png": "", f"a.{suffix}/1.png": "", f"a.{suffix}": failure_class}


@pytest.mark.parametrize(
    "hostile",
    [
        header_of("a.png", 0, size_field=b"\xff" * 12),  # a negative size, after which tarfile goes round in circles
        header_of("a.png", 0, size_field=b"\x80" + b"\xff" * 11),
        header_of("././@LongLink", 1 << 33, tarfile.GNUTYPE_LONGNAME),
        header_of("././@PaxHeader", 512, tarfile.XHDTYPE) + b"0 path=a\n".ljust(512, b"\0"),
        header_of("././@PaxHeader", 512, tarfile.XHDTYPE) + b"99999999999999999999 path=a\n".ljust(512, b"\0"),
        header_of("././@PaxHeader", 16, tarfile.XHDTYPE) + b"12 size=-51\n".ljust(512, b"\0"),
    ],
)
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_hostile_header_ends_the_tar_at_once(tmp_path: Path, hostile: bytes, suffix: str) -> None:
    content = tar([("0.png", png(0))])[: 512 + -(-len(png(0)) // 512) * 512]
    path = tmp_path / f"a.{suffix}"
    packed = content + hostile + header_of("b.png", 0) + bytes(1024)
    path.write_bytes(gzip.compress(packed) if suffix == "tar.gz" else packed)
    source = ArchiveSource("a", str(path), LIMIT)
    started = time.monotonic()
    if suffix == "tar":
        results = classes(source)
    else:
        pairs = stream_all(source).items()
        results = {uri: content.failure_class if isinstance(content, Failed) else "" for uri, (_, content) in pairs}
    assert results.pop(f"a.{suffix}/0.png") == ""
    assert list(results) == [f"a.{suffix}"]
    assert time.monotonic() - started < 2


def test_thousands_of_headers_for_one_member_are_read(tmp_path: Path) -> None:
    pax = header_of("././@PaxHeader", 11, tarfile.XHDTYPE) + b"11 path=ab\n".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(5000 * pax + tar([("0.png", png(0))]))
    assert list(classes(ArchiveSource("a", str(tmp_path / "a.tar"), LIMIT)).values()) == [""]


def test_every_header_format_yields_the_same_members(tmp_path: Path) -> None:
    names = ["d/" + "x" * 90 + "/" + "y" * 80 + ".png", "plain.png", "z" * 99 + "p"]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{form}.tar"
        path.write_bytes(tar([(name, png(n)) for n, name in enumerate(names)], format=form))
        source = ArchiveSource("a", str(path), LIMIT)
        assert [source.fetch(candidate) for candidate in list_candidates(source)] == [png(n) for n in range(3)]
        assert [candidate.uri.split("/", 1)[1] for candidate in list_candidates(source)] == names


def test_a_sparse_file_and_a_link_in_a_zip_are_skipped(tmp_path: Path) -> None:
    holes = bytearray(header_of("holes.png", 512, tarfile.GNUTYPE_SPARSE))
    holes[482] = 1  # its map goes on in a block of its own
    holes[148:156] = b" " * 8
    holes[148:156] = b"%06o\0 " % sum(holes)
    (tmp_path / "a.tar").write_bytes(bytes(holes) + bytes(1024) + tar([("0.png", png(0))]))
    assert classes(ArchiveSource("a", str(tmp_path / "a.tar"), LIMIT)) == {"a.tar/0.png": ""}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder.png/", b"")
        archive.writestr("0.png", png(0))
    assert classes(ArchiveSource("a", str(tmp_path / "a.zip"), LIMIT)) == {"a.zip/0.png": ""}


def test_no_zip_method_decompresses_without_bound(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("bomb.png", bytes(200_000_000))
        archive.writestr("fine.png", png(1))
        archive.writestr(zipfile.ZipInfo("stored.png"), png(2))
        archive.writestr("odd.png", png(3), zipfile.ZIP_LZMA)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    record = content.index(b"bomb.png", content.index(b"PK\x01\x02")) - 46
    content[record + 24 : record + 28] = struct.pack("<I", 1000)
    (tmp_path / "a.zip").write_bytes(content)
    source = ArchiveSource("a", str(tmp_path / "a.zip"), LIMIT)
    list_candidates(source)
    tracemalloc.start()
    results = classes(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(results.values()) == ["damaged", "", "", "unsupported"]
    assert peak < 10_000_000


def test_a_zip_with_zip64_fields_after_a_program(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3):
            with archive.open(f"{number}.png", "w", force_zip64=True) as file:
                file.write(png(number))
        archive.comment = b"PK\x05 as a comment"
    (tmp_path / "self.zip").write_bytes(b"#!/bin/sh\n" * 10 + packed.getvalue())
    source = ArchiveSource("a", str(tmp_path / "self.zip"), LIMIT)
    assert [source.fetch(candidate) for candidate in list_candidates(source)] == [png(n) for n in range(3)]


@pytest.mark.parametrize("value", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("field", ["size", "packed", "offset", "directory"])
def test_a_zip64_number_beyond_any_file_is_damage(tmp_path: Path, field: str, value: int) -> None:
    content = zipped([("a.png", png(1))])
    start, name = content.rindex(b"PK\x01\x02"), b"a.png"
    if field == "directory":
        end = content.rindex(b"PK\x05\x06")
        content = content[:end] + struct.pack("<4sLQL", b"PK\x06\x07", 0, value, 1) + content[end:]
    else:
        at = {"packed": 20, "size": 24, "offset": 42}[field]
        record = bytearray(content[start : content.rindex(b"PK\x05\x06")])
        record[at : at + 4], record[30:32] = b"\xff" * 4, struct.pack("<H", 12)
        record[46 + len(name) : 46 + len(name)] = struct.pack("<HHQ", 1, 8, value)
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(record), start, 0)
        content = content[:start] + bytes(record) + end
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.zip: is not a readable archive: its central directory is"):
        list_candidates(ArchiveSource("a", str(tmp_path / "a.zip"), LIMIT))


def zip_of(path: Path, count: int) -> ArchiveSource:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(f"folder/{number:09d}.jpg"), b"%d" % number)
    return ArchiveSource("a", str(path), LIMIT)


def traced_peak(work: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.full
def test_a_large_zip_is_listed_in_less_memory_than_with_the_standard_library(tmp_path: Path) -> None:
    # Both in one process, because the memory of either varies with the threads of earlier tests.
    count = 60_000
    source = zip_of(tmp_path / "a.zip", count)

    def ours() -> None:
        assert sum(len(chunk.entries) for chunk in source.chunks()) == count

    def standard() -> None:
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            assert len(archive.namelist()) == count

    assert traced_peak(ours) < 0.75 * traced_peak(standard)


@pytest.mark.full
def test_a_zip_with_more_members_than_16_bits_can_count(tmp_path: Path) -> None:
    source = zip_of(tmp_path / "a.zip", 66_000)
    results = list_candidates(source)
    assert [results[n].uri for n in (0, 65_999)] == ["a.zip/folder/000000000.jpg", "a.zip/folder/000065999.jpg"]
    assert len(results) == 66_000
    assert source.fetch(results[65_999]) == b"65999"


def test_a_truncated_zip_is_an_error(tmp_path: Path) -> None:
    content = zipped([(f"{n}.png", png(n)) for n in range(3)])
    for name, part in (("a.zip", content[:-100]), ("b.zip", content[: len(content) // 2]), ("c.zip", b"")):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(SourceError, match=name):
            ArchiveSource("a", str(tmp_path / name), LIMIT).check()


@pytest.mark.parametrize("suffix", ["tar", "zip", "tar.gz"])
def test_random_damage_becomes_failures_and_never_raises(tmp_path: Path, suffix: str) -> None:
    members = webdataset(8)
    whole = {"tar": tar(members), "zip": zipped(members), "tar.gz": gzip.compress(tar(members))}[suffix]
    chance, readable = random.Random(7), 0
    for number in range(150):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 20)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
        source = ArchiveSource("a", str(path), LIMIT)
        with contextlib.suppress(SourceError):
            results = stream_all(source) if suffix == "tar.gz" else classes(source)
            assert results
            readable += 1
        path.unlink()
    assert readable > 10


def test_braces_may_stand_for_folders(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"part{number}").mkdir()
        (tmp_path / f"part{number}" / "a.tar").write_bytes(tar([("x.png", png(number))]))
    source = ArchiveSource("s", f"{tmp_path}/part{{0..1}}/*.tar", LIMIT)
    assert {candidate.uri: source.fetch(candidate) for candidate in list_candidates(source)} == {
        f"part{number}/a.tar/x.png": png(number) for number in range(2)
    }
    with pytest.raises(SourceError, match="no such file"):
        ArchiveSource("s", f"{tmp_path}/part{{0..2}}/a.tar", LIMIT).check()
    with pytest.raises(SourceError, match="more than 1,000,000"):
        ArchiveSource("s", f"{tmp_path}/part{{0..99999999999}}/a.tar", LIMIT).check()


def test_a_changed_archive_gives_its_members_another_version(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar([("0.png", png(0)), ("1.png", png(1))]))
    source = ArchiveSource("a", str(path), LIMIT)
    before = list_candidates(source)
    assert [source.fetch(candidate) for candidate in before] == [png(0), png(1)]
    path.write_bytes(tar([("1.png", png(2)), ("0.png", png(3))]))
    os.utime(path, ns=(1, 1))
    after = list_candidates(source)
    assert {candidate.key for candidate in after} == {candidate.key for candidate in before}
    assert {candidate.version for candidate in after}.isdisjoint(candidate.version for candidate in before)
    assert [source.fetch(candidate) for candidate in before] == [png(3), png(2)]
    path.unlink()
    assert isinstance(source.fetch(before[0]), Failed)


def test_a_sample_of_many_images_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    members = [(f"same.{number}.png", bytes(100_000)) for number in range(200)]
    path.write_bytes(gzip.compress(tar([*members, ("same.json", b'{"license": "CC0"}')])))
    source = ArchiveSource("a", str(path), 150_000)
    count = 0

    def count_candidate(candidate: Candidate, content: bytes | Failed) -> None:
        nonlocal count
        count += content == bytes(100_000)

    (chunk,) = source.chunks()
    tracemalloc.start()
    source.stream(chunk, lambda _: True, count_candidate, StreamContext(out=Folder("memory://nowhere"), concurrency=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200
    assert peak < 4_000_000


class _Failing(io.BytesIO):
    """A file that fails before its end."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 40_000:
            raise ConnectionResetError("the line went dead")
        return super().read(min(size or 0, 10_000) if size is not None and size >= 0 else 10_000)


@pytest.fixture
def broken_connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    whole = tar([(f"{n}.png", png(n)) for n in range(40)])
    fsspec.filesystem("memory").pipe("/dead/x.tar", whole)
    opened = Folder.open

    def opens(self: Folder, name: str) -> object:
        return _Failing(whole) if name == "x.tar" else opened(self, name)

    monkeypatch.setattr(Folder, "open", opens)
    yield
    fsspec.filesystem("memory").rm("/dead/x.tar")


@pytest.mark.usefixtures("broken_connection")
def test_a_broken_connection_differs_from_a_truncated_archive() -> None:
    results = stream_all(ArchiveSource("x", "memory://dead/x.tar", LIMIT))
    *before, (_, last) = results.values()
    assert [content for _, content in before] == [png(n) for n in range(len(before))]
    assert len(before) > 10
    assert last == Failed("unreadable", "the line went dead")
