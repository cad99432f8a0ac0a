"""Entries for OpenModelDB, against a JSON schema of its rules."""

import hashlib
import json
import socket
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dynet.errors import UsageError
from dynet.hub import openmodeldb
from dynet.hub.openmodeldb import spdx_licence
from dynet.model.training_record import StartingWeights, TrainingRecord

Command = Callable[..., tuple[int, str, str]]
URL = {"type": "string", "pattern": r"^https?://(?!cdn\.discordapp\.com)[^/]+"}
WORDS = r"[a-z0-9]+(?:-[a-z0-9]+)*"
POSITIVE = {"type": "integer", "minimum": 1}
RULES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("name", "author", "license", "tags", "description", "date", "architecture", "size", "scale"),
        *("inputChannels", "outputChannels", "resources", "images"),
    ],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "author": {
            "oneOf": [
                {"type": "string", "pattern": f"^{WORDS}$"},
                {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": f"^{WORDS}$"}},
            ]
        },
        "license": {"type": ["string", "null"], "pattern": r"^[a-zA-Z0-9.-]+(?: OR [a-zA-Z0-9.-]+)*$"},
        "tags": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": f"^(?:[a-z0-9]+:)?{WORDS}$"}},
        "description": {"type": "string", "pattern": r"^\S(?:[\s\S]*\S)?$"},
        "date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "architecture": {"type": "string", "pattern": f"^{WORDS}$"},
        "size": {"type": ["array", "null"], "minItems": 1, "items": {"type": "string", "minLength": 1}},
        "scale": {"const": 1},
        "inputChannels": {"const": 3},
        "outputChannels": {"const": 3},
        "resources": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["platform", "type", "size", "sha256", "urls"],
                "properties": {
                    "platform": {"enum": ["pytorch", "onnx", "ncnn"]},
                    "type": {"enum": ["pth", "safetensors", "onnx"]},
                    "size": POSITIVE,
                    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    "urls": {"type": "array", "minItems": 1, "items": URL},
                },
            },
        },
        "trainingIterations": POSITIVE,
        "trainingBatchSize": POSITIVE,
        "trainingHRSize": POSITIVE,
        "trainingOTF": {"type": "boolean"},
        "dataset": {"type": "string"},
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type", "LR", "SR"],
                "properties": {"type": {"const": "paired"}, "LR": URL, "SR": URL},
            },
        },
    },
}
"""The rules of src/lib/schema.ts, schema-util.ts and model-props.ts of OpenModelDB/open-model-database, for a DyNet."""


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    file = tmp_path / "dynet-S.safetensors"
    file.write_bytes(b"some weights")
    return file


