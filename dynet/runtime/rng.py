"""Random numbers that depend on names, never on which numbers were drawn before.

Every random choice of a run comes from `generator(seed, stream, *counters)`. The same arguments give the same numbers
everywhere: in another process, in another worker, or in a run that was killed and started again.
"""

import hashlib

import numpy as np


def _digest(seed: int, stream: str, counters: tuple[int, ...]) -> bytes:
    name = "/".join([str(seed), stream, *map(str, counters)])
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """Return the generator of one named choice.

    Args:
        seed: The seed of the run.
        stream: What is drawn, such as "crop".
        counters: Which draw it is, such as the step and the position in the batch.

    Returns:
        A Philox generator; its key is a hash of all arguments.
    """
    key = int.from_bytes(_digest(seed, stream, counters), "little")
    return np.random.Generator(np.random.Philox(key=key))


def integer_seed(seed: int, stream: str, *counters: int) -> int:
    """Return a 63-bit seed made in the same way, for libraries with their own generator (torch's initial weights)."""
    return int.from_bytes(_digest(seed, stream, counters)[:8], "little") >> 1
