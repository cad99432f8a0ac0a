"""S3, as moto plays it on loopback: pictures from a bucket, a data set into one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from million_ird.config.source_spec import SourceSpec
from million_ird.errors import SourceError
from million_ird.ledger import load
from million_ird.maintenance.clean import clean
from million_ird.maintenance.takedown import take_down
from million_ird.maintenance.verify import verify
from million_ird.runtime.storage import Folder
from million_ird.scan import join_units
from million_ird.scan.row_index import RowIndex, all_row_files
from million_ird.workflow import Options, build
from tests.million_ird import scenes
from tests.million_ird.decide.test_stream import random_rows
from tests.million_ird.decide.test_verdicts import RECIPE
from tests.million_ird.scan import joining

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


@pytest.mark.full
def test_units_in_a_bucket_are_joined_also_by_one_host_after_another_was_killed(
    bucket: tuple[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, options = bucket
    for constant, value in joining.SIZES.items():
        monkeypatch.setattr(join_units, constant, value)
    random = np.random.default_rng(12)
    rows = random_rows(100, 12)
    for number in range(12):
        out = Folder(f"{root}/scan {number}", options)
        names = joining.write_units(out, rows, RECIPE, 12)
        before = joining.rows_of(out, names)
        command = [sys.executable, joining.__file__, out.url, str(random.integers(0, 20)), str(options["endpoint_url"])]
        killed = subprocess.run(command, check=False, cwd=Path(__file__).parents[3])
        assert killed.returncode == -signal.SIGKILL
        assert joining.rows_of(out, names) == before
        joining.join(out)
        assert joining.rows_of(out, names) == before
        assert not RowIndex(out).superseded
        assert len(all_row_files(out)) < len(names) / 3


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