@pytest.fixture
def publish(
    tiny_weights: Path, exported: Path, tmp_path: Path, dynet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str, Path]]:
    """Run the command with some options replaced, or taken away by None; any use of a network fails."""
    out = tmp_path / "1x-DyNet-S.json"
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))

    def run(**changes: object) -> tuple[int, str, str, Path]:
        options: dict[str, object] = {
            "--openmodeldb": out,
            "--licence": "cc-by-4.0",
            "--author": "some-one",
            "--tag": "denoise",
            "--description": "Removes noise.\n",
            "--resource": f"{exported}=https://example.org/S.safetensors",
            "--image": "https://example.org/a.png,https://example.org/b.png",
            "--date": "2026-11-28",
        }
        options |= {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
        flat = [
            word
            for name, value in options.items()
            if value is not None
            for one in (value if isinstance(value, list) else [value])
            for word in ((name,) if one is True else (name, one))
        ]
        return *dynet_command("publish", tiny_weights, *flat), out

    return run


def test_an_entry_follows_the_rules_and_describes_its_files(publish: Callable[..., Any], exported: Path) -> None:
    code, out, error, file = publish()
    assert (code, out) == (0, f"{file}\n"), error
    entry = json.loads(file.read_text())
    jsonschema.validate(entry, RULES)
    assert entry["license"] == "CC-BY-4.0"
    assert entry["name"] == "DyNet-S"
    assert entry["author"] == "some-one"
    assert entry["size"] == ["4dim"]
    assert entry["description"] == "Removes noise."
    assert entry["resources"] == [
        {
            "platform": "pytorch",
            "type": "safetensors",
            "size": 12,
            "sha256": hashlib.sha256(b"some weights").hexdigest(),
            "urls": ["https://example.org/S.safetensors"],
        }
    ]
    assert entry["images"] == [{"type": "paired", "LR": "https://example.org/a.png", "SR": "https://example.org/b.png"}]
    assert publish()[3].read_text() == file.read_text()


def test_several_files_authors_and_licences(publish: Callable[..., Any], exported: Path) -> None:
    onnx = exported.with_suffix(".onnx")
    onnx.write_bytes(b"onnx")
    code, _, error, file = publish(
        author=["a", "b-2"],
        licence="mit or apache-2.0",
        resource=[f"{exported}=https://e.org/1", f"{onnx}=https://e.org/2?x=1", f"{exported}=https://e.org/3"],
        image=None,
        date=None,
    )
    assert code == 0, error
    entry = json.loads(file.read_text())
    jsonschema.validate(entry, RULES)
    assert entry["license"] == "MIT OR Apache-2.0"
    assert entry["author"] == ["a", "b-2"]
    assert [(one["platform"], one["type"]) for one in entry["resources"]] == [
        ("pytorch", "safetensors"),
        ("onnx", "onnx"),
    ]
    assert [one["urls"] for one in entry["resources"]] == [
        ["https://e.org/1", "https://e.org/3"],
        ["https://e.org/2?x=1"],
    ]
    assert entry["date"] == date.today().isoformat()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": "other"}, "--licence other: is not an SPDX identifier"),
        ({"licence": "LicenseRef-mine"}, "--licence LicenseRef-mine"),
        ({"licence": "GPL-3.0-only WITH Classpath-exception-2.0"}, "joined by OR"),
        ({"author": "Some One"}, "--author Some One"),
        ({"author": None}, "--author: OpenModelDB needs at least one"),
        ({"tag": "De Noise"}, "--tag De Noise"),
        ({"tag": None}, "--tag: OpenModelDB needs at least one"),
        ({"description": " "}, "--description"),
        ({"date": "28.11.2026"}, "--date 28.11.2026"),
        ({"date": "2026-02-30"}, "--date 2026-02-30"),
        ({"date": "20261128"}, "--date 20261128"),
        ({"resource": None}, "--resource: OpenModelDB needs at least one"),
        ({"resource": "w.safetensors"}, "must be FILE=URL"),
        ({"resource": "w.safetensors=https://e.org/w"}, "no such file"),
        ({"resource": "w.pt2=https://e.org/w"}, "takes files that end in"),
        ({"image": "https://e.org/a.png"}, "must be URL-OF-INPUT,URL-OF-RESULT"),
        ({"image": "a.png,b.png"}, "must be an address"),
        ({"image": "https://[e.org/a.png,https://e.org/b.png"}, "is not an address"),
        ({"openmodeldb": "4x-Model.json"}, "must be a file like 1x-My-Model.json"),
        ({"openmodeldb": "1x-My_Model.json"}, "must be a file like 1x-My-Model.json"),
        ({"openmodeldb": "models/"}, "must be a file like 1x-My-Model.json"),
        ({"repo_id": "a/b"}, "--repo-id: is for the Hub"),
        ({"dry_run": True}, "--dry-run: is for the Hub"),
        ({"openmodeldb": None, "repo_id": "a/b"}, "--author: only with --openmodeldb"),
    ],
    ids=str,
)
def test_what_openmodeldb_would_refuse_is_one_line(
    publish: Callable[..., Any], changes: dict[str, object], words: str
) -> None:
    code, _, error, file = publish(**changes)
    assert (code, error.count("\n")) == (2, 1), error
    assert words in error
    assert not file.exists()


def test_links_of_discord_are_refused(publish: Callable[..., Any], exported: Path) -> None:
    _, _, error, _ = publish(resource=f"{exported}=https://cdn.discordapp.com/w")
    assert "cdn.discordapp.com" in error


def test_all_runs_of_the_last_stage_count() -> None:
    def run(stage: str, steps: int, data: str, start: TrainingRecord | None) -> TrainingRecord:
        recipe = {"stage": stage, "steps": steps, "batch": steps, "crop": 64}
        weights = None if start is None else StartingWeights(sha256="", training=start)
        return TrainingRecord(steps=steps, recipe=recipe, data_sets=(data,), start=weights)

    before = run("finetune", 40, "a", run("pretrain", 1000, "c", None))
    entry = openmodeldb._training(run("finetune", 6, "a", run("finetune", 2, "b", before)))
    assert (entry["trainingIterations"], entry["trainingBatchSize"], entry["dataset"]) == (48, 6, "a, b")


def test_publishing_needs_a_place(tiny_weights: Path, dynet_command: Command) -> None:
    code, _, error = dynet_command("publish", tiny_weights, "--licence", "mit")
    assert (code, error.count("\n")) == (2, 1)
    assert "--repo-id" in error
    assert "--openmodeldb" in error


def test_weights_are_never_downloaded(publish: Callable[..., Any], exported: Path, dynet_command: Command) -> None:
    _, _, _, out = publish(licence="other")
    options = ["--openmodeldb", out, "--licence", "mit", "--author", "a", "--tag", "photo", "--description", "x"]
    code, _, error = dynet_command("publish", "user/name", *options, "--resource", f"{exported}=https://e.org/w")
    assert (code, error.count("\n")) == (2, 1)
    assert "user/name: no such file or folder" in error


@pytest.mark.parametrize(("text", "official"), [("mit", "MIT"), ("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0")])
def test_licences_get_their_official_spelling(text: str, official: str) -> None:
    assert spdx_licence(text) == official
    with pytest.raises(UsageError):
        spdx_licence(f"{text}-x")
