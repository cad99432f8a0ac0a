"""Data sets in every shape that `datasets` leaves on a disk, and on a Hub of our own."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import datasets
import numpy as np
import pytest
from PIL import Image

from million_ird.candidate import Candidate, Failed
from million_ird.config.loading import parse
from million_ird.errors import SourceError
from million_ird.ledger import load
from million_ird.runtime.storage import Folder
from million_ird.sources.hub import DatasetSource
from million_ird.sources.source import StreamContext
from million_ird.workflow import Options, build
from tests.hub_server import Hub, Repository, served

Told: TypeAlias = dict[str, Any]


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def made(rows: int = 6) -> datasets.Dataset:
    columns = {
        "image": [{"bytes": picture(n), "path": f"{n}.png"} for n in range(rows - 1)] + [None],
        "license": [f"CC-{n}" for n in range(rows)],
        "score": [n / 2 for n in range(rows)],
        "caption": ["a"] * rows,
    }
    features = datasets.Features(
        image=datasets.Image(), license=datasets.Value("string"), score=datasets.Value("float64"),
        caption=datasets.Value("string"),
    )  # fmt: skip
    return datasets.Dataset.from_dict(columns, features=features)


def as_parquet(folder: Path) -> None:
    folder.mkdir()
    for number in range(2):
        part = made().shard(2, number, contiguous=True)
        part.to_parquet(folder / f"train-{number:05d}-of-00002.parquet")


def as_saved(folder: Path) -> None:
    made().save_to_disk(folder)


def as_dict(folder: Path) -> None:
    datasets.DatasetDict(train=made(), test=made(3)).save_to_disk(folder)


def load_download_cache(source: DatasetSource) -> dict[str, tuple[Candidate, bytes | Failed]]:
    found: dict[str, tuple[Candidate, bytes | Failed]] = {}
    for chunk in source.chunks():
        assert chunk.remote
        assert chunk.stream_only
        context = StreamContext(out=Folder("memory://nowhere"), concurrency=1)
        source.stream(chunk, lambda _: True, lambda one, got: found.update({one.uri: (one, got)}), context)
    return found


@pytest.mark.parametrize("lay_out", [as_parquet, as_saved])
def test_bytes_and_columns_come_through_untouched(tmp_path: Path, lay_out: Callable[[Path], None]) -> None:
    lay_out(tmp_path / "set")
    source = DatasetSource("set", str(tmp_path / "set"), 10**6, ("score",), ("caption",))
    source.check()
    found = list(load_download_cache(source).values())
    assert [got for _, got in found[:5]] == [picture(n) for n in range(5)]
    assert isinstance(found[5][1], Failed)
    assert [(one.licence, one.extra["score"], one.extra["caption"]) for one, _ in found] == [
        (f"CC-{n}", n / 2, "a") for n in range(6)
    ]
    assert len({one.key for one, _ in found}) == 6


def test_all_splits_unless_one_is_named(tmp_path: Path) -> None:
    as_dict(tmp_path / "set")
    assert len(load_download_cache(DatasetSource("set", str(tmp_path / "set"), 10**6))) == 6 + 3
    named = load_download_cache(DatasetSource("set", str(tmp_path / "set"), 10**6, split="test"))
    assert list(named) == [f"test/00000/{n:06d}" for n in range(3)]


def test_an_image_folder_is_a_data_set_too(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number in range(3):
        (tmp_path / "set" / f"{number}.png").write_bytes(picture(number))
    found = load_download_cache(DatasetSource("set", str(tmp_path / "set"), 10**6))
    assert [got for _, got in found.values()] == [picture(n) for n in range(3)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split": "missing"}, "has no split 'missing', only train"),
        ({"image": "photo"}, "has no column 'photo', only image, license, score, caption"),
        ({"image": "caption"}, "holds text, not images"),
        ({"columns": ("stars",)}, "has no column 'stars'"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, options: dict[str, object], told: str) -> None:
    as_parquet(tmp_path / "set")
    with pytest.raises(SourceError, match=told) as raised:
        DatasetSource("set", str(tmp_path / "set"), 10**6, **options).check()  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_set_without_pictures_and_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    made().remove_columns("image").to_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(SourceError, match="no column of images; name one of license, score, caption"):
        DatasetSource("set", str(tmp_path / "set"), 10**6).check()
    with pytest.raises(SourceError, match="dataset:nobody/nothing: cannot be reached: HF_HUB_OFFLINE is set"):
        DatasetSource("set", "nobody/nothing", 10**6).check()


def test_a_build_from_a_data_set(tmp_path: Path) -> None:
    as_parquet(tmp_path / "set")
    recipe = parse({"patches": {"size": 16}, "columns": ["score"], "limits": {"failed_share": 1}}, origin="test")
    specs = [f"dataset:{tmp_path / 'set'}"]
    result = build(specs, str(tmp_path / "out"), recipe, Options(workers=0))
    assert (result.funnel.kept, result.funnel.failures) == (5, {"missing": 1})
    ledger = load(Folder(str(tmp_path / "out"))).to_pylist()
    assert [row["score"] for row in ledger] == [n / 2 for n in range(6)]
    assert build(specs, str(tmp_path / "out"), recipe, Options(workers=0)).did_nothing


def test_storage_options_are_not_taken_and_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="takes no storage options"):
        DatasetSource("set", str(tmp_path), 10**6, options=(("anon", True),)).check()


def test_pictures_as_raw_bytes_are_taken_if_their_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    plain = datasets.Dataset.from_dict({"content": [picture(1), picture(2)], "number": [1, 2]})
    plain.cast_column("content", datasets.Value("binary")).to_parquet(tmp_path / "set" / "train.parquet")
    found = load_download_cache(DatasetSource("set", str(tmp_path / "set"), 10**6, image="content"))
    assert [got for _, got in found.values()] == [picture(1), picture(2)]
    with pytest.raises(SourceError, match="number holds no images"):
        DatasetSource("set", str(tmp_path / "set"), 10**6, image="number").check()


def test_a_picture_over_the_limit_and_one_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number in range(3):
        (tmp_path / "set" / f"{number}.png").write_bytes(picture(number) + bytes(5000 * number))
    source = DatasetSource("set", str(tmp_path / "set"), 9000)
    source.check()
    assert [type(got) for _, got in load_download_cache(source).values()] == [bytes, bytes, Failed]
    (chunk,) = source.chunks()
    (tmp_path / "set" / "1.png").unlink()
    found: list[bytes | Failed] = []
    context = StreamContext(out=Folder("memory://nowhere"), concurrency=8)
    source.stream(chunk, lambda _: True, lambda _, got: found.append(got), context)
    classes = [got.failure_class if isinstance(got, Failed) else "" for got in found]
    assert classes == ["", "missing", "too_large"]


def test_a_changed_folder_has_another_version_in_the_same_process(tmp_path: Path) -> None:
    as_parquet(tmp_path / "set")
    source = DatasetSource("set", str(tmp_path / "set"), 10**6)
    before = load_download_cache(source)
    made(12).to_parquet(tmp_path / "set" / "train-00000-of-00002.parquet")
    after = load_download_cache(source)
    assert len(after) == 12 + 3
    assert {one.version for one, _ in before.values()}.isdisjoint(one.version for one, _ in after.values())


def tell(asked: list[dict[str, Any]]) -> None:
    """Prints what each source holds, or what is wrong with it: the work of `read`'s process."""
    answers: list[Told] = []
    for arguments in asked:
        told: Told = {"rows": {}, "slots": [], "error": None}
        answers.append(told)
        source = DatasetSource("set", max_bytes=10**6, **arguments)
        try:
            source.check()
            for chunk in source.chunks():
                told["slots"].append(chunk.slot)

                def note(one: Candidate, got: bytes | Failed, told: Told = told) -> None:
                    outcome = got.failure_class if isinstance(got, Failed) else got.hex()
                    told["rows"][one.uri] = [outcome, one.licence, one.version]

                source.stream(chunk, lambda _: True, note, StreamContext(out=Folder("memory://nowhere"), concurrency=4))
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}"
    sys.stdout.write("\n" + json.dumps(answers))


