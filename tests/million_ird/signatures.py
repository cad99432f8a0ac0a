"""Signatures of pictures that nobody ever saw."""

import hashlib

import numpy as np

from million_ird.measures.signature import FRAME, LOW


def frame_of(phash: str) -> bytes:
    """A frame with this hash; frames whose hashes begin with the same 32 bits are alike, others are not."""
    packed = np.zeros((), FRAME)
    seed = hashlib.sha256(phash.encode()).digest()
    packed["hashes"] = np.frombuffer(seed * 2, ">u8")
    packed["hashes"][0] = int(phash, 16)
    look = np.random.default_rng(int(phash[:8], 16))
    packed["low"] = look.integers(-127, 128, (LOW, LOW))
    return packed.tobytes()
