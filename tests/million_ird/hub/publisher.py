"""A process that publishes on demand: the real client reads the address of its Hub only once per process.

It reads one order per line, as JSON, and answers each with a line: the exit code, stdout, and stderr with the log.
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


def run_command(arguments: list[str]) -> int:
    """Run `million-ird` with these arguments."""
    sys.argv[1:] = arguments
    return cli._run()


def push_folder(out: str, repo_id: str, options: dict[str, Any]) -> int:
    """Push a folder as it is, and print the result."""
    try:
        print(json.dumps(push.push(Folder(out), repo_id, **options).as_json()))
    except MillionIRDError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def carry_out(order: dict[str, Any]) -> dict[str, object]:
    """Carry out one order."""
    os.environ["HF_TOKEN"] = order["token"]
    stdout, stderr = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(stderr)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    with (
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch.object(retry, "PATIENCE", order.get("patience", retry.PATIENCE)),
        mock.patch.object(push, "MAX_FILES", order.get("max_files", push.MAX_FILES)),
    ):
        is_command = "command" in order
        code = (
            run_command(order["command"])
            if is_command
            else push_folder(order["out"], order["repo_id"], order["options"])
        )
    return {"code": code, "stdout": stdout.getvalue(), "stderr": stderr.getvalue()}


def main() -> None:
    """Carry out orders until stdin ends."""
    retries.FIRST_BACKOFF = 0.01  # pauses are tested with those that the server asks for
    for line in sys.stdin:
        sys.stdout.write(json.dumps(carry_out(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