def read(hub: Hub, home: Path, *asked: dict[str, Any]) -> list[Told]:
    """Reads sources from the Hub in a process of its own: `huggingface_hub` looks for its address but once."""
    told = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    told |= {"PYTHONPATH": str(Path(__file__).parents[3]), "HF_TOKEN": "", "NO_PROXY": "127.0.0.1"}
    code = f"from tests.million_ird.sources.test_hub import tell; tell({list(asked)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | told, cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[Told] = json.loads(done.stdout.splitlines()[-1])
    return answers


def parquet(part: datasets.Dataset) -> bytes:
    file = io.BytesIO()
    part.to_parquet(file)
    return file.getvalue()


def shards(rows: int = 6) -> dict[str, bytes]:
    parts = [made(rows).shard(2, number, contiguous=True) for number in range(2)]
    return {f"data/train-{number:05d}-of-00002.parquet": parquet(part) for number, part in enumerate(parts)}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A Hub with sound, odd and broken data sets."""
    with served(Hub()) as hub:
        names = ("set", "folder", "zipped", "gated", "broken")
        hub.repositories = {f"user/{name}": Repository(gated=name == "gated") for name in names}
        hub.repositories["user/set"].commit(shards())
        metadata = b"file_name,license\na.png,CC0\nb.png,MIT\ngone.png,MIT\n"
        pictures = {"train/a.png": picture(1), "train/b.png": picture(2), "train/metadata.csv": metadata}
        hub.repositories["user/folder"].commit(pictures)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("train/a.png", picture(1))
        hub.repositories["user/zipped"].commit({"pictures.zip": packed.getvalue()})
        hub.repositories["user/gated"].commit(shards())
        whole = shards()
        hub.repositories["user/broken"].commit({**whole, max(whole): bytes(1000)})
        yield hub


@pytest.fixture(scope="module")
def answers(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """What the real client makes of them; the first set's server stumbles on the way."""
    first, second = shards()
    hub.refuse[first], hub.hang_up[second] = 1, 1
    roots = [*hub.repositories, "user/nothing"]
    asked = [*({"root": root} for root in roots), {"root": "user/set", "revision": "nowhere"}]
    told = read(hub, tmp_path_factory.mktemp("home"), *asked)
    return dict(zip([*roots, "nowhere"], told, strict=True))


