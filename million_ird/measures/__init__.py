"""Measures: one per file, from an encoded image to numbers, no verdicts."""
