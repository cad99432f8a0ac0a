"""Metadata out of image files, one format a file, without touching coded pixels."""
