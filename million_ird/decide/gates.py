"""Gates on whole columns of a ledger."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.config.gates import Gate


def failures(gate: Gate, column: pa.ChunkedArray) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Judge a whole column by one gate, as `Gate.judge` judges one value.

    Returns:
        Which rows the gate drops, (N,) bool, and the limit that each of them broke, (N,) float64, NaN elsewhere.
    """
    values = as_floats(column)
    missing = np.isnan(values)
    low = values < gate.min if gate.min is not None else np.zeros(len(values), bool)
    high = values > gate.max if gate.max is not None else np.zeros(len(values), bool)
    limits = np.full(len(values), np.nan)
    limits[low] = gate.min
    limits[high] = gate.max
    dropped = low | high
    return (dropped | missing if gate.required else dropped), limits


def as_floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a numeric column as (N,) float64, with NaN for null."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False))
