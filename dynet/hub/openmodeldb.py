"""`dynet publish --openmodeldb`: a model as OpenModelDB lists it, without any network access.

OpenModelDB (https://openmodeldb.info) is a repository on GitHub, OpenModelDB/open-model-database. Each model is a file
`data/models/<id>.json` of it, which a pull request adds. These are the rules of its `src/lib/schema.ts`,
`src/lib/schema-util.ts`, `src/lib/model-props.ts` and `src/lib/license.ts`, read in November 2026:

| field | rule |
|---|---|
| id, the file's name | `<scale>x-` and words of letters and digits joined by `-` |
| `name` | text |
| `author` | ids of `data/users.json`: lower-case words joined by `-`; one, or a list |
| `license` | SPDX identifiers, joined by OR; null for none |
| `tags` | at least one id of `data/tags.json` |
| `description` | Markdown, without white space around it |
| `date` | yyyy-mm-dd |
| `architecture` | an id of `data/architectures.json`; dynet is not in it yet, so the pull request adds it |
| `size` | a list of texts, or null |
| `scale`, `inputChannels`, `outputChannels` | whole numbers: 1, 3 and 3 |
| `resources` | at least one file, with the five fields below |
| `platform`, `type` | pytorch with pth or safetensors, or onnx with onnx |
| `size`, `sha256` | in bytes, and in hexadecimal |
| `urls` | at least one address, none of cdn.discordapp.com |
| `images` | a list of `{"type": "paired", "LR": URL, "SR": URL}` or of standalone ones, without thumbnails |
| `trainingIterations`, `trainingBatchSize`, `trainingHRSize` | optional whole numbers from 1 |
| `trainingOTF`, `dataset` | optional: whether degradations are made while training; a text |
"""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import urlsplit

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from dynet.errors import UsageError, WeightsError, reason_of
from dynet.model.training_record import TrainingRecord
from dynet.model.weight_parts import sha256_of
from dynet.model.weights import locate_weights, read_header
from dynet.runtime.atomic_files import create_output_folder, write_atomically

