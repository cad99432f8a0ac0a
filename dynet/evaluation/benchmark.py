"""Benchmarks as folders: pairs in any layout that is known, or clean pictures on which noise is put."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from dynet.data.layouts import find_parts
from dynet.errors import DataError, PictureError, UsageError
from dynet.evaluation.metrics import SSIM_WINDOW
from dynet.evaluation.protocol import EvaluationProtocol
from dynet.inference.images import read_picture

Image8 = npt.NDArray[np.uint8]
PUBLISHED_SIGMAS = (15.0, 25.0, 50.0)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """One picture of a benchmark: a pair, or a clean one to put noise on; `name` is its path in the folder."""

    name: str
    clean: Path
    degraded: Path | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named folder, searched."""

    name: str
    folder: Path
    subjects: tuple[Subject, ...]

    @property
    def paired(self) -> bool:
        """False where noise is to be put on."""
        return self.subjects[0].degraded is not None

    @classmethod
    def parse(cls, argument: str) -> Self:
        """NAME=DIR. Raises UsageError for another form, DataError for a folder that is no benchmark."""
        name, separator, place = argument.partition("=")
        folder = Path(place)
        if not separator or not name.strip() or not place:
            raise UsageError(f"--benchmark {argument}: must be NAME=DIR, as in CBSD68=sets/CBSD68")
        if not name.isprintable() or "|" in name:
            raise UsageError(f"--benchmark {name!r}: a name is printable and without |, for it stands in a table")
        if not folder.is_dir():
            raise DataError(f"--benchmark {argument}: no such folder")
        return cls(name.strip(), folder, _find_subjects(folder))


def _find_subjects(folder: Path) -> tuple[Subject, ...]:
    parts = find_parts(folder, "test")
    if len(parts) > 1:
        found = ", ".join(str(part.folder) for part in parts)
        raise DataError(f"{folder} holds several sets, and a benchmark is one of them: {found}")
    pairs, pictures = parts[0].pairs, parts[0].pictures
    subjects = [Subject(pair.degraded.relative_to(folder).as_posix(), pair.clean, pair.degraded) for pair in pairs]
    subjects += [Subject(file.relative_to(folder).as_posix(), file, None) for file in pictures]
    if not subjects:
        raise DataError(f"{folder} holds no pictures")
    return tuple(subjects)


@dataclass(frozen=True, slots=True)
class Task:
    """What one row of a table is about: a benchmark, at one sigma if it is of clean pictures."""

    benchmark: Benchmark
    sigma: float | None

    @property
    def label(self) -> str:
        """As it stands in a table."""
        return self.benchmark.name if self.sigma is None else f"{self.benchmark.name} σ{self.sigma:g}"

    def read(self, subject: Subject, protocol: EvaluationProtocol) -> tuple[Image8, Image8]:
        """The degraded and the clean picture, (H, W, 3) both, as the protocol puts them to a network.

        Raises PictureError, naming the file, for one that cannot be read, a pair of two sizes, and a picture of which
        the protocol leaves less than SSIM's window.
        """
        clean = read_levels(subject.clean)
        if subject.degraded is not None:
            degraded = read_levels(subject.degraded)
        else:
            assert self.sigma is not None
            degraded = protocol.noisy(clean, subject.clean.stem, self.sigma)
        if degraded.shape != clean.shape:
            raise PictureError(
                f"{subject.degraded} is {_size(degraded)} pixels, but its clean picture {subject.clean} {_size(clean)}"
            )
        cut = protocol.cropped(clean)
        if min(cut.shape[:2]) < SSIM_WINDOW:
            raise PictureError(
                f"{subject.clean} is {_size(clean)} pixels: too small for protocol {protocol.name}, which leaves "
                f"{_size(cut)} of it, and SSIM needs {SSIM_WINDOW}"
            )
        return protocol.cropped(degraded), cut


def read_levels(path: Path) -> Image8:
    """A picture as 8-bit RGB (H, W, 3), upright: alpha is left out, grey repeated, 16 bits rounded to 8."""
    return read_picture(path).as_levels()


def _size(image: Image8) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def plan_tasks(benchmarks: Sequence[Benchmark], sigmas: Sequence[float] | None) -> tuple[Task, ...]:
    """The rows of the table: each benchmark of pairs, and each of clean pictures at every sigma.

    Raises UsageError for two benchmarks of one name, and for sigmas that nothing uses.
    """
    names = [benchmark.name for benchmark in benchmarks]
    if len(set(names)) < len(names):
        raise UsageError(f"--benchmark: two are named {max(names, key=names.count)}")
    if sigmas is not None and all(benchmark.paired for benchmark in benchmarks):
        raise UsageError("--sigma: every benchmark is of pairs, and noise is put on clean pictures only")
    tasks: list[Task] = []
    for benchmark in benchmarks:
        levels = [None] if benchmark.paired else (PUBLISHED_SIGMAS if sigmas is None else sigmas)
        tasks += [Task(benchmark, sigma) for sigma in levels]
    return tuple(tasks)


def parse_sigmas(argument: str) -> tuple[float, ...]:
    """15,25,50 to numbers; raises UsageError for what is no number above 0 and up to 255, or there twice."""
    try:
        sigmas = tuple(float(part) for part in argument.split(","))
    except ValueError:
        raise UsageError(f"--sigma {argument}: must be numbers with commas between, as in 15,25,50") from None
    if not all(0 < sigma <= 255 for sigma in sigmas):
        raise UsageError(f"--sigma {argument}: noise is from above 0 to 255 levels")
    if len(set(sigmas)) < len(sigmas):
        raise UsageError(f"--sigma {argument}: a sigma is named twice")
    return sigmas
