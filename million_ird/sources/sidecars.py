"""Which members of an archive are pictures, and what the files beside them tell: WebDataset's samples."""

import json
import logging
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from million_ird.sources.files import SIDECAR_SUFFIXES

log = logging.getLogger(__name__)

LONGEST_SIDECAR = 1 << 20
Sidecar: TypeAlias = Mapping[str, Any]
_NO_PICTURES = SIDECAR_SUFFIXES | {".cls", ".cls2", ".caption", ".pyd", ".pth", ".msgpack"}


def may_be_image(name: str) -> bool:
    """Whether a member may be one: it is not hidden, and no side-car by its name."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") and part not in {".", ".."} for part in parts) or "__MACOSX" in parts
    return not hidden and _suffix(name) not in _NO_PICTURES


def is_sidecar(name: str) -> bool:
    """Whether a member tells of the others of its sample."""
    return _suffix(name) == ".json"


def sample_name(name: str) -> str:
    """What the members of a sample have in common: the name up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return name if last.startswith(".") else f"{folder}{slash}{last.split('.', 1)[0]}"


def parse_sidecar(content: object) -> Sidecar:
    """A side-car's fields; none, where it is no JSON object."""
    try:
        found = json.loads(content) if isinstance(content, bytes) else None
    except (ValueError, RecursionError) as error:
        log.debug("a side-car is no JSON: %s", error)
        return {}
    return found if isinstance(found, dict) else {}


def text_of(sidecar: Sidecar, *names: str) -> str | None:
    """The first of these fields that says something, as text."""
    return next((str(sidecar[name]) for name in names if sidecar.get(name) not in (None, "")), None)


def number_of(sidecar: Sidecar, name: str) -> float | None:
    """A field as a number; None where it is none."""
    value = sidecar.get(name)
    try:
        return float(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
