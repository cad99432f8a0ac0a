"""No spelling of a name, in no kind of source, puts a file into a dataset that is outside the source."""

import csv
import hashlib
import io
import json
import os
import tarfile
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from million_ird.config.recipe import Recipe
from million_ird.errors import ReadError, SourceError
from million_ird.ledger import load
from million_ird.maintenance.plan import plan
from million_ird.runtime.storage import Folder
from million_ird.sources.containment import OUTSIDE, holds, is_below, locate
from million_ird.workflow import Options, build, scan_again
from tests.million_ird import scenes

HERE = Options(workers=0)
RECIPE = Recipe.model_validate(
    {"patches": {"size": 16}, "limits": {"failed_share": 1}, "duplicates": {"exact": False, "radius": None}}
)
SECRET = "secret.png"
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def encoded(seed: int) -> bytes:
    file = io.BytesIO()
    scenes.photograph(seed).save(file, "PNG")
    return file.getvalue()


OWN, PRIVATE = encoded(1), encoded(2)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A source in `in/`, with an image of its own, and a secret beside it, to which links in it lead."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / SECRET).write_bytes(PRIVATE)
    (tmp_path / "in" / "own.png").write_bytes(OWN)
    (tmp_path / "in" / "sub" / "deep.png").write_bytes(OWN)
    return tmp_path


def links(folder: Path, private: Path) -> list[str]:
    """Make links from a source to a secret: to the file, to its folder, by way of another link."""
    (folder / "link.png").symlink_to(private / SECRET)
    (folder / "relative.png").symlink_to(os.path.relpath(private / SECRET, folder))
    (folder / "chained.png").symlink_to(folder / "link.png")
    (folder / "linked").symlink_to(private)
    (folder / "up").symlink_to("..")
    return ["link.png", "relative.png", "chained.png", "linked", "up"]


def spellings(world: Path) -> list[str]:
    """Ways in which a row may name the secret."""
    path = f"{world}/private/{SECRET}"
    quoted = "..%2fprivate%2f" + SECRET
    return [
        path,
        f"../private/{SECRET}",
        f"in/../../private/{SECRET}",
        f"sub/../../private/{SECRET}",
        f"./.././private/{SECRET}",
        f"sub/..//..//private/{SECRET}",
        f"missing/../../private/{SECRET}",
        f"own.png/../../private/{SECRET}",
        quoted,
        quoted.replace("%", "%25"),
        f"%2e%2e/private/{SECRET}",
        f"%2E%2E%2Fprivate%2F{SECRET}",
        f"%2f{path[1:]}",
        f"..\\private\\{SECRET}",
        f"sub\\..\\..\\private\\{SECRET}",
        path.replace("/", "\\"),
        f"file://{path}",
        f"file:{path}",
        f"FILE://{path}",
        f"file://localhost{path}",
        f"local://{path}",
        f"//{path}",
        f"simplecache::file://{path}",
        f"filecache::{path}",
        f"zip://{SECRET}::{world}/private/packed.zip",
        f"tar://{SECRET}::file://{world}/private/packed.tar",
        f"dir://::{path}",
        f"reference://::{path}",
        f"s3://bucket/../../{path}",
        "s3://somebody-elses-bucket/secret.png",
        "gs://somebody-elses-bucket/secret.png",
        "hf://datasets/somebody/private/secret.png",
        f"memory://outside/{SECRET}",
        f"ftp://127.0.0.1/{SECRET}",
        f"sftp://localhost{path}",
        f"smb://localhost{path}",
        f"data:image/png;base64,::{path}",
        f"~/{SECRET}",
        f"~root/{SECRET}",
        f"own.png\0{path}",
        f"../private/{SECRET}\0.png",
        "C:\\Users\\me\\secret.png",
        "\\\\server\\share\\secret.png",
        f"/proc/self/root{path}",
        f"/proc/self/cwd/private/{SECRET}",
        "/dev/stdin",
        "../" * 40 + path[1:],
    ]  # fmt: skip


