"""A process that runs dynet against a Hub of our own: the real client reads its Hub's address but once in a process.

It takes one order a line, as JSON, and answers each by a line: the exit code, what was said, and what was logged.
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
from dynet.hub import retry as persistence
from dynet.model import hub_download

torch.set_num_threads(1)


def digest(model: DyNet) -> dict[str, Any]:
    """What a network is, and what it does: its tensors, and its outputs for one picture, by variant."""
    tensors = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        tensors.update(name.encode() + tensor.numpy().tobytes())
    x = torch.linspace(0, 1, 3 * 24 * 20).reshape(1, 3, 24, 20)
    with torch.inference_mode():
        outputs = {one.name: hashlib.sha256(model(x, one).numpy().tobytes()).hexdigest() for one in model.variants}
    return {"tensors": tensors.hexdigest(), "outputs": outputs, "dtype": str(next(model.parameters()).dtype)}


def load(source: str, options: dict[str, Any]) -> int:
    """Loads weights, and says what they are."""
    try:
        print(json.dumps(digest(DyNet.from_pretrained(source, **options))))
    except DyNetError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def push(source: str, repo_id: str, options: dict[str, Any]) -> int:
    """Has a network push itself, and says where its commit is."""
    print(json.dumps(DyNet.from_pretrained(source).push_to_hub(repo_id, **options)))
    return 0


def obey(order: dict[str, Any]) -> dict[str, object]:
    """Does what one line asks for."""
    os.environ["HF_TOKEN"] = order.pop("token")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if "command" in order:
            code = cli._run(order["command"])
        elif "repo_id" in order:
            code = push(order["source"], order["repo_id"], order["options"])
        else:
            code = load(order["source"], order["options"])
    return {"code": code, "said": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    with mock.patch.object(hub_download, "PAUSES", (0.01, 0.01)), mock.patch.object(persistence, "FIRST_PAUSE", 0.01):
        for line in sys.stdin:
            print(json.dumps(obey(json.loads(line))), flush=True)
