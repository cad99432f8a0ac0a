"""Datasets in every layout that `datasets` writes to a disk, and on a local Hub server."""

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

Answer: TypeAlias = dict[str, Any]


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def make_dataset(rows: int = 6) -> datasets.Dataset:
    columns = {
        "image": [{"bytes": png(n), "path": f"{n}.png"} for n in range(rows - 1)] + [None],
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
        part = make_dataset().shard(2, number, contiguous=True)
        part.to_parquet(folder / f"train-{number:05d}-of-00002.parquet")


def as_saved(folder: Path) -> None:
    make_dataset().save_to_disk(folder)


def as_dict(folder: Path) -> None:
    datasets.DatasetDict(train=make_dataset(), test=make_dataset(3)).save_to_disk(folder)


def stream_all(source: DatasetSource) -> dict[str, tuple[Candidate, bytes | Failed]]:
    results: dict[str, tuple[Candidate, bytes | Failed]] = {}
    for chunk in source.chunks():
        assert chunk.remote
        assert chunk.stream_only
        context = StreamContext(out=Folder("memory://nowhere"), concurrency=1)
        source.stream(
            chunk,
            lambda _: True,
            lambda candidate, content: results.update({candidate.uri: (candidate, content)}),
            context,
        )
    return results


@pytest.mark.parametrize("lay_out", [as_parquet, as_saved])
def test_bytes_and_columns_stay_unchanged(tmp_path: Path, lay_out: Callable[[Path], None]) -> None:
    lay_out(tmp_path / "set")
    source = DatasetSource("set", str(tmp_path / "set"), 10**6, ("score",), ("caption",))
    source.check()
    results = list(stream_all(source).values())
    assert [content for _, content in results[:5]] == [png(n) for n in range(5)]
    assert isinstance(results[5][1], Failed)
    assert [(candidate.licence, candidate.extra["score"], candidate.extra["caption"]) for candidate, _ in results] == [
        (f"CC-{n}", n / 2, "a") for n in range(6)
    ]
    assert len({candidate.key for candidate, _ in results}) == 6


def test_all_splits_unless_one_is_named(tmp_path: Path) -> None:
    as_dict(tmp_path / "set")
    assert len(stream_all(DatasetSource("set", str(tmp_path / "set"), 10**6))) == 6 + 3
    named = stream_all(DatasetSource("set", str(tmp_path / "set"), 10**6, split="test"))
    assert list(named) == [f"test/00000/{n:06d}" for n in range(3)]


def test_an_image_folder_is_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number in range(3):
        (tmp_path / "set" / f"{number}.png").write_bytes(png(number))
    results = stream_all(DatasetSource("set", str(tmp_path / "set"), 10**6))
    assert [content for _, content in results.values()] == [png(n) for n in range(3)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split": "missing"}, "has no split 'missing', only train"),
        ({"image": "photo"}, "has no column 'photo', only image, license, score, caption"),
        ({"image": "caption"}, "holds text, not images"),
        ({"columns": ("stars",)}, "has no column 'stars'"),
    ],
)
def test_a_wrong_option_is_an_error_of_one_line(tmp_path: Path, options: dict[str, object], told: str) -> None:
    as_parquet(tmp_path / "set")
    with pytest.raises(SourceError, match=told) as raised:
        DatasetSource("set", str(tmp_path / "set"), 10**6, **options).check()  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_dataset_without_images_and_one_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    make_dataset().remove_columns("image").to_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(SourceError, match="no column of images; name one of license, score, caption"):
        DatasetSource("set", str(tmp_path / "set"), 10**6).check()
    with pytest.raises(SourceError, match="dataset:nobody/nothing: cannot be reached: HF_HUB_OFFLINE is set"):
        DatasetSource("set", "nobody/nothing", 10**6).check()


