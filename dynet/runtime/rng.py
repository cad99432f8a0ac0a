"""Random numbers that are a function of names, never of history.

Every random choice of a run comes from `generator(seed, stream, *counters)`. Whoever asks for the same name gets
the same numbers: another process, another worker, or a run that was killed and started again.
"""

import hashlib

import numpy as np


def _digest(seed: int, stream: str, counters: tuple[int, ...]) -> bytes:
    name = "/".join([str(seed), stream, *map(str, counters)])
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """The generator of one named choice: Philox keyed by a hash of (seed, stream, counters)."""
    key = int.from_bytes(_digest(seed, stream, counters), "little")
    return np.random.Generator(np.random.Philox(key=key))


def integer_seed(seed: int, stream: str, *counters: int) -> int:
    """A 63-bit seed of the same kind, for libraries with a generator of their own (torch's initial weights)."""
    return int.from_bytes(_digest(seed, stream, counters)[:8], "little") >> 1