def rows(out: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = load(Folder(str(out))).to_pylist()
    return found


def assert_not_in(out: Path) -> None:
    """The secret is in no file, no row and no image, `.work` included."""
    digest = hashlib.sha256(PRIVATE).hexdigest()
    middle = PRIVATE[len(PRIVATE) // 2 :][:64]
    for path in filter(Path.is_file, out.rglob("*")):
        content = path.read_bytes()
        assert middle not in content, path
        assert digest.encode() not in content, path
        if path.suffix == ".parquet":
            told = pq.read_table(path).to_pylist()
            assert digest not in repr(told)
            assert PRIVATE not in [value["bytes"] for row in told for value in row.values() if isinstance(value, dict)]


def write_table(folder: Path, kind: str, names: list[str]) -> Path:
    path = folder / f"list{kind}"
    if kind == ".parquet":
        pq.write_table(pa.table({"path": names}), path)
    elif kind == ".jsonl":
        path.write_text("\n".join(json.dumps({"file_name": name}) for name in names))
    elif kind == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["url"], *([name.replace("\0", "%00")] for name in names)])
    else:
        path.write_text("\n".join(names))
    return path


@pytest.mark.parametrize("kind", [".parquet", ".jsonl", ".csv", ".txt"])
def test_no_row_of_a_table_reads_a_file_outside_its_folder(
    world: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(world / "private"))
    monkeypatch.chdir(world)
    Folder("memory://outside").write(SECRET, PRIVATE)
    hostile = [*spellings(world), *(f"{name}" for name in links(world / "in", world / "private")[:3])]
    hostile += [f"linked/{SECRET}", f"up/private/{SECRET}", f"linked/../private/{SECRET}"]
    allowed = ["own.png", "sub/../own.png", f"{world}/in/sub/deep.png", "./sub//deep.png"]
    source = write_table(world / "in", kind, hostile + allowed)
    build([str(source)], str(world / "out"), RECIPE, HERE)
    assert_not_in(world / "out")
    told = rows(world / "out")
    failures = {str(row["uri"]): row["failure_class"] for row in told if row["failure_class"]}
    assert {uri for uri, failure in failures.items() if failure != OUTSIDE} == set()
    assert len(failures) >= len(hostile) - 5  # some spellings are published in the same way
    assert {row["uri"] for row in told if row["id"] == hashlib.sha256(OWN).hexdigest()} >= {"own.png", "sub/deep.png"}


@pytest.mark.parametrize(
    "pattern", ["", pytest.param("/*", marks=pytest.mark.full), pytest.param("/**/*.png", marks=pytest.mark.full)]
)
def test_links_out_of_a_folder_are_failed_rows_unless_they_are_followed(world: Path, pattern: str) -> None:
    names = links(world / "in", world / "private")
    (world / "in" / "sub" / "broken.png").symlink_to("gone")
    (world / "in" / "sub" / "circle.png").symlink_to("circle.png")
    (world / "in" / "sub" / "again").symlink_to(world / "in")
    (world / "in" / "inner.png").symlink_to("sub/deep.png")
    source, out = f"{world}/in{pattern}", world / "out"
    build([source], str(out), RECIPE, HERE)
    assert_not_in(out)
    failures = {row["uri"]: row["failure_class"] for row in rows(out)}
    listed = names if not pattern else names[:3]  # a pattern matches files, not folders
    assert {uri for uri, failure in failures.items() if failure == OUTSIDE} == {*listed}
    assert failures["own.png"] is failures["inner.png"] is None
    if pattern != "/*":
        assert failures["sub/broken.png"] == "missing"
        assert failures["sub/circle.png"] == "unreadable"
    build([source], str(out), RECIPE, Options(workers=0, follow_links=True))
    found = {row["uri"] for row in rows(out) if row["id"] == hashlib.sha256(PRIVATE).hexdigest()}
    assert found >= {"chained.png", "link.png", "relative.png"}
    assert scan_again(str(out), HERE).measured == 0  # remembered with the sources
    refused = [row for row in rows(out) if row["failure_class"] == OUTSIDE]
    assert all(row["vanished"] for row in refused)  # the link to a folder is now what the folder holds
    build([source], str(out), RECIPE, HERE)
    kept = {row["id"] for row in rows(out) if row["verdict"] == "kept"}
    assert kept == {hashlib.sha256(OWN).hexdigest()}