def test_a_build_from_a_dataset(tmp_path: Path) -> None:
    as_parquet(tmp_path / "set")
    recipe = parse({"patches": {"size": 16}, "columns": ["score"], "limits": {"failed_share": 1}}, origin="test")
    specs = [f"dataset:{tmp_path / 'set'}"]
    result = build(specs, str(tmp_path / "out"), recipe, Options(workers=0))
    assert (result.funnel.kept, result.funnel.failures) == (5, {"missing": 1})
    ledger = load(Folder(str(tmp_path / "out"))).to_pylist()
    assert [row["score"] for row in ledger] == [n / 2 for n in range(6)]
    assert build(specs, str(tmp_path / "out"), recipe, Options(workers=0)).did_nothing


def test_storage_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="takes no storage options"):
        DatasetSource("set", str(tmp_path), 10**6, options=(("anon", True),)).check()


def test_images_as_raw_bytes_are_read_if_their_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    plain = datasets.Dataset.from_dict({"content": [png(1), png(2)], "number": [1, 2]})
    plain.cast_column("content", datasets.Value("binary")).to_parquet(tmp_path / "set" / "train.parquet")
    results = stream_all(DatasetSource("set", str(tmp_path / "set"), 10**6, image="content"))
    assert [content for _, content in results.values()] == [png(1), png(2)]
    with pytest.raises(SourceError, match="number holds no images"):
        DatasetSource("set", str(tmp_path / "set"), 10**6, image="number").check()


def test_an_image_over_the_limit_and_one_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number in range(3):
        (tmp_path / "set" / f"{number}.png").write_bytes(png(number) + bytes(5000 * number))
    source = DatasetSource("set", str(tmp_path / "set"), 9000)
    source.check()
    assert [type(content) for _, content in stream_all(source).values()] == [bytes, bytes, Failed]
    (chunk,) = source.chunks()
    (tmp_path / "set" / "1.png").unlink()
    results: list[bytes | Failed] = []
    context = StreamContext(out=Folder("memory://nowhere"), concurrency=8)
    source.stream(chunk, lambda _: True, lambda _, content: results.append(content), context)
    classes = [content.failure_class if isinstance(content, Failed) else "" for content in results]
    assert classes == ["", "missing", "too_large"]


def test_a_changed_folder_has_another_version_in_the_same_process(tmp_path: Path) -> None:
    as_parquet(tmp_path / "set")
    source = DatasetSource("set", str(tmp_path / "set"), 10**6)
    before = stream_all(source)
    make_dataset(12).to_parquet(tmp_path / "set" / "train-00000-of-00002.parquet")
    after = stream_all(source)
    assert len(after) == 12 + 3
    assert {candidate.version for candidate, _ in before.values()}.isdisjoint(
        candidate.version for candidate, _ in after.values()
    )


def print_answers(requests: list[dict[str, Any]]) -> None:
    """Print what each source holds, or its error; runs in the process of `read_in_process`."""
    answers: list[Answer] = []
    for arguments in requests:
        told: Answer = {"rows": {}, "slots": [], "error": None}
        answers.append(told)
        source = DatasetSource("set", max_bytes=10**6, **arguments)
        try:
            source.check()
            for chunk in source.chunks():
                told["slots"].append(chunk.slot)

                def record(candidate: Candidate, content: bytes | Failed, told: Answer = told) -> None:
                    outcome = content.failure_class if isinstance(content, Failed) else content.hex()
                    told["rows"][candidate.uri] = [outcome, candidate.licence, candidate.version]

                source.stream(
                    chunk, lambda _: True, record, StreamContext(out=Folder("memory://nowhere"), concurrency=4)
                )
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}"
    sys.stdout.write("\n" + json.dumps(answers))


def read_in_process(hub: Hub, home: Path, *requests: dict[str, Any]) -> list[Answer]:
    """Read sources from the Hub in a separate process: `huggingface_hub` reads its address only once."""
    told = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    told |= {"PYTHONPATH": str(Path(__file__).parents[3]), "HF_TOKEN": "", "NO_PROXY": "127.0.0.1"}
    code = f"from tests.million_ird.sources.test_hub import print_answers; print_answers({list(requests)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | told, cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[Answer] = json.loads(done.stdout.splitlines()[-1])
    return answers


def parquet(part: datasets.Dataset) -> bytes:
    file = io.BytesIO()
    part.to_parquet(file)
    return file.getvalue()


