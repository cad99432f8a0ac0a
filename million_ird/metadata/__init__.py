"""Removal of private metadata from image files: one format per file, without changing coded pixels."""