ARCHITECTURE = "dynet"
PLATFORMS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {".safetensors": ("pytorch", "safetensors"), ".pth": ("pytorch", "pth"), ".onnx": ("onnx", "onnx")}
)
"""Platform and type of a file by its suffix."""
_MODEL_ID = re.compile(r"1x-[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*")
_USER_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_TAG_ID = re.compile(r"(?:[a-z0-9]+:)?[a-z0-9]+(?:-[a-z0-9]+|[+])*")
_SINGLE_LICENCE = re.compile(r"(?!LicenseRef-)[a-zA-Z0-9.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenModelDBEntry:
    """What only the publisher knows of a model; the rest comes from its weights and files.

    Raises:
        UsageError: OpenModelDB would refuse a value; the message names the option.
    """

    authors: tuple[str, ...]
    """Ids of OpenModelDB's users."""
    licence: str
    """SPDX identifiers joined by OR, in any case."""
    tags: tuple[str, ...]
    files: Mapping[Path, tuple[str, ...]]
    """Each exported file with the addresses that it can be downloaded from."""
    date: str
    """The day of publication, yyyy-mm-dd."""
    description: str
    images: tuple[tuple[str, str], ...] = ()
    """Addresses of an input and of its restoration."""

    def __post_init__(self) -> None:
        for option, pattern, values in (("--author", _USER_ID, self.authors), ("--tag", _TAG_ID, self.tags)):
            if not values:
                raise UsageError(f"{option}: OpenModelDB needs at least one")
            for value in values:
                if not pattern.fullmatch(value):
                    raise UsageError(f"{option} {value}: an id of OpenModelDB is lower-case words joined by -")
        object.__setattr__(self, "licence", spdx_licence(self.licence))
        if not self.files:
            raise UsageError("--resource: OpenModelDB needs at least one file, as FILE=URL")
        for path in self.files:
            if path.suffix not in PLATFORMS:
                raise UsageError(f"--resource {path}: OpenModelDB takes files that end in {', '.join(PLATFORMS)}")
            if not path.is_file():
                raise UsageError(f"--resource {path}: no such file")
        for url in (url for urls in self.files.values() for url in urls):
            _check_url("--resource", url)
        for url in (url for pair in self.images for url in pair):
            _check_url("--image", url)
        _check_date(self.date)
        if not self.description.strip():
            raise UsageError("--description: OpenModelDB needs a text")

    @classmethod
    def parse(
        cls,
        authors: Sequence[str] | None,
        tags: Sequence[str] | None,
        resources: Sequence[str] | None,
        images: Sequence[str] | None,
        *,
        licence: str,
        description: str,
        date: str | None,
    ) -> Self:
        """Read the arguments of a command: resources as FILE=URL, images as URL,URL, and today for no date."""
        files: dict[Path, tuple[str, ...]] = {}
        for path, url in (_split("--resource", text, "=", "FILE=URL") for text in resources or ()):
            files[Path(path)] = *files.get(Path(path), ()), url  # a file may be in several places
        return cls(
            files=files,
            images=tuple(_split("--image", text, ",", "URL-OF-INPUT,URL-OF-RESULT") for text in images or ()),
            date=date or datetime.date.today().isoformat(),
            authors=tuple(authors or ()),
            tags=tuple(tags or ()),
            licence=licence,
            description=description,
        )


def write_entry(weights: Path, out: Path, entry: OpenModelDBEntry) -> None:
    """Write `out`, which is to be `data/models/<id>.json` of OpenModelDB's repository; an older one is replaced.

    Args:
        weights: A weights file or a folder that holds one; only the header is read.
        out: The file, whose name is the model's id.
        entry: What the weights do not say.

    Raises:
        UsageError: The name is no id of OpenModelDB, or the folder cannot be written to.
        WeightsError: The weights cannot be read.
    """
    if out.suffix != ".json" or not _MODEL_ID.fullmatch(out.stem):
        raise UsageError(f"--openmodeldb {out}: must be a file like 1x-My-Model.json: letters and digits joined by -")
    if not weights.exists():  # what else `locate_weights` takes is downloaded
        raise WeightsError(f"{weights}: no such file or folder")
    header = read_header(locate_weights(weights))
    authors = list(entry.authors)
    fields = {
        "name": out.stem.removeprefix("1x-"),
        "author": authors if len(authors) > 1 else authors[0],
        "license": entry.licence,
        "tags": list(entry.tags),
        "description": entry.description.strip(),
        "date": entry.date,
        "architecture": ARCHITECTURE,
        "size": [f"{header.architecture.dim}dim"],
        "scale": 1,
        "inputChannels": 3,
        "outputChannels": 3,
        "resources": [_resource(path, urls) for path, urls in entry.files.items()],
        **_training(header.training),
        "images": [{"type": "paired", "LR": before, "SR": after} for before, after in entry.images],
    }
    create_output_folder(out.parent)
    write_atomically(out, json.dumps(fields, indent=4, ensure_ascii=False) + "\n")


def spdx_licence(text: str) -> str:
    """Return SPDX identifiers joined by OR in their official spelling.

    Raises:
        UsageError: One is not on SPDX's list, or the expression has other words than OR.
    """
    try:
        canonical = str(canonicalize_license_expression(text))
    except InvalidLicenseExpression as error:
        raise UsageError(
            f"--licence {text}: is not an SPDX identifier such as CC-BY-4.0, see spdx.org/licenses"
        ) from error
    if not all(_SINGLE_LICENCE.fullmatch(part) for part in canonical.split(" OR ")):
        raise UsageError(f"--licence {text}: OpenModelDB takes SPDX identifiers, joined by OR if there are several")
    return canonical


def _resource(path: Path, urls: Sequence[str]) -> dict[str, Any]:
    platform, kind = PLATFORMS[path.suffix]
    size = path.stat().st_size
    return {"platform": platform, "type": kind, "size": size, "sha256": sha256_of(path), "urls": list(urls)}


def _training(record: TrainingRecord | None) -> dict[str, Any]:
    """Return what the weights' own header says about the last stage of their training, in however many runs."""
    if record is None:
        return {}
    recipe, runs = record.recipe, record.runs_of_stage()
    made = any(task.get("degradations") for task in recipe.get("tasks", {}).values())
    return {
        "trainingIterations": sum(run.steps for run in runs),
        "trainingBatchSize": int(recipe["batch"]),
        "trainingHRSize": int(recipe["crop"]),
        "trainingOTF": bool(made or recipe.get("corruption")),
        "dataset": ", ".join(dict.fromkeys(name for run in reversed(runs) for name in run.data_sets)),
    }


def _split(option: str, text: str, separator: str, form: str) -> tuple[str, str]:
    first, found, second = text.partition(separator)
    if not found or not first or not second:
        raise UsageError(f"{option} {text}: must be {form}")
    return first, second


def _check_url(option: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:  # such as brackets that enclose no address
        raise UsageError(f"{option} {url}: is not an address: {reason_of(error)}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{option} {url}: must be an address that begins with https://")
    if parts.hostname == "cdn.discordapp.com":
        raise UsageError(f"{option} {url}: OpenModelDB refuses cdn.discordapp.com, whose links expire")


def _check_date(text: str) -> None:
    try:
        written = datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        written = ""
    if written != text:
        raise UsageError(f"--date {text}: must be a day like 2026-11-28")