def test_the_real_client_streams_every_shard_through_stumbles(hub: Hub, answers: dict[str, Told]) -> None:
    told = answers["user/set"]
    assert told["error"] is None
    sha = hub.repositories["user/set"].branches["main"]
    assert list(told["rows"].values()) == [
        ["missing" if n == 5 else picture(n).hex(), f"CC-{n}", sha] for n in range(6)
    ]
    assert not +hub.refuse
    assert not +hub.hang_up
    resolved = [line for line in hub.asked if "user/set/resolve" in line and ".parquet" in line]
    assert resolved
    assert all(sha in line for line in resolved), "a branch may move under a stream: only commits may be read"


@pytest.mark.parametrize("name", ["user/folder", "user/zipped"])
def test_image_folders_on_the_hub_come_through_untouched(answers: dict[str, Told], name: str) -> None:
    rows = list(answers[name]["rows"].values())
    assert [row[:2] for row in rows] == {
        "user/folder": [[picture(1).hex(), "CC0"], [picture(2).hex(), "MIT"], ["missing", "MIT"]],
        "user/zipped": [[picture(1).hex(), None]],
    }[name]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("user/gated", "SourceError: source dataset:user/gated: "),
        ("user/nothing", "SourceError: source dataset:user/nothing: is not on the Hub"),
        ("nowhere", "SourceError: source dataset:user/set: has no such revision"),
        ("user/broken", "BuildError: source dataset:user/broken: train/00001: "),
    ],
)
def test_what_the_hub_refuses_is_one_line(answers: dict[str, Told], name: str, told: str) -> None:
    assert answers[name]["error"].startswith(told)
    assert "\n" not in answers[name]["error"]
    assert name != "user/gated" or "gated" in answers[name]["error"].removeprefix(told)


def test_a_new_commit_is_read_anew_in_the_same_units(hub: Hub, tmp_path: Path) -> None:
    repository = Repository()
    hub.repositories["user/growing"] = repository
    old = repository.commit(shards())
    (before,) = read(hub, tmp_path, {"root": "user/growing"})
    new = repository.commit(shards(8))
    after, again = read(hub, tmp_path, {"root": "user/growing"}, {"root": "user/growing", "revision": old})
    assert again == before
    assert after["slots"] == before["slots"]
    assert (len(before["rows"]), len(after["rows"])) == (6, 8)
    assert {row[2] for row in after["rows"].values()} == {new}
