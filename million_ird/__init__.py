"""Builds image-restoration data sets: ingest, measure, decide, write."""

from importlib import metadata

from million_ird.build import Options, build
from million_ird.recipe import Recipe, load
from million_ird.sources import SourceSpec

__version__ = metadata.version("million-ird")
__all__ = ["Options", "Recipe", "SourceSpec", "build", "load"]
