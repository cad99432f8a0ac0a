"""Web archives as warcio writes them, and as crawlers store answers, intact and damaged."""

import contextlib
import gzip
import io
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from million_ird.candidate import Failed
from million_ird.config.loading import parse
from million_ird.errors import SourceError
from million_ird.ledger import load
from million_ird.runtime.storage import Folder
from million_ird.sources.archives.tars import BrokenArchive
from million_ird.sources.archives.warcs import iter_streamed_warc
from million_ird.workflow import Options, build

warcio = pytest.importorskip("warcio")
from warcio.archiveiterator import ArchiveIterator  # noqa: E402
from warcio.statusandheaders import StatusAndHeaders  # noqa: E402
from warcio.warcwriter import WARCWriter  # noqa: E402

LIMIT = 1_000_000
JPEG = {"Content-Type": "image/jpeg"}


def picture(seed: int, side: int = 48) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


class Archive:
    """A web archive in memory, written by warcio."""

    def __init__(self, compressed: bool = True) -> None:
        self.file = io.BytesIO()
        self.writer = WARCWriter(self.file, gzip=compressed)
        self.writer.write_record(self.writer.create_warcinfo_record("x.warc", {"software": "test"}))

    def add(
        self,
        address: str,
        content: bytes,
        http: dict[str, str] | None = None,
        status: str = "200 OK",
        kind: str = "response",
        **more: str,
    ) -> "Archive":
        headers = StatusAndHeaders(status, list((http or JPEG).items()), protocol="HTTP/1.1")
        names = {name.replace("_", "-"): value for name, value in more.items()}
        names |= {"Content-Type": "image/jpeg"} if kind == "resource" else {}
        record = self.writer.create_warc_record(
            address,
            kind,
            payload=io.BytesIO(content),
            http_headers=headers if kind != "resource" else None,
            warc_content_type=names.pop("Content-Type", ""),
            warc_headers_dict=names,
        )
        self.writer.write_record(record)
        return self

    def images(self, name: str = "x.warc.gz", limit: int = LIMIT) -> dict[str | None, bytes | Failed]:
        return read(self.file.getvalue(), name, limit)


def read(archive: bytes, name: str = "x.warc.gz", limit: int = LIMIT) -> dict[str | None, bytes | Failed]:
    return {address: content for address, content, _ in iter_streamed_warc(io.BytesIO(archive), name, limit)}


