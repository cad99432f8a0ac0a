"""Benchmarks as folders: pairs in any known layout, or clean images that an evaluation degrades."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from dynet.data.layouts import find_task_folders
from dynet.errors import DataError, ImageError, UsageError
from dynet.evaluation.added_degradations import AddedNoise, CleanInput
from dynet.evaluation.metrics import SSIM_WINDOW
from dynet.evaluation.protocol import EvaluationProtocol
from dynet.inference.images import read_image

Image8 = npt.NDArray[np.uint8]
TaskKey: TypeAlias = tuple[str, CleanInput | None]
PUBLISHED_SIGMAS = (15.0, 25.0, 50.0)


@dataclass(frozen=True, slots=True)
class BenchmarkImage:
    """One image of a benchmark: a pair, or a clean image that an evaluation degrades."""

    name: str
    """Path in the folder of the benchmark."""
    clean: Path
    degraded: Path | None


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """A benchmark: a name, a folder and the images that were found in it."""

    name: str
    folder: Path
    images: tuple[BenchmarkImage, ...]

    @property
    def paired(self) -> bool:
        """Whether its images are pairs; an evaluation degrades the others."""
        return self.images[0].degraded is not None

    def clean_side(self) -> "BenchmarkSet":
        """Return the same benchmark with only the clean images, each once, sorted by name."""
        files = {image.clean.relative_to(self.folder).as_posix(): image.clean for image in self.images}
        images = tuple(BenchmarkImage(name, file, None) for name, file in sorted(files.items()))
        return BenchmarkSet(self.name, self.folder, images) if self.paired else self

    @classmethod
    def parse(cls, argument: str) -> Self:
        """Read a `--benchmark` argument, NAME=DIR, and search the folder.

        Raises:
            UsageError: The argument has another form.
            DataError: The folder does not exist or is not a benchmark.
        """
        name, separator, path = argument.partition("=")
        folder = Path(path)
        if not separator or not name.strip() or not path:
            raise UsageError(f"--benchmark {argument}: must be NAME=DIR, as in CBSD68=sets/CBSD68")
        if not name.isprintable() or "|" in name:
            raise UsageError(f"--benchmark {name!r}: a name must be printable and have no |, since tables show it")
        if not folder.is_dir():
            raise DataError(f"--benchmark {argument}: no such folder")
        return cls(name.strip(), folder, _find_benchmark_images(folder))


def _find_benchmark_images(folder: Path) -> tuple[BenchmarkImage, ...]:
    task_folders = find_task_folders(folder, "test")
    if len(task_folders) > 1:
        names = ", ".join(str(task_folder.folder) for task_folder in task_folders)
        raise DataError(f"{folder} holds several datasets; a benchmark is one of them: {names}")
    pairs, clean_files = task_folders[0].pairs, task_folders[0].images
    images = [BenchmarkImage(pair.degraded.relative_to(folder).as_posix(), pair.clean, pair.degraded) for pair in pairs]
    images += [BenchmarkImage(file.relative_to(folder).as_posix(), file, None) for file in clean_files]
    if not images:
        raise DataError(f"{folder} holds no images")
    return tuple(images)


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """A benchmark, with one degradation if it has clean images: what one row of a table is about."""

    benchmark: BenchmarkSet
    degradation: CleanInput | None
    """What is done to clean images; None for the degraded images of pairs."""

    @property
    def label(self) -> str:
        """The name in tables."""
        return self.benchmark.name if self.degradation is None else f"{self.benchmark.name} {self.degradation.label}"

    @property
    def key(self) -> TaskKey:
        """What distinguishes it from the other tasks of an evaluation."""
        return self.benchmark.name, self.degradation

    @property
    def sigma(self) -> float | None:
        """The standard deviation of added noise in levels; None for other tasks."""
        return self.degradation.sigma if isinstance(self.degradation, AddedNoise) else None

    def read(self, image: BenchmarkImage, protocol: EvaluationProtocol) -> tuple[Image8, Image8]:
        """Return the degraded and the clean image, both (H, W, 3) of uint8, prepared by the protocol.

        Raises:
            ImageError: A file cannot be read or degraded, the images of a pair differ in size, or the protocol leaves
                less of the image than SSIM's window. The message names the file.
        """
        clean = read_rgb8(image.clean)
        degraded = self._degraded(image, clean, protocol)
        if degraded.shape != clean.shape:
            raise ImageError(
                f"{image.degraded} is {_size(degraded)} pixels, but its clean image {image.clean} {_size(clean)}"
            )
        target = protocol.crop_centre(clean)
        if min(target.shape[:2]) < SSIM_WINDOW:
            raise ImageError(
                f"{image.clean} is {_size(clean)} pixels: too small for protocol {protocol.name}, which leaves "
                f"{_size(target)} of it, and SSIM needs {SSIM_WINDOW}"
            )
        return protocol.crop_centre(degraded), target

    def _degraded(self, image: BenchmarkImage, clean: Image8, protocol: EvaluationProtocol) -> Image8:
        if self.degradation is None:
            assert image.degraded is not None
            return read_rgb8(image.degraded)
        try:
            return self.degradation.apply(clean, image.clean.stem, protocol)
        except ImageError as error:
            raise ImageError(f"{image.clean}: {error}") from error


def read_rgb8(path: Path) -> Image8:
    """Read an image as RGB (H, W, 3) of uint8, upright: alpha is dropped, grey repeated, 16 bits rounded to 8."""
    return read_image(path).as_uint8_rgb()


def _size(image: Image8) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def plan_tasks(benchmarks: Sequence[BenchmarkSet], sigmas: Sequence[float] | None) -> tuple[BenchmarkTask, ...]:
    """Return the rows of the table: each benchmark of pairs, and each one of clean images at every sigma.

    Args:
        benchmarks: The benchmarks, in the order of the table.
        sigmas: Standard deviations of the noise in levels of 255; None for 15, 25 and 50.

    Raises:
        UsageError: Two benchmarks have the same name, or no benchmark uses the sigmas.
    """
    check_names(benchmarks)
    if sigmas is not None and all(benchmark.paired for benchmark in benchmarks):
        raise UsageError("--sigma: every benchmark has pairs, and noise is added to clean images only")
    tasks: list[BenchmarkTask] = []
    for benchmark in benchmarks:
        noises = [AddedNoise(sigma) for sigma in (PUBLISHED_SIGMAS if sigmas is None else sigmas)]
        tasks += [BenchmarkTask(benchmark, added) for added in ([None] if benchmark.paired else noises)]
    return tuple(tasks)


def check_names(benchmarks: Sequence[BenchmarkSet]) -> None:
    """Check that no two benchmarks have the same name, since tables and files identify them by it.

    Raises:
        UsageError: Two of them have.
    """
    names = [benchmark.name for benchmark in benchmarks]
    if len(set(names)) < len(names):
        raise UsageError(f"--benchmark: two have the name {max(names, key=names.count)}")


def parse_sigmas(argument: str) -> tuple[float, ...]:
    """Read a `--sigma` argument such as 15,25,50.

    Raises:
        UsageError: A sigma is not a number above 0 and up to 255, or is given twice.
    """
    try:
        sigmas = tuple(float(part) for part in argument.split(","))
    except ValueError:
        raise UsageError(f"--sigma {argument}: must be numbers separated by commas, as in 15,25,50") from None
    if not all(0 < sigma <= 255 for sigma in sigmas):
        raise UsageError(f"--sigma {argument}: must be above 0 and at most 255 levels")
    if len(set(sigmas)) < len(sigmas):
        raise UsageError(f"--sigma {argument}: a sigma is given twice")
    return sigmas
