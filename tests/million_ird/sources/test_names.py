"""Files of any name are listed once each, under keys of their own, and each is read: whatever bytes the name has."""

import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from million_ird.candidate import Failed, candidate_key
from million_ird.config.loading import parse
from million_ird.config.rules import WebSettings
from million_ird.maintenance.verify import verify
from million_ird.runtime.file_names import as_name, as_text, as_typed
from million_ird.sources.archives.source import ArchiveSource
from million_ird.sources.files import FilesSource
from million_ird.sources.source import Source
from million_ird.sources.tables import TableSource
from million_ird.sources.web.links import LinkFetcher
from million_ird.workflow import Options, build
from tests.million_ird.scenes import photograph

FETCHER = LinkFetcher(web=WebSettings(), max_bytes=10**6)
PARTS = (
    b"\\",
    b"x",
    b"\\x",
    b"e9",
    b"\\xe9",
    b"\xe9",
    b"\xc3\xa9",
    b"5c",
    b"\\x5c",
    b"\xff",
    b"\\xFF",
    b"a",
    b"%",
    b"\n",
)
NAMES = st.lists(st.sampled_from(PARTS) | st.binary(min_size=1, max_size=3), min_size=1, max_size=8).map(b"".join)
ODD = [
    b"caf\xe9.jpg", rb"caf\xe9.jpg", rb"caf\x5cxe9.jpg", rb"caf\x5cx5cxe9.jpg", b"caf\xc3\xa9.jpg", rb"caf\xc3\xa9.jpg",
    rb"caf\\xe9.jpg", b"caf\\\xe9.jpg", rb"caf\XE9.jpg", rb"caf\xE9.jpg", b"new\nline.jpg", rb"new\nline.jpg",
    b"\xff\xfe.jpg", b"sp ace .jpg", b"[1].jpg", b"st*r.jpg", b"wh?t.jpg", b"%E9.jpg", b"~.jpg", b"a::b.jpg", b"#.jpg",
    b"\xed\xa0\x80.jpg", b"'q'.jpg", b"x" * 251 + b".jpg", b"\xe9" * 251 + b".jpg", b"-.jpg", b"a;b=c.jpg",
]  # fmt: skip


@given(NAMES)
def test_a_name_is_known_from_its_text(raw: bytes) -> None:
    name = os.fsdecode(raw)
    text = as_text(name)
    assert text.encode("utf-8"), "it is valid text"
    assert os.fsencode(as_name(text)) == raw


