"""Builds image-restoration data sets: ingest, measure, decide, write."""

from importlib import metadata

from million_ird.build import build
from million_ird.recipe import Recipe, load

__version__ = metadata.version("million-ird")
__all__ = ["Recipe", "build", "load"]
