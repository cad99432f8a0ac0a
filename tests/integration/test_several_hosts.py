"""A cluster of several hosts: network namespaces, each with one cable to a switch and with folders of its own.

One host has the store (S3, as moto plays it), one the scheduler and the program, three a worker each. Source and output
are in the store; the cable of a worker that has work is cut in the middle of the build.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from million_ird.workflow import Options, build
from tests.million_ird import scenes

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

ROOT = Path(__file__).parents[2]
PICTURES, LISTED = 160, 40
STORE, HEAD, WORKERS = "store", "head", ("one", "two", "three")
ADDRESSES = {name: f"10.213.77.{number + 1}" for number, name in enumerate((STORE, HEAD, *WORKERS))}
ENDPOINT, SCHEDULER = f"http://{ADDRESSES[STORE]}:5000", f"tcp://{ADDRESSES[HEAD]}:8786"
LOST_AFTER = "15s"
"""How long the scheduler waits for an answer; 30 s if nobody asks for less."""


class Network:
    """Namespaces that are hosts, and one more that is the switch between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prefix = f"ird{os.getpid()}"
        self._made: list[str] = []
        self.logs: list[Path] = []

    def lay(self) -> None:
        """Make the hosts and their cables."""
        self._add("switch")
        self._ip("-n", self._of("switch"), "link", "add", "bridge", "type", "bridge")
        self._ip("-n", self._of("switch"), "link", "set", "bridge", "up")
        for name, address in ADDRESSES.items():
            self._add(name)
            cable = ("link", "add", "cable", "netns", self._of(name), "type", "veth", "peer", "name", f"to_{name}")
            self._ip(*cable, "netns", self._of("switch"))
            self._ip("-n", self._of("switch"), "link", "set", f"to_{name}", "master", "bridge", "up")
            self._ip("-n", self._of(name), "address", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                self._ip("-n", self._of(name), "link", "set", device, "up")
            self._furnish(name)

    def cut(self, name: str) -> None:
        """Pull the cable of a host."""
        self._ip("-n", self._of("switch"), "link", "set", f"to_{name}", "down")

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start Python on a host, in the host's own folder, with its own copy of the program."""
        home = self.folder / f"host {name}"
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("COV")},
            **{key: str(home / key.lower()) for key in ("HOME", "TMPDIR", "NUMBA_CACHE_DIR")},
            **{"PYTHONPATH": str(home), "AWS_ENDPOINT_URL": ENDPOINT, "AWS_DEFAULT_REGION": "us-east-1"},
            **{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
            **{"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": LOST_AFTER, "PYTHONUNBUFFERED": "1"},
        }
        self.logs.append(self.folder / f"{len(self.logs)} {name}.log")
        with self.logs[-1].open("wb") as log:
            netns = ["ip", "netns", "exec", self._of(name)]
            return subprocess.Popen(
                [*netns, sys.executable, *command], cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def said(self, name: str, *command: str) -> str:
        """Run Python on a host; return what it says, empty if it fails."""
        process = self.start(name, *command)
        log = self.logs.pop()
        return log.read_text() if process.wait(timeout=120) == 0 else ""

    def remove(self) -> None:
        """End what runs on the hosts, and remove them."""
        for name in self._made:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
            for pid in pids.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def _furnish(self, name: str) -> None:
        home = self.folder / f"host {name}"
        for key in ("home", "tmpdir", "numba_cache_dir"):
            (home / key).mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__")
        for folder in ("million_ird", "cards", "pipelines"):
            shutil.copytree(ROOT / folder, home / folder, ignore=ignored)

    def _add(self, name: str) -> None:
        self._ip("netns", "add", self._of(name))
        self._made.append(self._of(name))

    def _of(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _ip(self, *arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("needs root and `ip` of iproute2, for network namespaces")
    network = Network(tmp_path)
    try:
        try:
            network.lay()
        except OSError as error:
            pytest.skip(f"network namespaces with veth cannot be made here: {error}")
        yield network
    finally:
        network.remove()


def lay_out(data: Path) -> None:
    """A folder of photographs, and a table that lists others."""
    for folder, count, first in (("pictures", PICTURES, 0), ("listed", LISTED, 1000)):
        (data / folder).mkdir(parents=True)
        for number in range(first, first + count):
            scenes.photograph(number, 120, 100).save(data / folder / f"{number:04d}.png")
    shutil.copyfile(data / "pictures" / "0003.png", data / "listed" / "copy.png")
    (data / "listed" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    names = [f"listed/{path.name}" for path in sorted((data / "listed").iterdir())]
    pq.write_table(pa.table({"path": [*names, "listed/gone.png", names[0]]}), data / "list.parquet")


TO_STORE = """
import sys, time, s3fs
store = s3fs.S3FileSystem()
for attempt in range(100):
    try:
        store.mkdir("bucket")
        break
    except Exception:
        time.sleep(0.2)
store.put(sys.argv[1] + "/", "bucket/", recursive=True)
"""
FROM_STORE = "import sys, s3fs; s3fs.S3FileSystem().get('bucket/out/', sys.argv[1] + '/', recursive=True)"
WHO_WORKS = """
import sys, time
from distributed import Client
with Client(sys.argv[1], set_as_default=False) as client:
    while True:
        busy = {worker for worker, tasks in client.processing().items() if tasks}
        if sys.argv[2] in {worker.rsplit("/")[-1].split(":")[0] for worker in busy} and len(busy) == 3:
            break
        time.sleep(0.02)
print("busy")
"""


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_a_host_that_is_cut_off_in_the_middle_changes_nothing(network: Network, tmp_path: Path) -> None:
    data = tmp_path / "data"
    lay_out(data)
    recipe = scenes.recipe()
    build([str(data / "pictures"), str(data / "list.parquet")], str(tmp_path / "here"), recipe, Options(workers=2))

    network.start(STORE, "-m", "moto.server", "-H", ADDRESSES[STORE], "-p", "5000")
    network.start(HEAD, "-m", "distributed.cli.dask_scheduler", "--host", ADDRESSES[HEAD], "--no-dashboard")
    for name in WORKERS:
        options = ["--host", ADDRESSES[name], "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name]
        network.start(name, "-m", "distributed.cli.dask_worker", SCHEDULER, *options)
    network.said(HEAD, "-c", TO_STORE, str(data))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_unset=True)))
    sources = [part for name in ("pictures", "list.parquet") for part in ("--sources", f"s3://bucket/{name}")]
    options = ["--out", "s3://bucket/out", "--recipe", str(tmp_path / "recipe.yaml"), "--scheduler", SCHEDULER]
    program = network.start(HEAD, "-c", "from million_ird.cli.app import main; main()", "build", *sources, *options)
    log = network.logs[-1]

    assert network.said(HEAD, "-c", WHO_WORKS, SCHEDULER, ADDRESSES["two"]).strip() == "busy"
    network.cut("two")
    assert program.poll() is None, "the build was over before the cable was cut"
    assert program.wait(timeout=1200) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    scheduler_log = network.logs[1].read_text()
    assert f"Remove worker addr: tcp://{ADDRESSES['two']}" in scheduler_log, scheduler_log

    network.said(HEAD, "-c", FROM_STORE, str(tmp_path / "there"))
    here, there = scenes.contents(tmp_path / "here"), scenes.contents(tmp_path / "there")
    assert here == there
    assert sum(name.startswith(("data/", "patches/")) for name in here) >= 2
    assert pq.read_table(tmp_path / "there" / "ledger").num_rows == PICTURES + LISTED + 3
