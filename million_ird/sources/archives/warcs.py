"""Reads the images of web archives (WARC 1.0 and 1.1, ISO 28500) from start to end: what a crawler fetched, as it came.

A crawler stores each answer of a server as a record: its own headers, the headers of HTTP, the content. Libraries for
WARC read lines and contents without a bound; here what is too large fails one image, or the rest of the archive.
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO

from million_ird.candidate import Failed
from million_ird.runtime.file_names import as_text
from million_ird.sources.archives.stream import READ_ERRORS, decompressed, failure_of
from million_ird.sources.archives.tars import BrokenArchive

WARC = (".warc", ".warc.gz", ".warc.zst")
_MAX_LINE = 1 << 16
_MAX_LINES = 1_000
_SKIPPED = 1 << 20
_WITH_HTTP, _PLAIN = "response", "resource"
_OK = b"200"


def is_warc(archive: str) -> bool:
    """Return whether an archive is a web archive, by its name."""
    return archive.lower().endswith(WARC)


@dataclass(frozen=True, slots=True)
class WarcImage:
    """An answer of a web server that says that it is an image."""

    address: str
    content: bytes | Failed
    fields: Mapping[str, str]
    broken: Exception | None = None
    """Why the archive cannot be read behind it."""


def iter_streamed_warc(
    file: IO[bytes], archive: str, max_bytes: int
) -> Iterator[tuple[str | None, bytes | Failed, Mapping[str, str]]]:
    """Yield address, content and fields of the images of a web archive in their order; of an address the first image.

    The fields are what the record says of its image: `warc_date` and `content_type`. If the archive cannot be read to
    its end, the last item is a failure without an address.

    Args:
        file: The archive, compressed as its name says.
        archive: Its name.
        max_bytes: The size beyond which an image fails as `too_large`.

    Raises:
        BrokenArchive: it is no web archive.
    """
    records = decompressed(file, archive)
    seen = set[bytes]()
    any_record = False
    try:
        while (headers := _record_headers(records)) is not None:
            any_record = True
            image, left = _image(records, headers, _length(headers), max_bytes)
            if image is not None and (digest := _digest(image.address)) not in seen:
                seen.add(digest)
                yield image.address, image.content, image.fields
            if image is not None and image.broken is not None:
                raise image.broken
            _skip(records, left)
        if not any_record:
            raise BrokenArchive("truncated", "holds no record")
    except (BrokenArchive, *READ_ERRORS) as error:
        failure = failure_of(error)
        if not any_record and failure.failure_class != "unreadable":
            raise BrokenArchive(failure.failure_class, failure.detail) from error
        yield None, failure, {}


def _digest(address: str) -> bytes:
    return hashlib.blake2b(address.encode(), digest_size=16).digest()


def _record_headers(file: IO[bytes]) -> dict[str, str] | None:
    """Return the headers of the next record, with names in lower case; None at the end of the archive."""
    line = file.readline(_MAX_LINE)
    while line in {b"\r\n", b"\n"}:
        line = file.readline(_MAX_LINE)
    if not line:
        return None
    if not line.startswith(b"WARC/"):
        raise BrokenArchive(
            "damaged", f"no record of WARC where one should be: {as_text(line[:40].decode('latin-1'))!r}"
        )
    return _headers(file)[0]


def _headers(file: IO[bytes], at_most: int | None = None) -> tuple[dict[str, str], int]:
    """Read lines of headers up to an empty one, and of `at_most` bytes; return them and how many bytes they took."""
    headers: dict[str, str] = {}
    name, taken = "", 0
    for _ in range(_MAX_LINES):
        limit = _MAX_LINE if at_most is None else min(_MAX_LINE, at_most - taken)
        line = file.readline(limit) if limit else b""
        taken += len(line)
        if line in {b"\r\n", b"\n"} or (not line and at_most is not None):
            return headers, taken
        if not line.endswith(b"\n") and taken != at_most:
            if len(line) == _MAX_LINE:
                raise BrokenArchive("damaged", f"a header of more than {_MAX_LINE:,} bytes")
            raise BrokenArchive("truncated", "the archive is cut off in a header")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text[:1] in {" ", "\t"}:  # the header goes on; one that is ignored is ignored whole
            if name:
                headers[name] = f"{headers[name]} {text.strip()}"
            continue
        name, colon, value = text.partition(":")
        name = name.strip().lower() if colon else ""
        if name in headers:
            name = ""
        elif name:
            headers[name] = value.strip()
    raise BrokenArchive("damaged", f"more than {_MAX_LINES:,} headers")


def _length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BrokenArchive("damaged", f"a record tells no length: {as_text(text[:40])!r}")
    return int(text)


def _image(file: IO[bytes], headers: Mapping[str, str], length: int, max_bytes: int) -> tuple[WarcImage | None, int]:
    """Return the image that a record holds, if it does, and how many bytes of the record are left to skip."""
    address = headers.get("warc-target-uri", "").strip("<> ")
    kind = headers.get("warc-type", "").lower()
    if kind not in {_WITH_HTTP, _PLAIN} or not address or headers.get("warc-segment-number", "1") != "1":
        return None, length
    http: Mapping[str, str] = {}
    content_type = headers.get("content-type", "")
    taken = 0
    if kind == _WITH_HTTP:
        status = file.readline(min(_MAX_LINE, length))
        taken = len(status)
        if status.split(None, 2)[1:2] != [_OK]:
            return None, length - taken
        http, more = _headers(file, at_most=length - taken)
        taken += more
        content_type = http.get("content-type", "")
    kinds = (content_type, headers.get("warc-identified-payload-type", ""))
    if not any(kind.strip().lower().startswith("image/") for kind in kinds):
        return None, length - taken
    fields = {"content_type": as_text(content_type), "warc_date": as_text(headers.get("warc-date", ""))}
    found = WarcImage(as_text(address), b"", fields)
    size = length - taken
    if refused := _refused(headers, size, max_bytes):
        return replace(found, content=refused), size
    try:
        stored = _read(file, size)
    except READ_ERRORS as error:
        return replace(found, content=failure_of(error), broken=error), 0
    if len(stored) < size:
        return replace(found, content=Failed("truncated", "the archive ends before the picture does")), size - len(
            stored
        )
    if "chunked" in http.get("transfer-encoding", "").lower():
        stored = _joined(stored)
    encoding = http.get("content-encoding", "").strip().lower()
    return replace(found, content=_decoded(stored, encoding, max_bytes)), 0


def _refused(headers: Mapping[str, str], size: int, max_bytes: int) -> Failed | None:
    if "warc-segment-number" in headers:
        return Failed("truncated", "the archive stores it in parts, which are not joined")
    if reason := headers.get("warc-truncated"):
        return Failed("truncated", f"the crawler cut it off ({as_text(reason[:40])})")
    return Failed("too_large", f"more than {max_bytes:,} bytes") if size > max_bytes else None


def _joined(stored: bytes) -> bytes:
    """Return the content of HTTP's chunks; many archives hold it joined already, with the header as it was."""
    parts: list[bytes] = []
    position = 0
    while True:
        end = stored.find(b"\r\n", position, position + 100)
        digits = stored[position:end].split(b";")[0].strip() if end >= 0 else b""
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            return stored if not parts else b"".join(parts)
        size = int(digits, 16)
        if size == 0:
            return b"".join(parts)
        parts.append(stored[end + 2 : end + 2 + size])
        position = end + 2 + size + 2


def _decoded(stored: bytes, encoding: str, max_bytes: int) -> bytes | Failed:
    """Return content without the compression that HTTP names; it stays as it is where it is not compressed so."""
    if encoding in {"", "identity"}:
        return stored
    if encoding in {"gzip", "x-gzip"}:
        if not stored.startswith(b"\x1f\x8b"):  # crawlers often store it decompressed, with the header as it was
            return stored
        decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    elif encoding == "deflate":
        decompressor = zlib.decompressobj()
    else:
        return stored
    try:
        content = decompressor.decompress(stored, max_bytes + 1)
    except zlib.error as error:
        return stored if encoding == "deflate" else Failed("damaged", f"its compression by HTTP: {error}")
    if len(content) > max_bytes:
        return Failed("too_large", f"more than {max_bytes:,} bytes")
    return content if decompressor.eof else Failed("truncated", "its compression by HTTP is cut off")


def _read(file: IO[bytes], size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := file.read(min(size, _SKIPPED))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _skip(file: IO[bytes], size: int) -> None:
    while size:
        part = file.read(min(size, _SKIPPED))
        if not part:
            raise BrokenArchive("truncated", "the archive is cut off in a record")
        size -= len(part)
