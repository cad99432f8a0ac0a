"""Restoring images: reading and writing files, bands and tiles."""
