"""Sets streamed from a Hub by its real client, in processes of their own."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from dynet.data.shuffle_window import OPEN_GROUPS, STEPS_PER_GROUP
from tests.dynet.sharded import MANY, mix_of, streamed, write_set
from tests.hub_faults import Fault
from tests.hub_server import Content, Hub, Large, Repository, served
from tests.million_ird.hub.publishing import environment

NAME = "user/far"
TOLD = """
import hashlib, json, multiprocessing, sys, threading
from pathlib import Path
from dynet.errors import DataError
from dynet.data.mix import Mix, TrainingTask
from dynet.data.streamed_set import StreamedSet
from dynet.data.shuffle_window import STEPS_PER_GROUP

def keep(picture, random):
    return picture

def draw(mix, which):
    crops = {f"{step} {which}": hashlib.sha256(mix.example(step, which, 16).clean.tobytes()).hexdigest()
             for step in range(0, 3 * STEPS_PER_GROUP, 3)}
    for thread in threading.enumerate():
        if thread.name == "prefetching":
            thread.join()
    return crops

def work(mix, which, queue):
    queue.put(draw(mix, which))

name, cache, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
try:
    pictures = StreamedSet(name, None, cache)
    mix = Mix([TrainingTask(name="denoise", weight=1, degrade=keep)], [(pictures, 1.0)], seed=3, hold_out=0, exclude={})
    told = {"rows": len(pictures), "crops": draw(mix, 0)}
    queue = multiprocessing.get_context("fork").Queue()
    others = [
        multiprocessing.get_context("fork").Process(target=work, args=(mix, n + 1, queue)) for n in range(workers)
    ]
    for other in others:
        other.start()
    for other in others:
        told["crops"] |= queue.get(timeout=60)
    for other in others:
        other.join()
    print(json.dumps(told))
except DataError as error:
    print(json.dumps({"error": str(error)}))
"""


@dataclass
class Weighed(Hub):
    """Notes how many bytes of which file each answer held."""

    sent: list[tuple[str, int]] = field(default_factory=list)

    async def _sent(
        self, request: web.Request, path: str, answer: web.StreamResponse, content: bytes
    ) -> web.StreamResponse:
        if request.method == "GET":
            self.sent.append((path, len(content)))
        return await super()._sent(request, path, answer, content)

    def parquet(self) -> list[int]:
        return [size for path, size in self.sent if path.endswith(".parquet")]


@pytest.fixture(scope="module")
def many(photographs: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("many") / "set", photographs[1], MANY)


@pytest.fixture
def hub(many: Path, tmp_path: Path) -> Iterator[Weighed]:
    with served(Weighed()) as hub:
        assert isinstance(hub, Weighed)
        hub.repositories[NAME] = Repository()
        hub.repositories[NAME].commit(
            {path.relative_to(many).as_posix(): path.read_bytes() for path in many.rglob("*") if path.is_file()}
        )
        yield hub


def from_hub(hub: Hub, place: Path, workers: int = 0) -> dict[str, object]:
    command: Sequence[object] = [sys.executable, "-c", TOLD, NAME, place / "cache", workers]
    told = environment(hub, place / "home") | {"HF_TOKEN": ""}
    done = subprocess.run(
        list(map(str, command)), env=told, cwd=place, text=True, capture_output=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_hub_gives_the_same_crops_and_each_row_group_is_fetched_once(
    hub: Weighed, many: Path, tmp_path: Path
) -> None:
    told = from_hub(hub, tmp_path, workers=2)
    mix = mix_of(streamed(many, tmp_path / "near"))
    assert told["rows"] == 140
    crops = told["crops"]
    assert isinstance(crops, dict)
    assert len(crops) == 3 * STEPS_PER_GROUP
    for key, digest in crops.items():
        step, index = map(int, key.split())
        assert hashlib.sha256(mix.example(step, index, 16).clean.tobytes()).hexdigest() == digest
    fetched = hub.parquet()
    footers, groups = fetched[:4], fetched[4:]  # of each file in two requests
    assert sum(size == 2**16 for size in footers) == 2
    assert 20 < len(groups) <= OPEN_GROUPS + 3  # what is open at some step, and the next
    assert sum(groups) < 9000 * len(groups)


def test_temporary_network_failures_are_retried(hub: Weighed, many: Path, tmp_path: Path) -> None:
    shard = "patches/train-00000-of-00002.parquet"
    hub.refuse[shard] = 1
    hub.hang_up["patches/train-00001-of-00002.parquet"] = 1
    hub.faults.append(Fault(r"GET \S+/resolve/\S+parquet", "drop", times=1, skip=10))
    told = from_hub(hub, tmp_path)
    crops = told["crops"]
    assert isinstance(crops, dict)
    assert len(crops) == STEPS_PER_GROUP
    assert (hub.faults[0].times, sum(hub.refuse.values()), sum(hub.hang_up.values())) == (0, 0, 0)


def test_a_permanent_network_failure_is_a_one_line_error(hub: Weighed, tmp_path: Path) -> None:
    hub.faults.append(Fault(r"GET \S+/resolve/\S+parquet", "answer", status=404, times=10**6, skip=6))
    told = from_hub(hub, tmp_path)
    assert re.fullmatch(r"hf://datasets/user/far@\w{40}/patches/train-\S+ cannot be read: [^\n]+", str(told["error"]))


def test_large_files_are_read_from_their_storage(hub: Weighed, many: Path, tmp_path: Path) -> None:
    hub.store = tmp_path / "store"
    hub.store.mkdir()
    files: dict[str, Content] = {}
    for path in many.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            oid = hashlib.sha256(content).hexdigest()
            (hub.store / oid).write_bytes(content)
            large = path.suffix == ".parquet"
            files[path.relative_to(many).as_posix()] = Large(oid, len(content)) if large else content
    hub.repositories[NAME].commit(files)
    told = from_hub(hub, tmp_path)
    assert told["rows"] == 140
    assert any(line.startswith("GET /store/") for line in hub.asked)
