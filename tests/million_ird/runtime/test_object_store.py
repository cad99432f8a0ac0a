"""S3, as moto plays it on loopback: pictures from a bucket, a data set into one."""

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from million_ird.config.source_spec import SourceSpec
from million_ird.errors import SourceError
from million_ird.ledger import load
from million_ird.maintenance.clean import clean
from million_ird.maintenance.takedown import take_down
from million_ird.maintenance.verify import verify
from million_ird.runtime.storage import Folder
from million_ird.workflow import Options, build
from tests.million_ird import scenes

s3fs = pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in credentials}
    os.environ |= credentials
    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def bucket(endpoint: str, pictures: Path, tmp_path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """A new bucket that holds the pictures."""
    options: dict[str, object] = {"endpoint_url": endpoint}
    name = f"bucket{abs(hash(tmp_path)) % 10**9}"
    store = s3fs.S3FileSystem(**options)
    store.mkdir(name)
    store.put(f"{pictures}/", f"{name}/pictures/", recursive=True)
    yield f"s3://{name}", options
    store.rm(name, recursive=True)


def spec(uri: str, options: dict[str, object]) -> SourceSpec:
    return SourceSpec.model_validate({"uri": uri, "storage": options})


def test_a_bucket_gives_what_the_folder_gives(
    bucket: tuple[str, dict[str, object]], finished: Path, tmp_path: Path
) -> None:
    root, options = bucket
    out = tmp_path / "out"
    result = build([spec(f"{root}/pictures", options)], str(out), scenes.recipe(), Options(workers=0))
    here = load(Folder(str(finished))).to_pylist()
    there = load(Folder(str(out))).to_pylist()
    compared = ("uri", "id", "verdict", "reason", "failure_class", "phash", "measured")
    assert [[row[name] for name in compared] for row in there] == [[row[name] for name in compared] for row in here]
    assert verify(str(out)).faults == []
    assert result.funnel.kept == scenes.KEPT


@pytest.mark.full
def test_each_object_is_read_once_and_new_ones_are_added(
    bucket: tuple[str, dict[str, object]], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, options = bucket
    source, out = spec(f"{root}/pictures", options), str(tmp_path / "out")
    build([source], out, scenes.recipe(), Options(workers=0))
    reads: list[str] = []
    real = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, name, at_most=-1: reads.append(name) or real(self, name, at_most))
    assert build([source], out, scenes.recipe(), Options(workers=0)).did_nothing
    s3fs.S3FileSystem(**options).put(str(next(pictures.glob("*.png"))), f"{root}/pictures/zzz new.png")
    again = build([source], out, scenes.recipe(), Options(workers=0))
    assert again.scan.measured == 1
    assert [name for name in reads if name.endswith((".png", ".jpg"))] == ["zzz new.png"]


@pytest.mark.full
def test_patterns_name_objects(bucket: tuple[str, dict[str, object]], tmp_path: Path) -> None:
    root, options = bucket
    out = tmp_path / "out"
    build([spec(f"{root}/pictures/**/*.png", options)], str(out), scenes.recipe(), Options(workers=0))
    uris = load(Folder(str(out))).column("uri").to_pylist()
    assert uris
    assert all(uri.endswith(".png") for uri in uris)


def test_a_data_set_is_written_to_a_bucket_and_verified_there(
    bucket: tuple[str, dict[str, object]], pictures: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, options = bucket
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(options["endpoint_url"]))
    out = f"{root}/built"
    first = build([str(pictures)], out, scenes.recipe(), Options(workers=0))
    assert first.funnel.kept == scenes.KEPT
    assert verify(out).faults == []
    assert build([str(pictures)], out, scenes.recipe(), Options(workers=0)).did_nothing
    store = s3fs.S3FileSystem(**options)
    for part in ("data", "patches"):
        for path in sorted((finished / part).iterdir()):
            assert store.cat(f"{root}/built/{part}/{path.name}") == path.read_bytes()
    assert not [name for name in store.find(root) if "tmp-" in name]


@pytest.mark.full
def test_a_picture_is_taken_down_from_a_bucket(
    bucket: tuple[str, dict[str, object]], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, options = bucket
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(options["endpoint_url"]))
    out = f"{root}/built"
    build([str(pictures)], out, scenes.recipe(), Options(workers=0))
    assert take_down(out, ["p003.png"], today=date(2026, 1, 1)).images == scenes.KEPT - 1
    assert verify(out).faults == []
    assert clean(out).files > 3
    assert verify(out).faults == []
    assert take_down(out, ["p004.png"], today=date(2026, 1, 1)).images == scenes.KEPT - 2
    assert verify(out).faults == []
    content = [s3fs.S3FileSystem(**options).cat(name) for name in s3fs.S3FileSystem(**options).find(f"{root}/built")]
    for name in ("p003.png", "p004.png"):
        chunk = (pictures / name).read_bytes()[4000:4064]
        assert not any(chunk in one for one in content)


def test_what_is_wrong_with_a_bucket_is_one_line(endpoint: str, tmp_path: Path) -> None:
    for uri, options in (
        ("s3://no-such-bucket/x", {"endpoint_url": endpoint}),
        ("s3://any/x", {"endpoint_url": "http://127.0.0.1:9"}),
        ("s3://any/x", {"nonsense": 1}),
    ):
        with pytest.raises(SourceError, match=uri) as raised:
            build([spec(uri, options)], str(tmp_path / "out"), scenes.recipe(), Options(workers=0))
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()
