"""An exact index of 64-bit hashes: all pairs within a Hamming distance."""
