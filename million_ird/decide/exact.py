"""Exact duplicates: the same bytes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def first_of_same(ids: Sequence[str]) -> NDArray[np.int64]:
    """For each position, the first position that holds the same id: (n,) int64, its own where it is the first."""
    seen: dict[str, int] = {}
    return np.fromiter((seen.setdefault(name, at) for at, name in enumerate(ids)), np.int64, len(ids))
