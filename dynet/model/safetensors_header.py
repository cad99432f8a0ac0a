"""The header of a safetensors file, checked before any library parses it: its size, its form, and where tensors are.

A file begins with the size of its header, 8 bytes, and the header, JSON. Both come from whoever made the file.
"""

import json
import struct
from pathlib import Path
from typing import Any

from dynet.errors import WeightsError, reason_of

MAX_HEADER = 16 * 10**6
"""Bytes. A header takes some 100 bytes a tensor; that of a DyNet has 20 kB."""
_METADATA = "__metadata__"


def check_header(path: Path) -> None:
    """Check the header of a safetensors file; no more than MAX_HEADER bytes are read.

    Raises:
        WeightsError: It is too large, is not JSON of the right form, has a key twice, or names bytes outside the file.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else None
        if length is None or length > size - 8:
            raise WeightsError(f"{path} is not a safetensors file, or is truncated: its header does not fit into it")
        if length > MAX_HEADER:
            raise WeightsError(f"{path}: its header of {length} bytes is larger than {MAX_HEADER}")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_without_duplicates)
        if not isinstance(header, dict):
            raise ValueError("it is no object")
        _check_metadata(header.pop(_METADATA, {}))
        for name, tensor in header.items():
            _check_offsets(name, tensor, size - 8 - length)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not a safetensors file, or is truncated: {reason_of(error)}") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not texts")


def _check_offsets(name: str, tensor: Any, size: int) -> None:
    offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
    is_pair = isinstance(offsets, list) and len(offsets) == 2 and all(type(value) is int for value in offsets)
    if offsets is None or not is_pair:
        raise ValueError(f"tensor {name[:100]} has no offsets")
    begin, end = offsets
    if not 0 <= begin <= end <= size:
        raise ValueError(f"tensor {name[:100]} is outside the file")
