"""Collect the values that must survive every refactoring; `python -m tests.pins.collect` writes them to pins.json.

A pinned value may change only on purpose: when a build's bytes, a key of `.work`, a schema or a weights file is meant
to become another. Then run the command above and say in CHANGELOG.md what users have to do.
"""

import hashlib
import json
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from dynet import DyNet
from dynet.config.recipe import drop_newer_defaults
from dynet.config.recipe import load_recipe as load_training
from dynet.model.weights import read_header
from million_ird.config.loading import load as load_recipe
from million_ird.config.loading import shipped
from million_ird.config.recipe import Recipe
from million_ird.ledger import ledger_schema, load, measured_schema, scanned_schema
from million_ird.runtime.storage import FileEntry, Folder
from million_ird.scan.download_cache import RowRange
from million_ird.scan.fetch import fetch_name, gates_digest
from million_ird.scan.measuring import part_name, rows_name
from million_ird.sources.archives.source import MemberEntry
from million_ird.sources.archives.zips import ZipMember
from million_ird.sources.hub import ShardEntry
from million_ird.sources.source import SourceChunk
from million_ird.sources.web.links import LinkEntry
from tests.million_ird import scenes

FILE = Path(__file__).with_name("pins.json")
ROOT = Path(__file__).parents[2]
VERSIONS = ("pyarrow", "pillow", "numpy", "opencv-python-headless", "numba", "scipy", "matplotlib", "datasets", "torch")
DATA = ("data/", "patches/", "ledger/", "recipe.yaml")

_FILE = FileEntry(uri="a/b.jpg", size=12, version="12-34")
_TOLD = {"licence": "cc0", "attribution": None, "width": 3, "height": 4, "extra": (("score", 1.5), ("caption", "é"))}
_ZIP = ZipMember(name="b.png", offset=30, size=9, packed=8, crc=7, method=8, flags=0, regular=True)
ENTRIES: dict[str, FileEntry] = {
    "file": _FILE,
    "quoted file": FileEntry(uri='it\'s "here"\n.jpg', size=0, version=""),
    "link": LinkEntry(uri="http://h/p.jpg", size=0, version="", address="http://h/p.jpg?s=1", **_TOLD),
    "bare link": LinkEntry(uri="p.jpg", size=0, version="v", address="/d/p.jpg"),
    "tar member": MemberEntry(uri="a.tar/b.png", size=9, version="v", archive="a.tar", location=512, **_TOLD),
    "zip member": MemberEntry(uri="a.zip/b.png", size=9, version="v", archive="a.zip", location=_ZIP),
    "shard": ShardEntry(uri="train/0", size=0, version="r", split="train", shards=2, index=1),
}


def work_keys() -> dict[str, str]:
    """File names under `.work` by kind of entry: what an interrupted build is resumed by."""
    recipes = {"default": Recipe(), "demo": load_recipe("demo.yaml")}
    keys = {}
    for kind, entry in ENTRIES.items():
        chunk = SourceChunk(source="photos", root="/d", slot="0" * 32, entries=(entry, _FILE))
        for name, recipe in recipes.items():
            keys[f"{kind}, {name}, rows"] = rows_name(chunk, recipe)
            keys[f"{kind}, {name}, originals"] = fetch_name(chunk, recipe)
    for name, recipe in recipes.items():
        chunk = SourceChunk(source="photos", root="/d", slot="0" * 32, entries=())
        keys[f"part, {name}"] = part_name(chunk, RowRange(0, 5, "abc"), recipe)
        keys[f"gates, {name}"] = gates_digest(recipe)
    return keys


def schemas() -> dict[str, str]:
    """The columns of the ledger and of scanned rows, with their metadata."""
    measures = Recipe(scores=("niqe",), columns=("likes",), texts=("caption",)).ledger_entries
    made = {"scanned": scanned_schema, "measured": measured_schema, "ledger": ledger_schema}
    return {name: make(measures).to_string(show_schema_metadata=True) for name, make in made.items()}


def recipes() -> dict[str, str]:
    """The digest of every shipped recipe of data sets, and a hash of every recipe of training as resolved."""
    digests = {name: load_recipe(path).digest for name, path in shipped().items()}
    for path in sorted((ROOT / "pipelines").glob("*.yaml")):
        if path.name not in digests:
            stage = yaml.safe_load(path.read_text())["stage"]
            resolved = load_training(path, stage).model_dump(mode="json", exclude={"exclude"})
            drop_newer_defaults(resolved)
            digests[path.name] = _hash(json.dumps(resolved, sort_keys=True).encode())
    return digests


def build(folder: Path) -> dict[str, Any]:
    """A small build: hashes of its data files, the card's YAML, and the ledger. The card's prose may be reworded."""
    source = scenes.lay_out(folder / "pictures")
    scenes.make(source, folder / "out", scenes.recipe(name="pinned"))
    contents = scenes.contents(folder / "out")
    files = {name: _hash(contents[name]) for name in contents if name.startswith(DATA)}
    card = next(yaml.safe_load_all(contents["README.md"].decode().split("\n---\n")[0]))
    rows = load(Folder(str(folder / "out"))).to_pylist()
    return {"files": files, "card": card, "ledger": sorted(rows, key=lambda row: str(row["uri"]))}


def training(folder: Path) -> dict[str, Any]:
    """Twelve steps of training on generated patches: the header of the weights, their sums, and their hash."""
    from tests.pins.train_twelve_steps import train

    run = train(folder)
    header = read_header(run / "weights.safetensors").as_object()
    state = DyNet.from_pretrained(run).state_dict()
    raw = b"".join(tensor.numpy().tobytes() for _, tensor in sorted(state.items()))
    for name in ("machine", "seconds", "date", "started", "finished"):
        header.get("training", {}).pop(name, None)
    losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "header": header,
        "losses": losses,
        "norms": {name: float(tensor.double().norm()) for name, tensor in sorted(state.items())},
        "hash": _hash(raw),
    }


def environment() -> dict[str, str]:
    """What decides whether equal inputs give equal bytes: versions, and what the processor can do."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    flags = next((line for line in _cpu_lines() if line.startswith(("flags", "Features"))), "")
    return {**found, "python": sys.version.split()[0], "cpu": _hash(" ".join(sorted(flags.split())).encode())}


def collect() -> dict[str, Any]:
    """Everything."""
    with tempfile.TemporaryDirectory() as folder:
        pins = {
            "work keys": work_keys(),
            "schemas": schemas(),
            "recipes": recipes(),
            "build": build(Path(folder)),
            "training": training(Path(folder)),
            "environment": environment(),
        }
    loaded: dict[str, Any] = json.loads(json.dumps(pins, default=_plain))
    return loaded


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return _hash(value)
    if isinstance(value, (np.generic, torch.Tensor)):
        return value.item()
    raise TypeError(type(value))


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    FILE.write_text(json.dumps(collect(), indent=1, ensure_ascii=False, sort_keys=True) + "\n")
