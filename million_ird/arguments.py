"""The arguments of the public functions: each is checked before any work begins, and a wrong one is named.

Every check takes the argument's name and its value, and returns the value in the form that the package works with. The
command line has its own parser; a caller from Python may pass anything.
"""

import os
import re
from collections.abc import Callable, Iterable
from functools import wraps
from numbers import Integral
from typing import ParamSpec, TypeVar

from million_ird.errors import UsageError

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
_LONGEST = 80


def as_path(name: str, value: object) -> str:
    """Return a path or an fsspec URL as text; a `Path` and a string mean the same.

    Raises:
        UsageError: It is neither, or empty, or has a null character, which no file system accepts.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{name}: {shown(value)} is not a path")
    return text


def as_text(name: str, value: object) -> str:
    """Return a string that is not empty.

    Raises:
        UsageError: It is not a string, or is empty or blank.
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name}: {shown(value)} is not a string, or is empty")
    return value


def as_texts(name: str, value: object) -> list[str]:
    """Return the strings of an iterable, or those that commas separate in one string, as a list.

    Raises:
        UsageError: It is neither, or names nothing.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, bytes | bytearray) or not isinstance(value, Iterable):
        raise UsageError(f"{name}: {shown(value)} is neither a string nor a list of strings")
    texts = [as_text(name, one) for one in value]
    if not texts:
        raise UsageError(f"{name}: is empty")
    return texts


def as_paths(name: str, value: object) -> list[str]:
    """Return one path, or an iterable of paths, as a list.

    Raises:
        UsageError: It is neither, or names nothing.
    """
    named = [value] if isinstance(value, str | os.PathLike) else value
    if isinstance(named, bytes | bytearray) or not isinstance(named, Iterable):
        raise UsageError(f"{name}: {shown(value)} is neither a path nor a list of paths")
    paths = [as_path(name, one) for one in named]
    if not paths:
        raise UsageError(f"{name}: is empty")
    return paths


def as_count(name: str, value: object, *, at_least: int) -> int:
    """Return a whole number; `True` is not one.

    Raises:
        UsageError: It is not one, or smaller than `at_least`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:  # numpy's are Integral, too
        raise UsageError(f"{name}: {shown(value)} is not a whole number of at least {at_least}")
    return int(value)


def as_flag(name: str, value: object) -> bool:
    """Return `True` or `False`; strings and numbers are neither.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(value, bool):
        raise UsageError(f"{name}: {shown(value)} is neither True nor False")
    return value


def shown(value: object) -> str:
    """Return a value as a message may show it: on one line; of long values, such as arrays, only the type."""
    text = repr(value)
    return text if len(text) <= _LONGEST and text.isprintable() else f"a {type(value).__name__}"


def naming_arguments(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Return the function with errors that name its arguments as Python does: `repo_id` instead of `--repo-id`."""

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        try:
            return function(*args, **kwargs)
        except UsageError as error:
            message = _OPTION.sub(lambda option: option[1].replace("-", "_"), str(error))
            if message == str(error):
                raise
            raise type(error)(message) from error

    return call