def shards(rows: int = 6) -> dict[str, bytes]:
    parts = [make_dataset(rows).shard(2, number, contiguous=True) for number in range(2)]
    return {f"data/train-{number:05d}-of-00002.parquet": parquet(part) for number, part in enumerate(parts)}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A Hub with intact, unusual and damaged datasets."""
    with served(Hub()) as hub:
        names = ("set", "folder", "zipped", "gated", "broken")
        hub.repositories = {f"user/{name}": Repository(gated=name == "gated") for name in names}
        hub.repositories["user/set"].commit(shards())
        metadata = b"file_name,license\na.png,CC0\nb.png,MIT\ngone.png,MIT\n"
        pictures = {"train/a.png": png(1), "train/b.png": png(2), "train/metadata.csv": metadata}
        hub.repositories["user/folder"].commit(pictures)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("train/a.png", png(1))
        hub.repositories["user/zipped"].commit({"pictures.zip": packed.getvalue()})
        hub.repositories["user/gated"].commit(shards())
        whole = shards()
        hub.repositories["user/broken"].commit({**whole, max(whole): bytes(1000)})
        yield hub


@pytest.fixture(scope="module")
def answers(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What the real client reads from them; for the first dataset, the server fails once per shard."""
    first, second = shards()
    hub.refuse[first], hub.hang_up[second] = 1, 1
    roots = [*hub.repositories, "user/nothing"]
    requests = [*({"root": root} for root in roots), {"root": "user/set", "revision": "nowhere"}]
    told = read_in_process(hub, tmp_path_factory.mktemp("home"), *requests)
    return dict(zip([*roots, "nowhere"], told, strict=True))


@pytest.mark.full
def test_the_real_client_streams_every_shard_despite_server_errors(hub: Hub, answers: dict[str, Answer]) -> None:
    told = answers["user/set"]
    assert told["error"] is None
    sha = hub.repositories["user/set"].branches["main"]
    assert list(told["rows"].values()) == [["missing" if n == 5 else png(n).hex(), f"CC-{n}", sha] for n in range(6)]
    assert not +hub.refuse
    assert not +hub.hang_up
    resolved = [line for line in hub.asked if "user/set/resolve" in line and ".parquet" in line]
    assert resolved
    assert all(sha in line for line in resolved), "a branch may move under a stream: only commits may be read"


@pytest.mark.full
@pytest.mark.parametrize("name", ["user/folder", "user/zipped"])
def test_image_folders_on_the_hub_stay_unchanged(answers: dict[str, Answer], name: str) -> None:
    rows = list(answers[name]["rows"].values())
    assert [row[:2] for row in rows] == {
        "user/folder": [[png(1).hex(), "CC0"], [png(2).hex(), "MIT"], ["missing", "MIT"]],
        "user/zipped": [[png(1).hex(), None]],
    }[name]


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("user/gated", "SourceError: source dataset:user/gated: "),
        ("user/nothing", "SourceError: source dataset:user/nothing: is not on the Hub"),
        ("nowhere", "SourceError: source dataset:user/set: has no such revision"),
        ("user/broken", "BuildError: source dataset:user/broken: train/00001: "),
    ],
)
def test_a_refusal_of_the_hub_is_an_error_of_one_line(answers: dict[str, Answer], name: str, told: str) -> None:
    assert answers[name]["error"].startswith(told)
    assert "\n" not in answers[name]["error"]
    assert name != "user/gated" or "gated" in answers[name]["error"].removeprefix(told)


@pytest.mark.full
def test_a_new_commit_is_read_again_in_the_same_chunks(hub: Hub, tmp_path: Path) -> None:
    repository = Repository()
    hub.repositories["user/growing"] = repository
    old = repository.commit(shards())
    (before,) = read_in_process(hub, tmp_path, {"root": "user/growing"})
    new = repository.commit(shards(8))
    after, again = read_in_process(hub, tmp_path, {"root": "user/growing"}, {"root": "user/growing", "revision": old})
    assert again == before
    assert after["slots"] == before["slots"]
    assert (len(before["rows"]), len(after["rows"])) == (6, 8)
    assert {row[2] for row in after["rows"].values()} == {new}
