"""The only place that writes JSON for others: always valid JSON, in which no number is infinite or NaN.

RFC 8259 has no such numbers; what Python's `json` writes for them, `Infinity` and `NaN`, is refused by most readers. A
table of a user may hold them, and so may every column that is passed through. In JSON they are `null`.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any


def to_json(
    value: object,
    *,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
    ensure_ascii: bool = False,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """Return a value as JSON; the options are those of `json.dumps`.

    Raises:
        TypeError, ValueError, RecursionError: JSON cannot hold it.
    """

    def written(one: object) -> str:
        return json.dumps(
            one,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
            ensure_ascii=ensure_ascii,
            default=default,
            allow_nan=False,
        )

    try:
        return written(value)
    except ValueError:  # rarely: what is large is not copied otherwise
        return written(json_values(value))


def json_values(value: Any) -> Any:
    """Return a value with `None` for each number in it that is infinite or NaN, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): json_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(one) for one in value]
    return value


def has_non_finite(value: Any) -> bool:
    """Return whether a number is infinite or NaN in a value, at any depth."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(has_non_finite, (*value.keys(), *value.values())))
    return isinstance(value, list | tuple) and any(map(has_non_finite, value))


def _key(key: Any) -> Any:
    """Return the key of an object, which is text in JSON: `"nan"` and `"inf"` are valid there."""
    return str(key) if isinstance(key, float) and not math.isfinite(key) else key
