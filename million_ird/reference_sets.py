"""Evaluation sets as a user names them; their fingerprints are those of `million_ird.fingerprints`."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from million_ird.errors import UsageError
from million_ird.known_benchmarks import known_benchmarks
from million_ird.runtime.storage import Folder

FOLDER = "benchmarks"
"""Folder, in a build, of the fingerprints of excluded evaluation sets; it is published with the dataset."""
REMOVED = "removed.parquet"
"""File, in a build, of the fingerprints, without frames, of removed images."""


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """An evaluation set as the user names it: `NAME=PATH`, or a known name."""

    name: str
    path: str
    """A folder of images, a fingerprint file, or a build, of which the kept images are used."""

    @classmethod
    def parse(cls, text: str, named_by: str = "--exclude-benchmark") -> "tuple[ReferenceSet, ...]":
        """Parse `NAME=PATH`, or names of known test sets with commas, or `all`.

        Args:
            text: What the user wrote.
            named_by: Option or recipe key that an error message names.

        Raises:
            UsageError: The name or the path is missing, the name is not a valid file name, or no known test set.
        """
        name, separator, path = text.partition("=")
        if not separator:
            return tuple(cls(known.name, known.path) for known in known_benchmarks(text, named_by))
        if not (name.strip() and path.strip()):
            raise UsageError(f"{named_by} {text}: must have the form NAME=PATH")
        if "/" in name or name.strip().startswith(".") or not name.isprintable():
            raise UsageError(f"{named_by} {text}: {name!r} is not a valid name")
        return (cls(name.strip(), path.strip()),)


def parse_references(texts: Iterable[str], named_by: str = "--exclude-benchmark") -> tuple[ReferenceSet, ...]:
    """Return the evaluation sets of several texts, each `NAME=PATH` or names of known sets.

    Raises:
        UsageError: As `ReferenceSet.parse`.
    """
    return tuple(found for text in texts for found in ReferenceSet.parse(text, named_by))


def reference_files(out: Folder) -> list[str]:
    """Return the files that `load_reference_fingerprints` reads."""
    return [*(f"{FOLDER}/{name}" for name in out.names(FOLDER)), *([REMOVED] if out.exists(REMOVED) else [])]


def reference_digests(out: Folder) -> dict[str, str]:
    """Return digests of what candidates are compared with, by file: what the verdicts depend on besides the recipe."""
    return {name: hashlib.blake2b(out.read(name), digest_size=8).hexdigest() for name in reference_files(out)}
