"""WebDataset samples: which members of an archive may be images, and what the JSON sidecars among them say."""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from million_ird.candidate import Failed
from million_ird.errors import ReadError
from million_ird.sources.cells import bad_row, read_name, read_number, read_text
from million_ird.sources.files import SIDECAR_SUFFIXES

MAX_SIDECAR_BYTES = 1 << 20
TOO_LARGE = Failed("too_large", f"more than {MAX_SIDECAR_BYTES:,} bytes")
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


def parse_sidecar(content: object, name: str) -> Sidecar | ReadError:
    """Return the fields of a sidecar, or why its images fail as rows; sound JSON that is no object has no fields.

    Args:
        content: Its bytes, or the failure to read them.
        name: The member's name.
    """
    if not isinstance(content, bytes):
        detail = content.detail if isinstance(content, Failed) else "cannot be read"
        return bad_row(f"its sidecar {name}: {detail}")
    try:
        fields = json.loads(content)
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        return bad_row(f"its sidecar {name}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8")
    except json.JSONDecodeError as error:
        return bad_row(f"its sidecar {name}, line {error.lineno}: is not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:
        return bad_row(f"its sidecar {name}: is not JSON: {type(error).__name__}")
    return fields if isinstance(fields, dict) else {}


def text_of(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these fields that is neither missing nor empty, as text; several parts with commas between.

    Raises:
        ReadError: `bad_row`: it is no text.
    """
    name = next((name for name in names if fields.get(name) not in (None, "")), None)
    return None if name is None else read_name(fields[name], name)


def passed_fields(
    fields: Mapping[str, Any], columns: Sequence[str], texts: Sequence[str]
) -> tuple[tuple[str, float | str | None], ...]:
    """Return the fields that the recipe passes through; None where one is missing or empty.

    Raises:
        ReadError: `bad_row`: a text or a number cannot be read.
    """
    numbers = [(name, read_number(fields.get(name), name)) for name in columns]
    return (*numbers, *((name, read_text(fields.get(name), name) or None) for name in texts))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
