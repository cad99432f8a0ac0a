"""Degradations, one a file: pure functions of image, generator and parameters."""
