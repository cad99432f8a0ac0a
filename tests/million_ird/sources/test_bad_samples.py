"""A sidecar or a row of a dataset that cannot be read fails its own images; all others are read."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from million_ird.candidate import Candidate, Failed
from million_ird.runtime.storage import Folder
from million_ird.sources.archives.source import ArchiveSource
from million_ird.sources.hub import DatasetSource
from million_ird.sources.sidecars import MAX_SIDECAR_BYTES
from million_ird.sources.source import Source, StreamContext


def png(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def read(source: Source) -> list[tuple[Candidate, bytes | Failed]]:
    """All candidates with their contents, as a scan reads them."""
    found: list[tuple[Candidate, bytes | Failed]] = []

    def deliver(candidate: Candidate, content: bytes | Failed) -> None:
        found.append((candidate, content))

    source.check()
    for chunk in source.chunks():
        if chunk.remote:
            context = StreamContext(out=Folder("memory://x"), concurrency=2)
            source.stream(chunk, lambda _: True, deliver, context)
        else:
            found += [(one, source.fetch(one)) for one in source.candidates(chunk)]
    return found


SOUND = {"score": 0.5, "caption": "a", "license": "CC0"}
BAD_SIDECARS: dict[str, tuple[bytes, str]] = {
    "not JSON": (b'{"score": 1,}', "its sidecar b.json, line 1: is not JSON"),
    "cut": (b'{"score":\n1', "its sidecar b.json, line 2: is not JSON"),
    "empty": (b"", "its sidecar b.json, line 1: is not JSON"),
    "not UTF-8": (b'{"score": 1,\n"caption": "\xe9"}', "its sidecar b.json, line 2: byte 0xe9 is not UTF-8"),
    "too deep": (b"[" * 100_000, "its sidecar b.json: is not JSON"),
    "too large": (b'"' + b"x" * MAX_SIDECAR_BYTES + b'"', "its sidecar b.json: more than 1,048,576 bytes"),
    "no number": (b'{"score": "N/A"}', "column 'score': 'N/A' is not a number"),
    "a list as number": (b'{"score": [1]}', "column 'score': holds a list, not one value"),
    "a structure as licence": (b'{"license": {"id": 1}}', "column 'license': holds a structure"),
    "half a surrogate pair": (b'{"caption": "\\ud83d"}', "column 'caption': holds half a surrogate pair"),
}


def pack(path: Path, sidecar: bytes) -> Path:
    first, last = json.dumps(SOUND).encode(), json.dumps({**SOUND, "caption": ["x", "y"]}).encode()
    members = [("a.png", png(0)), ("a.json", first), ("b.png", png(1)), ("b.json", sidecar), ("c.png", png(2))]
    members.append(("c.json", last))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in members:
                packed.writestr(name, content)
        return path
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as plain:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            plain.addfile(info, io.BytesIO(content))
    path.write_bytes(gzip.compress(file.getvalue()) if path.suffix == ".gz" else file.getvalue())
    return path


@pytest.mark.parametrize("kind", [".tar", ".zip", ".tar.gz"])
@pytest.mark.parametrize("case", BAD_SIDECARS)
def test_a_bad_sidecar_fails_the_image_of_its_sample_alone(tmp_path: Path, kind: str, case: str) -> None:
    content, told = BAD_SIDECARS[case]
    path = pack(tmp_path / f"s{kind}", content)
    (first, one), (_, bad), (last, other) = read(ArchiveSource("s", str(path), 10**6, ("score",), ("caption",)))
    assert (one, other) == (png(0), png(2))
    assert isinstance(bad, Failed)
    assert bad.failure_class == "bad_row"
    assert bad.detail.startswith(told)
    assert (first.licence, first.extra) == ("CC0", {"score": 0.5, "caption": "a"})
    assert last.extra == {"score": 0.5, "caption": '["x", "y"]'}


@pytest.mark.parametrize(
    "sidecar", [b"[1, 2]", b"null", b'"text"', b"{}", b'{"score": null, "caption": ""}', b'{"score": ""}']
)
def test_sound_json_without_fields_is_no_fault(tmp_path: Path, sidecar: bytes) -> None:
    found = read(ArchiveSource("s", str(pack(tmp_path / "s.tar", sidecar)), 10**6, ("score",), ("caption",)))
    assert [content for _, content in found] == [png(number) for number in range(3)]
    assert found[1][0].extra == {"score": None, "caption": None}


def test_one_of_several_archives_that_is_none_is_a_failed_row(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", b"{}")
    for name in ("b.zip", "c.tar", "d.tar.gz"):
        (tmp_path / name).write_bytes(b"no archive" * 100)
    pack(tmp_path / "e.zip", b"{}")
    found = read(ArchiveSource("s", str(tmp_path), 10**6))
    assert len([content for _, content in found if isinstance(content, bytes)]) == 6
    failed = {one.uri: content.failure_class for one, content in found if isinstance(content, Failed)}
    assert failed == dict.fromkeys(("b.zip", "c.tar", "d.tar.gz"), "unreadable")


NOT_UTF_8 = pa.array([b"CC0", b"\xe9", b"MIT"])
BAD_ROWS = {
    "no number": ({"score": ["0.5", "N/A", "1"]}, "column 'score': 'N/A' is not a number"),
    "not UTF-8": (
        {"license": pa.Array.from_buffers(pa.string(), 3, NOT_UTF_8.buffers())},
        "column 'license': byte 0xe9 is not UTF-8",
    ),
    "not UTF-8 in bytes": ({"caption": NOT_UTF_8}, "column 'caption': byte 0xe9 is not UTF-8"),
    "too long": ({"caption": ["a", "x" * (1 << 20 | 1), "b"]}, "column 'caption': holds more than 1,048,576 char"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_of_a_dataset_fails_alone(tmp_path: Path, case: str) -> None:
    columns, told = BAD_ROWS[case]
    stored = [{"bytes": png(number), "path": None} for number in range(3)]
    plain = {"image": stored, "score": [1, 2, 3], "caption": ["a"] * 3, "license": ["b"] * 3}
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({**plain, **columns}), tmp_path / "set" / "train.parquet")
    source = DatasetSource("s", str(tmp_path / "set"), 10**6, ("score",), ("caption",), image="image")
    (_, one), (_, bad), (_, other) = read(source)
    assert (one, other) == (png(0), png(2))
    assert isinstance(bad, Failed)
    assert bad.failure_class == "bad_row"
    assert bad.detail.startswith(f"train/00000/000001, {told}")


def test_lists_of_images_are_read_one_by_one(tmp_path: Path) -> None:
    stored = [[{"bytes": png(0), "path": None}, {"bytes": png(1), "path": None}], [], [{"bytes": png(2), "path": None}]]
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({"images": stored}), tmp_path / "set" / "train.parquet")
    found = read(DatasetSource("s", str(tmp_path / "set"), 10**6))
    assert [content for _, content in found if isinstance(content, bytes)] == [png(number) for number in range(3)]
    assert [one.uri for one, _ in found] == [
        "train/00000/000000/000", "train/00000/000000/001", "train/00000/000001", "train/00000/000002/000",
    ]  # fmt: skip
