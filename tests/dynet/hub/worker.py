"""A process that runs dynet against a Hub of our own: the real client reads the Hub's address only once per process.

It reads one order per line, as JSON, and answers each with one line: the exit code, stdout and stderr.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
from typing import Any
from unittest import mock

import torch

from dynet import DyNet
from dynet.cli import app as cli
from dynet.errors import DyNetError
from dynet.hub import retry
from dynet.model import hub_download

torch.set_num_threads(1)


def digest(model: DyNet) -> dict[str, Any]:
    """Return hashes of a network's tensors and of its outputs for one image, by variant."""
    tensors = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        tensors.update(name.encode() + tensor.numpy().tobytes())
    x = torch.linspace(0, 1, 3 * 24 * 20).reshape(1, 3, 24, 20)
    with torch.inference_mode():
        outputs = {
            variant.name: hashlib.sha256(model(x, variant).numpy().tobytes()).hexdigest() for variant in model.variants
        }
    return {"tensors": tensors.hexdigest(), "outputs": outputs, "dtype": str(next(model.parameters()).dtype)}


def load(source: str, options: dict[str, Any]) -> int:
    """Load weights and print their digest."""
    try:
        print(json.dumps(digest(DyNet.from_pretrained(source, **options))))
    except DyNetError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def push(source: str, repo_id: str, options: dict[str, Any]) -> int:
    """Let a network push itself, and print the address of the commit."""
    print(json.dumps(DyNet.from_pretrained(source).push_to_hub(repo_id, **options)))
    return 0


def execute(order: dict[str, Any]) -> dict[str, object]:
    """Execute the order of one line."""
    os.environ["HF_TOKEN"] = order.pop("token")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if "command" in order:
            code = cli._run(order["command"])
        elif "repo_id" in order:
            code = push(order["source"], order["repo_id"], order["options"])
        else:
            code = load(order["source"], order["options"])
    return {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}


if __name__ == "__main__":
    with mock.patch.object(hub_download, "PAUSES", (0.01, 0.01)), mock.patch.object(retry, "FIRST_PAUSE", 0.01):
        for line in sys.stdin:
            print(json.dumps(execute(json.loads(line))), flush=True)