def test_the_command_line_allows_links(world: Path, program: Callable[..., Any]) -> None:
    (world / "in" / "link.png").symlink_to(world / "private" / SECRET)
    (world / "in" / "linked").symlink_to(world / "private")
    arguments = ("plan", "--sources", world / "in", "--out", world / "out", "--json")
    counted = [json.loads(program(*arguments, *more).out)["candidates"] for more in ((), ("--follow-links",))]
    assert counted == [4, 4]
    sizes = [json.loads(program(*arguments, *more).out)["sources"] for more in ((), ("--follow-links",))]
    assert sizes[1]["in"]["bytes"] == sizes[0]["in"]["bytes"] + 2 * len(PRIVATE)


def test_a_source_that_is_itself_a_link_is_what_the_user_named(world: Path) -> None:
    (world / "named").symlink_to(world / "in")
    (world / "one.png").symlink_to(world / "private" / SECRET)
    build([str(world / "named"), str(world / "one.png")], str(world / "out"), RECIPE, HERE)
    assert {row["verdict"] for row in rows(world / "out")} == {"kept"}
    assert len(rows(world / "out")) == 3


def add_archives(folder: Path, content: bytes) -> None:
    """Write a zip, a tar and a compressed tar with members of hostile names and kinds."""
    with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        for name in ("x.png", "../../private/secret.png", "/etc/secret.png", "..\\secret.png"):
            packed.writestr(name, content)
    for suffix, mode in (("tar", "w"), ("tar.gz", "w:gz")):
        with tarfile.open(folder / f"a.{suffix}", mode) as packed_tar:  # type: ignore[call-overload]
            for name in (
                "x.png",
                "../../private/secret.png",
                "/abs/secret.png",
                "b.zip/../../private/packed.zip/a.png",
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                packed_tar.addfile(member, io.BytesIO(content))
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                link = tarfile.TarInfo(f"link{kind.decode()}.png")
                link.type, link.linkname = kind, f"../private/{SECRET}"
                packed_tar.addfile(link)
            sidecar = json.dumps({"file_name": f"../private/{SECRET}", "url": "file:///etc/passwd"}).encode()
            described = tarfile.TarInfo("x.json")
            described.size = len(sidecar)
            packed_tar.addfile(described, io.BytesIO(sidecar))


@pytest.mark.full
def test_archives_and_their_members_stay_inside(world: Path) -> None:
    add_archives(world / "private", PRIVATE)
    add_archives(world / "in", OWN)
    for suffix in ("zip", "tar", "tar.gz"):
        (world / "in" / f"linked.{suffix}").symlink_to(world / "private" / f"a.{suffix}")
    (world / "in" / "linked").symlink_to(world / "private")
    build([f"archive:{world}/in", f"{world}/in/*.zip"], str(world / "out"), RECIPE, HERE)
    assert_not_in(world / "out")
    told = rows(world / "out")
    outside = sorted(str(row["uri"]) for row in told if row["failure_class"] == OUTSIDE)
    assert outside == ["linked", "linked.tar", "linked.tar.gz", "linked.zip", "linked.zip"]
    assert {row["id"] for row in told if row["verdict"] == "kept"} == {hashlib.sha256(OWN).hexdigest()}
    named = Options(workers=0)
    build([f"{world}/in/linked.zip"], str(world / "out 2"), RECIPE, named)  # the user names the link itself
    assert {row["verdict"] for row in rows(world / "out 2")} == {"kept"}


def test_no_row_of_a_dataset_reads_a_file_outside_its_folder(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world / "private")
    links(world / "in", world / "private")
    hostile = [name for name in spellings(world) if "\0" not in name]
    hostile += [f"linked/{SECRET}", "link.png", f"{world}/in/link.png", f"{world}/in/sub/../../private/{SECRET}"]
    (world / "set").mkdir()
    for name in ("own.png", "link.png", "linked"):
        (world / "in" / name).rename(world / "set" / name)
    paths = [name.replace(f"{world}/in", f"{world}/set") for name in hostile]
    paths += ["own.png", f"{world}/set/own.png", SECRET]
    feature = {"info": {"features": {"image": {"_type": "Image"}}}}
    told = pa.schema([pa.field("image", IMAGE)], metadata={"huggingface": json.dumps(feature)})
    image = [{"bytes": None, "path": path} for path in paths]
    pq.write_table(pa.Table.from_pylist([{"image": one} for one in image], told), world / "set" / "train.parquet")
    build([f"dataset:{world}/set"], str(world / "out"), RECIPE, HERE)
    assert_not_in(world / "out")
    classes = [row["failure_class"] for row in rows(world / "out")]
    assert classes == [*([OUTSIDE] * len(hostile)), None, None, "missing"]


def hostile_readme(folder: Path, private: Path) -> None:
    (folder / "train.parquet").unlink()
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files: {private}/*.parquet\n---\n"
    )


def hostile_link(folder: Path, private: Path) -> None:
    (folder / "train.parquet").unlink()
    (folder / "train.parquet").symlink_to(private / "train.parquet")


def hostile_state(folder: Path, private: Path) -> None:
    (folder / "train.parquet").unlink()
    stored = datasets.Dataset.from_parquet(str(private / "train.parquet"))
    stored.save_to_disk(str(private / "saved"))
    stored.save_to_disk(str(folder))
    state = json.loads((folder / "state.json").read_text())
    (folder / state["_data_files"][0]["filename"]).unlink()
    state["_data_files"][0]["filename"] = f"../private/saved/{state['_data_files'][0]['filename']}"
    (folder / "state.json").write_text(json.dumps(state))


@pytest.mark.parametrize("spoil", [hostile_readme, hostile_link, hostile_state])
def test_a_dataset_whose_files_are_elsewhere_is_refused(world: Path, spoil: Callable[[Path, Path], None]) -> None:
    for folder, content in (("in", OWN), ("private", PRIVATE)):
        rows = {"image": [{"bytes": content, "path": None}]}
        table = datasets.Dataset.from_dict(rows, features=datasets.Features(image=datasets.Image()))
        table.to_parquet(world / folder / "train.parquet")
    for path in (world / "in" / "own.png", world / "in" / "sub" / "deep.png"):
        path.unlink()
    spoil(world / "in", world / "private")
    with pytest.raises(SourceError, match=r"source dataset:.*: its file .* its source") as raised:
        build([f"dataset:{world}/in"], str(world / "out"), RECIPE, HERE)
    assert "\n" not in str(raised.value)


def test_metadata_of_an_image_folder_names_nothing_outside(world: Path) -> None:
    (world / "in" / "link.png").symlink_to(world / "private" / SECRET)
    (world / "in" / "metadata.csv").write_text("file_name,license\nown.png,CC0\nlink.png,CC0\n")
    build([f"dataset:{world}/in"], str(world / "out"), RECIPE, HERE)
    assert_not_in(world / "out")
    assert OUTSIDE in [row["failure_class"] for row in rows(world / "out")]


def test_a_bucket_is_left_by_no_name(world: Path) -> None:
    name = uuid.uuid4().hex
    bucket = Folder(f"memory://{name}/in")
    bucket.write("own.png", OWN)
    Folder(f"memory://{name}").write(f"private/{SECRET}", PRIVATE)
    hostile = [*spellings(world), f"memory://{name}/private/{SECRET}", f"memory://{name}/in/../private/{SECRET}"]
    hostile += [f"memory://{name}/in/%2e%2e/private/{SECRET}", f"simplecache::memory://{name}/in/own.png", "/own.png"]
    allowed = ["own.png", f"memory://{name}/in/own.png"]
    bucket.write("list.jsonl", "\n".join(json.dumps({"url": row}) for row in hostile + allowed).encode())
    build([f"memory://{name}/in/list.jsonl"], str(world / "out"), RECIPE, HERE)
    assert_not_in(world / "out")
    told = rows(world / "out")
    assert {row["failure_class"] for row in told} == {OUTSIDE, None}
    assert sum(row["verdict"] == "kept" for row in told) == 2


def test_a_table_may_be_given_another_folder_for_its_images(world: Path) -> None:
    (world / "lists").mkdir()
    source = write_table(world / "lists", ".csv", ["own.png", f"{world}/in/sub/deep.png", f"../private/{SECRET}"])
    spec = {"uri": str(source), "root": str(world / "in")}
    recipe = Recipe.model_validate(RECIPE.model_dump(mode="json") | {"sources": [spec]})
    build([], str(world / "out"), recipe, HERE)
    assert_not_in(world / "out")
    told = {str(row["uri"]): row["failure_class"] for row in rows(world / "out")}
    assert told == {"own.png": None, "sub/deep.png": None, f"../private/{SECRET}": OUTSIDE}
    assert scan_again(str(world / "out"), HERE).measured == 0


def test_the_output_in_its_source_is_recognised_however_it_is_spelled(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = world / "in", world / "in" / "out"
    (world / "source").symlink_to(source)
    (world / "alias").symlink_to(out)
    monkeypatch.chdir(source)
    build([str(source)], str(out), RECIPE, HERE)
    (source / "back").symlink_to(out)
    (source / "shown").symlink_to(out / "report")
    (source / "card.md.png").symlink_to(out / "README.md")
    for spelled in ("out", f"{world}/source/out", f"{world}/alias", f"{world}/in/sub/../out"):
        for root in (str(source), f"{world}/source", f"{source}/**/*", f"{source}/back/../"):
            assert plan([root], spelled, RECIPE).candidates == 2, (root, spelled)
        scan_again(spelled, HERE)
        assert len(rows(out)) == 2
        for inside in (f"{source}/out/data", f"{world}/alias/report", f"{source}/back"):
            with pytest.raises(SourceError, match="inside the output folder"):
                build([inside], spelled, RECIPE, HERE)
    with pytest.raises(SourceError, match="holds the output folder"):
        build([f"dataset:{source}"], f"{world}/alias", RECIPE, HERE)


def test_a_folder_of_another_name_is_recognised_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Out" / "data").mkdir(parents=True)
    real = os.stat

    def without_case(path: object, *more: object, **options: object) -> os.stat_result:
        spelled = str(path).replace(f"{tmp_path}/out", f"{tmp_path}/Out")
        return real(spelled, *more, **options)  # type: ignore[arg-type]

    assert not is_below(str(tmp_path / "out" / "data"), str(tmp_path / "Out"))
    monkeypatch.setattr(os, "stat", without_case)
    assert is_below(str(tmp_path / "out" / "data"), str(tmp_path / "Out"))
    assert holds(Folder(str(tmp_path / "Out")), Folder(str(tmp_path / "out" / "data")))
    assert not is_below(str(tmp_path), str(tmp_path / "Out"))


def test_a_row_that_names_a_pipe_or_a_folder_does_not_hang(world: Path) -> None:
    os.mkfifo(world / "in" / "pipe.png")
    (world / "in" / "link.png").symlink_to("pipe.png")
    source = write_table(world / "in", ".csv", ["pipe.png", "link.png", "sub", ".", "own.png/", "own.png"])
    build([str(source)], str(world / "out"), RECIPE, HERE)
    told = {row["uri"]: row["failure_class"] for row in rows(world / "out")}
    assert told.pop("own.png") is None
    assert told == dict.fromkeys(["pipe.png", "link.png", "sub", "."], "unreadable")


PARTS = st.sampled_from(
    [*("..", ".", "", "a", "in", "private", "link", "up", "down", SECRET, "~", "%2e%2e", "..%2f", "..\\", "%2f", "\\")]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PARTS, min_size=1, max_size=9), st.booleans(), st.booleans())
def test_what_is_located_is_inside(world: Path, parts: list[str], absolute: bool, linked: bool) -> None:
    root = world / "in"
    if not (root / "up").is_symlink():
        (root / "up").symlink_to("..")
        (root / "link").symlink_to(world / "private")
        (root / "a").mkdir()
        (root / "a" / "down").symlink_to("../sub")
    name = ("/" if absolute else "") + "/".join(parts)
    try:
        found = locate(Folder(str(root)), name, follow_links=linked)
    except ReadError:
        return
    assert not os.path.isabs(found)
    by_letters, by_links = os.path.normpath(root / found), os.path.realpath(root / found)
    assert f"{by_letters}/".startswith(f"{root}/")
    assert linked or f"{by_links}/".startswith(f"{root.resolve()}/")
    if linked and ".." in name:
        assert f"{by_links}/".startswith(f"{root.resolve()}/") or ".." not in found.split("/")
