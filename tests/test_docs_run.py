"""Every command of every page runs as it is written, in a folder that has what the pages name.

Addresses of others are servers of this machine (`HERE` of docs_scripts.py), recipes of training are shrunk until a
processor does them in a second, and the few commands that are not run stand in `NOT_RUN` with the reason.
"""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs_pages import ROOT, SHELL, blocks, commands, name_of, pages
from tests.docs_scripts import BEFORE, GIVEN, HERE, is_run, made_by, prepare, run, script_of
from tests.docs_world import lay_out, pages_of_the_web, rows_for_the_hub, sitemap
from tests.hub_server import Account, Hub, Repository, served
from tests.million_ird.web_server import serving

RUN = [name_of(page) for page in pages() if is_run(name_of(page))]
TOKEN = "hf_OfTheReader"
MAKE = """
million-ird build --sources photos --out my-set --recipe demo.yaml
million-ird fingerprint data/Urban100 --out urban100.parquet
dynet train --data my-set --stage pretrain --config dynet_pretrain.yaml --out runs/pretrain
dynet train --data my-set --data Train/Derain --data Train/Dehaze --stage finetune --config dynet_finetune_3task.yaml \
  --init runs/pretrain --out runs/three
"""


def test_nothing_is_put_in_place_that_no_page_names() -> None:
    said = "\n".join(block.text for page in RUN for block in blocks(page) if block.language in SHELL | {"python"})
    assert {written for written in HERE if written not in said} == set()
    assert all(any(block.language == "python" for block in blocks(page)) for page in GIVEN)
    assert all(commands(page) for page in BEFORE)


def test_what_a_page_makes_itself_is_not_there_before() -> None:
    text = "mkdir a\ndynet train --out runs/b\ndynet restore --out c\nmillion-ird status d\nmillion-ird build --out d"
    assert made_by(text) == {"a", "runs/b"}


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with serving(pages_of_the_web()) as site:
        site.pages["/sitemap.xml"] = sitemap(site.url(""))
        yield site.url("")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Iterator[dict[str, str]]:
    """S3 as moto plays it, with what the pages say of it: the environment of who uses it."""
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server")
    moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    store = s3fs.S3FileSystem(key="test", secret="test", endpoint_url=f"http://{host}:{port}")
    store.mkdir("bucket")
    store.put(str(world / "Pictures" / "rocket.jpg"), "bucket/photos/deep/rocket.jpg")
    store.put(str(world / "urls.parquet"), "bucket/urls.parquet")
    yield {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    moto.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, web: str) -> Path:
    """What the pages name, with a built set and trained networks; nobody changes it."""
    folder = tmp_path_factory.mktemp("docs") / "world"
    folder.mkdir()
    lay_out(folder, web)
    run(MAKE, folder, {"HF_HUB_OFFLINE": "1"})
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "store").mkdir()
    with served(Hub(store=tmp_path / "store", accounts={TOKEN: Account("user")})) as hub:
        yield hub


@pytest.mark.full
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("page", RUN)
def test_every_command_of_the_page_runs(
    page: str, world: Path, web: str, bucket: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(world, tmp_path / "home"))
    (folder / "weights").symlink_to(ROOT / "weights")  # of a clone
    (folder / "benchmarks" / "weights").symlink_to(ROOT / "benchmarks" / "weights")
    prepare(page, folder)
    if any("dataset:user/name" in command.text for command in commands(page)):
        rows = rows_for_the_hub(folder / "Pictures" / "rocket.jpg")
        hub.repositories["user/name"] = Repository()
        hub.repositories["user/name"].commit({"data/train-00000-of-00001.parquet": rows})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reached = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    run(script_of(page, web=web, port=port), folder, {**bucket, **reached, "HF_HOME": str(tmp_path / "hf")})
