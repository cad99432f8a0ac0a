"""Benchmarks as folders: pairs in any known layout, or clean images that an evaluation degrades."""

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
            ImageError: A file cannot be read or degraded, the images of a pair differ in size or in what their samples
                mean, or the protocol leaves less of the image than SSIM's window. The message names the file.
        """
        decoded = read_image(image.clean)
        clean = decoded.as_uint8_rgb()
        degraded = self._degraded(image, clean, decoded.float_range, protocol)
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

    def _degraded(
        self, image: BenchmarkImage, clean: Image8, black_and_white: tuple[float, float], protocol: EvaluationProtocol
    ) -> Image8:
        if self.degradation is None:
            assert image.degraded is not None
            degraded = read_image(image.degraded)
            if degraded.float_range != black_and_white:
                # Each by its own range would be brighter or darker than the other, and its PSNR wrong.
                raise ImageError(
                    f"{image.degraded} has floating-point samples whose black and white are "
                    f"{_range(degraded.float_range)}, but those of its clean image {image.clean} are "
                    f"{_range(black_and_white)}; clip both to 0 and 1"
                )
            return degraded.as_uint8_rgb()
        try:
            return self.degradation.apply(clean, image.clean.stem, protocol)
        except ImageError as error:
            raise ImageError(f"{image.clean}: {error}") from error


def _range(black_and_white: tuple[float, float]) -> str:
    return " and ".join(f"{value:g}" for value in black_and_white)


def _size(image: Image8) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"
