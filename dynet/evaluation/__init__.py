"""Evaluation of a network on benchmarks: quality, time and memory."""
