"""Signatures of imaginary images."""

import hashlib

import numpy as np

from million_ird.measures.signature import FRAME, FREQUENCIES


def frame_of(phash: str) -> bytes:
    """Return a frame with this pHash; frames correlate only if their hashes begin with the same 32 bits."""
    packed = np.zeros((), FRAME)
    seed = hashlib.sha256(phash.encode()).digest()
    packed["hashes"] = np.frombuffer(seed * 2, ">u8")
    packed["hashes"][0] = int(phash, 16)
    look = np.random.default_rng(int(phash[:8], 16))
    packed["low"] = look.integers(-127, 128, (FREQUENCIES, FREQUENCIES))
    return packed.tobytes()
