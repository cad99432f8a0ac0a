"""Test sets of image restoration whose fingerprints come with the package, so that a bare name excludes them.

The files in `benchmarks/` hold no pixels: hashes, 16×16 frequencies and the `POINTS` first keypoints of each image, at
most 4 kB. `benchmarks/shorten_fingerprints.py` of the repository makes them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from million_ird.config.recipe import nearest
from million_ird.errors import UsageError

ALL = "all"
"""The name of all sets together."""
POINTS = 120
"""Keypoints of an image: these find as many crops of half of each side as 1,000 do (docs/leaks.md)."""


@dataclass(frozen=True, slots=True)
class KnownBenchmark:
    """A test set whose fingerprints are part of the package."""

    name: str
    images: int
    made_from: str

    @property
    def path(self) -> str:
        """The fingerprint file."""
        return str(Path(str(resources.files("million_ird"))) / "benchmarks" / f"{self.name}.parquet")


KNOWN = (
    KnownBenchmark("CBSD68", 68, "the colour images of BSD68, 481×321, JPEG as in BSDS500"),
    KnownBenchmark("BSD100", 100, "high-resolution files of SelfExSR, PNG"),
    KnownBenchmark("Kodak24", 24, "500×500 crops of FFDNet's test sets"),
    KnownBenchmark("McMaster", 18, "500×500 images of FFDNet's test sets"),
    KnownBenchmark("Urban100", 100, "high-resolution files of SelfExSR, PNG"),
    KnownBenchmark("Set5", 5, "high-resolution files of SelfExSR, PNG"),
    KnownBenchmark("Set12", 12, "grey images of DnCNN's test sets"),
    KnownBenchmark("Set14", 14, "high-resolution files of SelfExSR, PNG"),
    KnownBenchmark("LIVE1", 29, "colour images of DnCNN's test sets"),
    KnownBenchmark("Classic5", 5, "grey images of DnCNN's test sets"),
    KnownBenchmark("Rain100L", 100, "clean targets"),
)


def known_benchmarks(names: str, named_by: str) -> Iterable[KnownBenchmark]:
    """Return the sets of a list of names with commas, or all; capital letters do not matter.

    Args:
        names: For example `CBSD68`, `CBSD68,Urban100` or `all`.
        named_by: Option or recipe key that an error message names.

    Raises:
        UsageError: No set has such a name.
    """
    by_name = {known.name.lower(): known for known in KNOWN}
    found: dict[str, KnownBenchmark] = {}
    for name in map(str.strip, names.split(",")):
        if name.lower() == ALL:
            found |= by_name
        elif name.lower() in by_name:
            found[name.lower()] = by_name[name.lower()]
        else:
            hint = nearest(name, [known.name for known in KNOWN]) or "; million-ird benchmarks lists the known ones"
            raise UsageError(f"{named_by} {names}: {name!r} is neither a known test set nor NAME=PATH{hint}")
    return found.values()