def chunked(content: bytes, size: int = 700) -> bytes:
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x;x=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_answers_that_are_images_are_read_as_warcio_reads_them() -> None:
    archive = Archive()
    gzipped, deflated = gzip.compress(picture(3)), zlib.compress(picture(4))
    archive.add("https://a.org/1.jpg?x=1", picture(1))
    archive.add("https://a.org/2.jpg", chunked(picture(2)), JPEG | {"Transfer-Encoding": "chunked"})
    archive.add("https://a.org/3.jpg", gzipped, JPEG | {"Content-Encoding": "gzip"})
    archive.add("https://a.org/4.jpg", deflated, JPEG | {"Content-Encoding": "deflate"})
    both = JPEG | {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    archive.add("https://a.org/5.jpg", chunked(gzip.compress(picture(5))), both)
    archive.add("https://a.org/6.jpg", picture(6), both)  # stored as decoded, with the headers as they were
    archive.add("https://a.org/7.jpg", picture(7), kind="resource")
    archive.add("https://a.org/8", picture(8), {"Content-Type": "IMAGE/JPEG; charset=x"})
    images = archive.images()
    expected = {}
    for record in ArchiveIterator(io.BytesIO(archive.file.getvalue())):
        if record.rec_type in {"response", "resource"}:
            expected[record.rec_headers.get_header("WARC-Target-URI")] = record.content_stream().read()
    assert images == expected
    assert list(images.values()) == [picture(seed) for seed in range(1, 9)]


def test_other_records_are_no_images() -> None:
    archive = Archive()
    archive.add("https://a.org/", b"<html>", {"Content-Type": "text/html"})
    archive.add("https://a.org/gone.jpg", picture(1), status="404 Not Found")
    archive.add("https://a.org/moved.jpg", b"", status="302 Found")
    archive.add("https://a.org/asked.jpg", b"", kind="request")
    archive.add("https://a.org/same.jpg", b"", kind="revisit")
    archive.add("https://a.org/about.jpg", b"{}", kind="metadata")
    archive.add("https://a.org/part.jpg", picture(2), WARC_Segment_Number="2", kind="response")
    archive.add("https://a.org/one.jpg", picture(3))
    archive.add("https://a.org/one.jpg", picture(4))  # crawled again: the first counts
    octets = {"Content-Type": "application/octet-stream"}
    archive.add("https://a.org/told", picture(5), octets, WARC_Identified_Payload_Type="image/jpeg")
    assert archive.images() == {"https://a.org/one.jpg": picture(3), "https://a.org/told": picture(5)}


def test_what_is_stored_in_part_fails_alone() -> None:
    archive = Archive()
    archive.add("https://a.org/1", picture(1), WARC_Truncated="length")
    archive.add("https://a.org/2", picture(2), WARC_Segment_Number="1")
    archive.add("https://a.org/3", picture(3, 600))
    archive.add("https://a.org/4", gzip.compress(bytes(10 * LIMIT)), JPEG | {"Content-Encoding": "gzip"})
    archive.add("https://a.org/5", gzip.compress(picture(5))[:-20], JPEG | {"Content-Encoding": "gzip"})
    archive.add("https://a.org/6", picture(6))
    *failures, last = archive.images(limit=100_000).values()
    assert [failed.failure_class for failed in failures if isinstance(failed, Failed)] == [
        "truncated",
        "truncated",
        "too_large",
        "too_large",
        "truncated",
    ]
    assert last == picture(6)


@pytest.mark.parametrize("name", ["x.warc", "x.warc.gz", "x.warc.zst"])
def test_an_archive_that_is_cut_off_anywhere_gives_what_is_before(name: str) -> None:
    archive = Archive(compressed=name.endswith("gz"))
    for seed in range(4):
        archive.add(f"https://a.org/{seed}", picture(seed))
    whole = archive.file.getvalue()
    if name.endswith("zst"):
        whole = pa.compress(whole, codec="zstd", asbytes=True)
    assert list(read(whole, name).values()) == [picture(seed) for seed in range(4)]
    for size in range(0, len(whole), max(len(whole) // 60, 1)):
        try:
            images = read(whole[:size], name)
        except BrokenArchive:
            assert size < len(whole) / 4 or name.endswith("zst")  # one block, which is decoded whole
            continue
        rest = images.pop(None, None)
        failed = [content for content in images.values() if isinstance(content, Failed)]
        assert len(failed) <= 1
        assert all(
            content == picture(int(str(address)[-1])) for address, content in images.items() if content not in failed
        )
        assert len(images) == 4 or rest is not None or name == "x.warc"


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\r\n\r\n",
        b"<html>\r\n",
        b"WARC/1.0\r\n",
        b"WARC/1.0\r\nWARC-Type: response\r\n\r\n",
        b"WARC/1.0\r\nContent-Length: -1\r\n\r\n",
        b"WARC/1.0\r\nContent-Length: 9999999999999999999\r\n\r\n",
        b"WARC/1.0\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        b"WARC/1.0\r\nX: " + b"y" * 5_000_000 + b"\r\n\r\n",
        b"WARC/1.0" + b"y" * 5_000_000,
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_what_is_no_record_ends_the_archive(broken: bytes, after: bool) -> None:
    good = Archive(compressed=False).add("https://a.org/1", picture(1)).file.getvalue()
    tracemalloc.start()
    if not after and not broken.startswith(b"WARC/1.0\r\nContent") and b"Type" not in broken:
        with pytest.raises(BrokenArchive):
            read(broken, "x.warc")
    else:
        images = read((good if after else b"") + broken, "x.warc")
        images.pop("https://a.org/1", None)
        assert set(images) <= {None}
        assert bool(images) == bool(broken.strip())
    assert tracemalloc.get_traced_memory()[1] < 8_000_000 + 3 * len(broken)
    tracemalloc.stop()


@pytest.mark.parametrize("seed", range(300))
def test_changed_bytes_are_read_or_refused(seed: int) -> None:
    archive = Archive(compressed=seed % 2 == 0).add("https://a.org/1", picture(1))
    archive.add("https://a.org/2", chunked(picture(2)), JPEG | {"Transfer-Encoding": "chunked"})
    content = bytearray(archive.file.getvalue())
    random = np.random.default_rng(seed)
    for position in random.integers(0, len(content), 1 + seed % 5):
        content[position] = random.integers(256)
    with contextlib.suppress(BrokenArchive):
        images = read(bytes(content), "x.warc.gz" if seed % 2 == 0 else "x.warc")
        assert len(images) <= 3


@pytest.mark.parametrize("ignored", [b"no colon", b": no name", b"WARC-Type: metadata"])
def test_a_header_that_goes_on_after_one_that_is_ignored_is_ignored_too(ignored: bytes) -> None:
    content = Archive(compressed=False).add("https://a.org/1", picture(1)).file.getvalue()
    headers, body = content.split(b"\r\n\r\n", 1)
    changed = headers + b"\r\n" + ignored + b"\r\n goes on\r\n\r\n" + body
    assert read(changed, "x.warc") == read(content, "x.warc")


def test_a_folder_of_web_archives_is_built_from_and_addresses_are_published_without_secrets(tmp_path: Path) -> None:
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    first = Archive().add("https://user:pass@a.org/1.jpg?token=SECRET", picture(1, 300))
    first.add("https://a.org/2.jpg", picture(2, 300))
    (crawl / "a.warc.gz").write_bytes(first.file.getvalue())
    second = Archive().add("https://a.org/1.jpg", picture(3, 300)).add("https://a.org/2.jpg", picture(4, 300))
    (crawl / "b.warc.gz").write_bytes(second.file.getvalue()[:-2000])
    (crawl / "c.warc.gz").write_bytes(b"no archive")
    (crawl / "x.tar").write_bytes(b"left out")
    recipe = parse({"texts": ["warc_date"], "patches": {"size": 64}}, origin="test")
    out = tmp_path / "out"
    build([f"warc:{crawl}"], str(out), recipe, Options(workers=0))
    rows = load(Folder(str(out))).to_pylist()
    found = {row["uri"]: row["failure_class"] or row["verdict"] for row in rows}
    assert found == {
        "a.warc.gz/https://a.org/1.jpg": "kept",
        "a.warc.gz/https://a.org/2.jpg": "kept",
        "b.warc.gz/https://a.org/1.jpg": "kept",
        "b.warc.gz/https://a.org/2.jpg": "truncated",
        "b.warc.gz": "truncated",
        "c.warc.gz": "unreadable",
    }
    assert all(row["warc_date"] for row in rows if row["verdict"] == "kept")
    published = b"".join(file.read_bytes() for file in out.rglob("*") if file.is_file() and ".work" not in file.parts)
    assert b"SECRET" not in published
    assert b"pass@" not in published


def test_one_web_archive_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(b"no archive")
    recipe = parse({}, origin="test")
    with pytest.raises(SourceError, match=r"a\.warc: is not a readable archive: .*no record of WARC"):
        build([str(tmp_path / "a.warc")], str(tmp_path / "out"), recipe, Options(workers=0))
