"""A local Hub and a process that publishes to it."""

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
    """Return the environment of a process that uses `hub` as the Hub."""
    client = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    return os.environ | client | {"HF_TOKEN": token, "NO_PROXY": "127.0.0.1,localhost", "PYTHONPATH": str(ROOT)}


@dataclass
class CommandOutput:
    """Exit code and output of a publication."""

    code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object on the last line of stdout."""
        assert self.code == 0, self.stderr
        result: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return result

    @property
    def error_line(self) -> str:
        """The last line of stderr, which says what is wrong."""
        assert (self.code != 0, self.stdout) == (True, ""), self
        return self.stderr.strip().splitlines()[-1]


@dataclass
class Site:
    """A Hub, and a process that publishes to it."""

    hub: Hub
    home: Path
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> "subprocess.Popen[str]":
        """Start another such process."""
        command = [sys.executable, "-m", "tests.million_ird.hub.publisher"]
        surroundings = environment(self.hub, self.home)
        return subprocess.Popen(
            command, env=surroundings, cwd=self.home, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def order(self, token: str = TOKEN, **order: object) -> CommandOutput:
        """Send an order to the process, and return its answer."""
        self.process = self.process or self.start()
        send(self.process, order | {"token": token})
        assert self.process.stdout
        return CommandOutput(**json.loads(self.process.stdout.readline()))

    def push(self, out: Path, **options: object) -> dict[str, Any]:
        """Push a folder without verification."""
        return self.order(out=str(out), repo_id=NAME, options=options).result

    def publish(self, out: Path | str, *more: str, token: str = TOKEN, name: str = NAME) -> CommandOutput:
        """Run the command `publish`."""
        return self.order(token, command=["publish", str(out), "--repo-id", name, *more])


def send(process: "subprocess.Popen[str]", order: dict[str, object]) -> None:
    """Send an order to a process."""
    assert process.stdin
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()


def asked(hub: Hub, pattern: str) -> list[str]:
    """Return the requests whose `METHOD /path` matches the pattern."""
    return [line for line in hub.asked if re.search(pattern, line)]


def wait_until(reached: Callable[[], bool]) -> None:
    """Return when the condition is true; fail after a minute."""
    until = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.02)
