"""A Hub of our own for each test file, emptied before each test, a process that uses it, and a run to publish."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from accelerate.state import AcceleratorState
from PIL import Image

from dynet.cli.app import _run
from tests.hub_server import Hub, served
from tests.million_ird.hub.publishing import ACCOUNTS, ROOT, TOKEN, CommandOutput, environment, send


@dataclass
class Site:
    """A Hub of our own, and a process that uses it as the Hub."""

    hub: Hub
    home: Path
    process: "subprocess.Popen[str] | None" = None

    def order(self, token: str = TOKEN, **order: object) -> CommandOutput:
        """Send an order to the process, which starts at the first order, and return its answer."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.dynet.hub.worker"],
                env=environment(self.hub, self.home),
                cwd=ROOT,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        send(self.process, order | {"token": token})
        assert self.process.stdout
        return CommandOutput(**json.loads(self.process.stdout.readline()))

    def command(self, *arguments: object, token: str = TOKEN) -> CommandOutput:
        """Run `dynet`."""
        return self.order(token, command=[str(argument) for argument in arguments])

    def publish(self, run: Path, *more: object, name: str = "user/model", token: str = TOKEN) -> CommandOutput:
        """Run `dynet publish` with a licence."""
        return self.command("publish", run, "--repo-id", name, "--licence", "cc-by-nc-4.0", *more, token=token)

    def load(self, source: object, token: str = TOKEN, **options: object) -> CommandOutput:
        """Load with `DyNet.from_pretrained`, and return the digest of the network."""
        return self.order(token, source=str(source), options=options)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(Hub(accounts=ACCOUNTS)) as hub:
        site = Site(hub, tmp_path_factory.mktemp("site"))
        yield site
        if site.process:
            site.process.terminate()
            site.process.communicate()


@pytest.fixture
def hub(site: Site, tmp_path: Path) -> Hub:
    """Empty the Hub of the site."""
    site.hub.store = tmp_path / "store"
    site.hub.store.mkdir()
    for state in (site.hub.models, site.hub.repositories, site.hub.asked, site.hub.faults, site.hub.hang_up):
        state.clear()
    return site.hub


@dataclass(frozen=True)
class Trained:
    """A finished run that started from another, and its evaluations by both protocols."""

    pretrained: Path
    run: Path
    evaluations: tuple[Path, Path]

    @property
    def arguments(self) -> list[object]:
        """The evaluations as arguments of `dynet publish`."""
        return [word for folder in self.evaluations for word in ("--evaluation", folder)]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, data_set: Path, recipe_text: Callable[..., str]) -> Trained:
    """Train and evaluate with the commands themselves, in a folder whose name must not be published."""
    folder = tmp_path_factory.mktemp("secret-place")
    listed = {"exclude": [str(folder / "left_out.txt")], "wandb": None, "validation": {"every": 4, "pictures": 1}}
    (folder / "left_out.txt").write_text("patch-3\n")
    noise = np.random.default_rng(0)
    (folder / "bench").mkdir()
    for name in ("a", "b"):
        Image.fromarray(noise.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / "bench" / f"{name}.png")
    for stage, more in (("pretrain", []), ("finetune", ["--init", str(folder / "pretrain")])):
        (folder / f"{stage}.yaml").write_text(recipe_text(stage, **listed))
        where = ["--config", str(folder / f"{stage}.yaml"), "--out", str(folder / stage), "--device", "cpu"]
        _run_command(["train", "--data", str(data_set), "--stage", stage, *where, *more])
    evaluations = (folder / "paper", folder / "strict")
    for protocol, out in zip(("aio-paper", "strict"), evaluations, strict=True):
        options = ["--benchmark", f"bench={folder / 'bench'}", "--sigma", "15,50", "--protocol", protocol]
        _run_command(
            ["evaluate", "--weights", str(folder / "finetune"), *options, "--out", str(out), "--device", "cpu"]
        )
    return Trained(folder / "pretrain", folder / "finetune", evaluations)


@pytest.fixture(scope="session")
def harm(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of the finished run by protocol `harm`."""
    out = tmp_path_factory.mktemp("harm")
    benchmark = f"*bench*={trained.run.parent / 'bench'}"
    weights = ["--weights", str(trained.run), "--protocol", "harm", "--benchmark", benchmark]
    _run_command(["evaluate", *weights, "--out", str(out), "--device", "cpu"])
    return out


def _run_command(arguments: list[str]) -> None:
    AcceleratorState._reset_state()  # accelerate allows one training per process; here there are two
    assert _run(arguments) == 0


def held(hub: Hub, name: str = "user/model", branch: str = "main") -> dict[str, Any]:
    """Return the files of a model on the Hub, without those that the Hub itself adds."""
    repository = hub.models[name]
    files = dict(repository.commits[repository.branches[branch]])
    del files[".gitattributes"]
    return files


def front_matter(card: str) -> dict[str, Any]:
    """Return the YAML at the head of a card."""
    values: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return values