@given(NAMES, NAMES, NAMES)
def test_different_names_have_different_keys(one: bytes, other: bytes, folder: bytes) -> None:
    keys = {candidate_key("s", as_text(os.fsdecode(raw))) for raw in (one, other, folder + b"/" + one)}
    assert len(keys) == len({one, other, folder + b"/" + one})


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\\")))
def test_the_text_of_an_ordinary_name_is_the_name(name: str) -> None:
    assert as_text(name) == name
    assert as_text(f"C:\\new\\{name}\\x4") == f"C:\\new\\{name}\\x4", "nor do other backslashes change"


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with a file of each odd name; its content is its name."""
    (tmp_path / "odd").mkdir()
    for raw in ODD:
        with open(os.path.join(os.fsencode(tmp_path / "odd"), raw), "wb") as file:
            file.write(raw)
    return tmp_path / "odd"


def contents(source: Source) -> Iterator[tuple[str, bytes | Failed]]:
    source.check()
    for chunk in source.chunks():
        for candidate in source.candidates(chunk):
            yield candidate.key, source.fetch(candidate)


@pytest.mark.parametrize("pattern", ["", "/*", "/**", "/*.jpg"])
def test_every_file_of_a_folder_is_read_once(odd: Path, pattern: str) -> None:
    read = list(contents(FilesSource("odd", f"{odd}{pattern}", 10**6)))
    assert sorted(content for _, content in read if isinstance(content, bytes)) == sorted(ODD)
    assert len({key for key, _ in read}) == len(ODD)


@pytest.mark.parametrize("raw", ODD)
def test_a_file_that_is_named_itself_is_read(odd: Path, raw: bytes) -> None:
    ((_, content),) = contents(FilesSource("odd", os.fsdecode(os.path.join(os.fsencode(odd), raw)), 10**6))
    assert content == raw


def test_every_file_that_a_list_names_is_read(odd: Path) -> None:
    spelled = [raw for raw in ODD if b"\n" not in raw and raw.decode(errors="ignore").encode() == raw]
    (odd / "list.txt").write_bytes(b"\n".join(spelled))
    read = list(contents(TableSource("list", str(odd / "list.txt"), FETCHER)))
    assert sorted(content for _, content in read if isinstance(content, bytes)) == sorted(spelled)
    assert len({key for key, _ in read}) == len(spelled)


def test_a_list_may_spell_the_byte_of_a_name_that_no_other_file_has(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "wb") as file:
        file.write(b"coffee")
    (tmp_path / "list.txt").write_text("caf\\xe9.jpg")
    ((_, content),) = contents(TableSource("list", str(tmp_path / "list.txt"), FETCHER))
    assert content == b"coffee"


def test_archives_of_any_name_are_read(tmp_path: Path) -> None:
    for raw in (b"caf\xe9", rb"caf\xe9", b"plain"):
        with zipfile.ZipFile(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw + b".zip"), "w") as packed:
            packed.writestr("a.jpg", raw)
        with tarfile.open(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw + b".tar"), "w") as plain:
            (tmp_path / "a.bin").write_bytes(raw)
            plain.add(tmp_path / "a.bin", "a.jpg")
    (tmp_path / "a.bin").unlink()
    read = list(contents(ArchiveSource("a", str(tmp_path), 10**6)))
    assert sorted(str(content) for _, content in read) == sorted(
        str(raw) for raw in 2 * [b"caf\xe9", rb"caf\xe9", b"plain"]
    )
    assert len({key for key, _ in read}) == 6


def as_somebody(folder: Path) -> None:
    """Root may read everything: tests of permissions need another user."""
    if os.getuid() == 0:
        for above in (folder, *folder.parents):
            if above.is_relative_to("/tmp") and above != Path("/tmp"):
                above.chmod(0o755)
        os.seteuid(65534)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder with one entry of every kind that cannot be looked at."""
    root = tmp_path / "root"
    for name in ("open", "no entry", "no list", "deep"):
        (root / name).mkdir(parents=True)
        (root / name / "a.jpg").write_bytes(b"a")
    (root / "secret.jpg").write_bytes(b"s")
    (root / "gone.jpg").symlink_to("nowhere")
    (root / "itself.jpg").symlink_to("itself.jpg")
    descriptor = os.open(root / "deep", os.O_RDONLY)
    for _ in range(20):  # deeper than a path may be long
        os.mkdir("d" * 250, dir_fd=descriptor)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("b.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    (root / "secret.jpg").chmod(0)
    (root / "no entry").chmod(0o444)
    (root / "no list").chmod(0o111)
    as_somebody(tmp_path)
    try:
        yield root
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for name in ("no entry", "no list"):
            (root / name).chmod(0o755)


@pytest.mark.parametrize("pattern", ["", "/**"])
def test_what_cannot_be_looked_at_is_a_failed_row_and_the_rest_is_listed(closed: Path, pattern: str) -> None:
    source = FilesSource("s", f"{closed}{pattern}", 10**6)
    found = {
        candidate.uri: source.fetch(candidate) for chunk in source.chunks() for candidate in source.candidates(chunk)
    }
    read = {uri for uri, content in found.items() if isinstance(content, bytes)}
    assert read == {"open/a.jpg", "deep/a.jpg"}
    failed = {uri: content.failure_class for uri, content in found.items() if isinstance(content, Failed)}
    deep = [uri for uri in failed if uri.startswith("deep")]
    assert [set(uri.split("/")) for uri in deep] == [{"deep", "d" * 250}]
    del failed[deep[0]]
    unlisted = {"no entry": "unreadable"} if pattern else {"no entry/a.jpg": "unreadable"}
    assert failed == {
        "gone.jpg": "missing",
        "itself.jpg": "unreadable",
        "no list": "unreadable",
        "secret.jpg": "unreadable",
        **unlisted,
    }


def test_a_pattern_fails_only_for_folders_that_it_looks_into(closed: Path) -> None:
    def uris(pattern: str) -> list[str]:
        source = FilesSource("s", f"{closed}/{pattern}", 10**6)
        return [candidate.uri for chunk in source.chunks() for candidate in source.candidates(chunk)]

    assert uris("op*/*.jpg") == ["open/a.jpg"]
    assert uris("[no]*/*.jpg") == ["no entry", "no list", "open/a.jpg"]


@pytest.mark.full
def test_a_build_of_twins_verifies(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, raw in enumerate((b"caf\xe9.png", rb"caf\xe9.png", b"plain.png")):
        photograph(number).save(os.fsdecode(os.path.join(os.fsencode(tmp_path / "in"), raw)), "PNG")
    recipe = parse({"duplicates": {"exact": False, "radius": None}, "gates": []}, origin="test")
    result = build([str(tmp_path / "in")], str(tmp_path / "out"), recipe, Options(workers=0))
    assert result.funnel.kept == 3
    assert verify(str(tmp_path / "out")).faults == []


@given(st.binary())
def test_a_name_typed_with_any_bytes_is_the_listed_one(name: bytes) -> None:
    typed = as_typed(os.fsdecode(name))
    assert typed == (os.fsdecode(name) if _is_text(name) else as_text(os.fsdecode(name)))
    assert as_typed(typed) == typed


@pytest.mark.parametrize("text", [chr(0xD800), f"a{chr(0xDC7F)}{chr(0xDCE9)}", chr(0xDFFF)])
def test_half_a_surrogate_pair_that_is_no_byte_is_escaped(text: str) -> None:
    assert as_typed(text).encode().decode() == as_typed(text)


def _is_text(name: bytes) -> bool:
    try:
        return bool(name.decode() or True)
    except UnicodeDecodeError:
        return False
