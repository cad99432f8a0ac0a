"""Duplicates: candidate pairs from hashes and descriptors, verified, and grouped."""
