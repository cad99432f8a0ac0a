"""A process that publishes on demand: the real client reads the address of its Hub but once in a process.

It takes one order a line, as JSON, and answers each by a line: the exit code, what was said, and what was logged.
"""

import contextlib
import io
import json
import logging
import os
import sys
from typing import Any
from unittest import mock

from million_ird.cli import app as cli
from million_ird.errors import MillionIRDError
from million_ird.hub import push, retry
from million_ird.runtime.storage import Folder
from million_ird.sources.web import retries


def command(arguments: list[str]) -> int:
    """Runs `million-ird` with these arguments."""
    sys.argv[1:] = arguments
    return cli._run()


def pushed(out: str, repo_id: str, options: dict[str, Any]) -> int:
    """Pushes a folder as it is, and prints what was done."""
    try:
        print(json.dumps(push.push(Folder(out), repo_id, **options).as_json()))
    except MillionIRDError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def obey(order: dict[str, Any]) -> dict[str, object]:
    """Does what one line asks for."""
    os.environ["HF_TOKEN"] = order["token"]
    said, err = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(err)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(err),
        mock.patch.object(retry, "PATIENCE", order.get("patience", retry.PATIENCE)),
        mock.patch.object(push, "MAX_FILES", order.get("max_files", push.MAX_FILES)),
    ):
        known = "command" in order
        code = command(order["command"]) if known else pushed(order["out"], order["repo_id"], order["options"])
    return {"code": code, "said": said.getvalue(), "err": err.getvalue()}


def main() -> None:
    """Obeys until there are no more lines."""
    retries.FIRST_BACKOFF = 0.01  # the pauses' order is tested by what the server asks for
    for line in sys.stdin:
        sys.stdout.write(json.dumps(obey(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
