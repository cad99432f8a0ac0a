"""The formats of tables, by the suffixes of their file names."""

from types import MappingProxyType

TABLE_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
COMPRESSIONS = MappingProxyType({".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"})
_OBJECTS = frozenset({".jsonl", ".ndjson", ".json"})


def is_table(root: str) -> bool:
    """Return whether a file name is that of a table."""
    return format_of(root) in TABLE_SUFFIXES


def has_own_columns(name: str) -> bool:
    """Return whether each row of a table says itself which columns it has."""
    return format_of(name) in _OBJECTS


def format_of(name: str) -> str:
    """Return the suffix that tells a table's format, without that of its compression; empty if it is not known."""
    stem = name.lower()
    for compression in COMPRESSIONS:
        stem = stem.removesuffix(compression)
    return next((suffix for suffix in (*TABLE_SUFFIXES, ".json") if stem.endswith(suffix)), "")
