"""A Hub of our own and a process that publishes to it."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hub_server import Account, Hub

ROOT = Path(__file__).parents[3]
TOKEN = "hf_SecretOfTheWriter"
READER = "hf_SecretOfAReader"
ACCOUNTS = {TOKEN: Account("user"), READER: Account("reader", writes=False)}
NAME = "user/set"


def environment(hub: Hub, home: Path, token: str = TOKEN) -> dict[str, str]:
    """That of a process that takes `hub` for the Hub."""
    told = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    return os.environ | told | {"HF_TOKEN": token, "NO_PROXY": "127.0.0.1,localhost", "PYTHONPATH": str(ROOT)}


@dataclass
class Done:
    """What a publication said and ended with."""

    code: int
    said: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object of the last line."""
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.said.splitlines()[-1])
        return found

    @property
    def last(self) -> str:
        """The line that says what is wrong."""
        assert (self.code != 0, self.said) == (True, ""), self
        return self.err.strip().splitlines()[-1]


@dataclass
class Site:
    """A Hub, and a process that publishes to it."""

    hub: Hub
    home: Path
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> "subprocess.Popen[str]":
        """Another such process."""
        command = [sys.executable, "-m", "tests.million_ird.hub.publisher"]
        surroundings = environment(self.hub, self.home)
        return subprocess.Popen(
            command, env=surroundings, cwd=self.home, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def order(self, token: str = TOKEN, **order: object) -> Done:
        """Has it publish."""
        self.process = self.process or self.start()
        send(self.process, order | {"token": token})
        assert self.process.stdout
        return Done(**json.loads(self.process.stdout.readline()))

    def push(self, out: Path, **options: object) -> dict[str, Any]:
        """Pushes a folder without a verification."""
        return self.order(out=str(out), repo_id=NAME, options=options).told

    def publish(self, out: Path | str, *more: str, token: str = TOKEN, name: str = NAME) -> Done:
        """Runs the command."""
        return self.order(token, command=["publish", str(out), "--repo-id", name, *more])


def send(process: "subprocess.Popen[str]", order: dict[str, object]) -> None:
    """Gives a process its order."""
    assert process.stdin
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()


def asked(hub: Hub, pattern: str) -> list[str]:
    """The requests whose `METHOD /path` has the pattern in it."""
    return [line for line in hub.asked if re.search(pattern, line)]


def wait_until(reached: Callable[[], bool]) -> None:
    """Returns when it is so; fails after a minute."""
    until = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.02)
