"""Degradations, one per file: pure functions of an image, a generator and parameters."""
