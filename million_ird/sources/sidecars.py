"""WebDataset samples: which members of an archive may be images, and what the JSON sidecars among them say."""

import json
import logging
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from million_ird.sources.files import SIDECAR_SUFFIXES

log = logging.getLogger(__name__)

MAX_SIDECAR_BYTES = 1 << 20
Sidecar: TypeAlias = Mapping[str, Any]
_NOT_IMAGES = SIDECAR_SUFFIXES | {".cls", ".cls2", ".caption", ".pyd", ".pth", ".msgpack"}


def may_be_image(name: str) -> bool:
    """Return whether a member may be an image: by its name it is neither hidden nor a sidecar."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") and part not in {".", ".."} for part in parts) or "__MACOSX" in parts
    return not hidden and _suffix(name) not in _NOT_IMAGES


def is_sidecar(name: str) -> bool:
    """Return whether a member describes the images of its sample."""
    return _suffix(name) == ".json"


def sample_name(name: str) -> str:
    """Return what the members of a sample have in common: the name up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return name if last.startswith(".") else f"{folder}{slash}{last.split('.', 1)[0]}"


def parse_sidecar(content: object) -> Sidecar:
    """Return the fields of a sidecar; none if it is not a JSON object."""
    try:
        fields = json.loads(content) if isinstance(content, bytes) else None
    except (ValueError, RecursionError) as error:
        log.debug("a sidecar is not JSON: %s", error)
        return {}
    return fields if isinstance(fields, dict) else {}


def text_of(sidecar: Sidecar, *names: str) -> str | None:
    """Return the first of these fields that is neither missing nor empty, as text."""
    return next((str(sidecar[name]) for name in names if sidecar.get(name) not in (None, "")), None)


def number_of(sidecar: Sidecar, name: str) -> float | None:
    """Return a field as a number; None if it is not one."""
    value = sidecar.get(name)
    try:
        return float(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
