"""Compiles the inner loops, once for all processes where the machine code can be kept on disk."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

log = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(*fastmath: str) -> Callable[[_F], _F]:
    """`numba.njit`, free of the interpreter's lock, with the machine code kept on disk where a folder can be written.

    Numba tries beside the source, then the user's cache folder; where neither can be written (a read-only
    container without a home) it refuses to cache, and then each process compiles for itself, in some 8 s. No flag
    of `fastmath` is on by itself: without "contract", for one, no product is fused with the sum that takes it. A
    division by zero gives what NumPy gives.

    A compiled function may call others of its own file only: numba knows that its machine code is out of date by
    the file that it stands in.
    """

    def make(function: _F) -> _F:
        flags = set(fastmath) or False
        try:
            return cast(_F, numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath=flags))
        except RuntimeError:
            log.debug("no folder for numba's cache; %s is compiled in each process", function.__name__)
            return cast(_F, numba.njit(function, nogil=True, error_model="numpy", fastmath=flags))

    return make
