"""Compile inner loops with numba, once for all processes where the machine code can be cached on disk."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

log = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(*fastmath: str) -> Callable[[_F], _F]:
    """Return a decorator: `numba.njit` without the interpreter's lock, with machine code cached on disk where possible.

    Numba tries a folder beside the source, then the user's cache folder; where neither can be written (a read-only
    container without a home folder) it refuses to cache, and each process compiles for itself, in about 8 s. No flag of
    `fastmath` is on by default: without "contract", for example, no product is fused with a sum. A division by zero
    gives what NumPy gives.

    A compiled function may call functions of its own file only: numba detects outdated machine code by the file that
    the function is in.
    """

    def make(function: _F) -> _F:
        flags = set(fastmath) or False
        try:
            return cast(_F, numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath=flags))
        except RuntimeError:
            log.debug("no folder for numba's cache; %s is compiled in each process", function.__name__)
            return cast(_F, numba.njit(function, nogil=True, error_model="numpy", fastmath=flags))

    return make
