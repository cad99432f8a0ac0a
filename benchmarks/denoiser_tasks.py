"""The tasks of `denoisers.py`: their inputs, what is measured of an output, and the table of one task."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from classical_denoisers import CLASSICAL

from dynet.degradations.jpeg import jpeg
from dynet.evaluation.benchmark import BenchmarkImage, BenchmarkSet, BenchmarkTask
from dynet.evaluation.harm import capped_psnr
from dynet.evaluation.metrics import ssim
from dynet.evaluation.protocol import STRICT, as_float, benchmark_noise
from dynet.inference.images import read_image

Float = npt.NDArray[np.float32]
Restore = Callable[[Float, float | None], tuple[Float, float | None]]
"""From an image (H, W, 3) in [0, 1] and its sigma, None if unknown, to the restoration and the sigma that was used."""

INPUT, REAL = "input", "real"
NOISES = {"noise15": 15.0, "noise25": 25.0, "noise50": 50.0, "weak5": 5.0, "float25": 25.0, "float50": 50.0}
QUALITIES = {f"jpeg{quality}": quality for quality in (10, 20, 30, 40)}
TASKS = ("noise15", "noise25", "noise50", "float25", "float50", "weak5", *QUALITIES, "clean", REAL)


@dataclass(frozen=True, slots=True)
class Picture:
    """A degraded picture and its clean one, both (H, W, 3) in [0, 1]."""

    degraded: Float
    clean: Float
    sigma: float | None
    """The noise level that the classical methods get, in levels of 255; with None they estimate it."""
    rounded: bool
    """Whether the output is rounded to 8 bits before it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One picture of one task, restored by one method."""

    task: str
    image: str
    method: str
    megapixels: float
    psnr: float
    ssim: float
    sigma: float | None = None
    """In levels of 255, given or estimated; None for the input and for ours, which are blind."""
    seconds: float | None = None
    core_seconds: float | None = None


def read_picture(task: str, benchmark: BenchmarkSet, image: BenchmarkImage, blind: bool) -> Picture:
    """Read one image and degrade it for a task."""
    if task == REAL:
        degraded, clean = BenchmarkTask(benchmark, None).read(image, STRICT)
        return Picture(as_float(degraded), as_float(clean), None, True)
    clean = read_image(image.clean).as_uint8_rgb()
    stem = image.clean.stem
    if task not in NOISES:
        levels = jpeg(clean, np.random.default_rng(0), quality=QUALITIES[task]) if task in QUALITIES else clean
        return Picture(as_float(levels), as_float(clean), None, True)
    sigma = NOISES[task]
    given_sigma = None if blind or task == "weak5" else sigma
    if task.startswith("float"):
        return Picture(as_float(clean + benchmark_noise(clean.shape, stem, sigma)), as_float(clean), given_sigma, False)
    return Picture(as_float(STRICT.add_noise(clean, stem, sigma)), as_float(clean), given_sigma, True)


def measure(task: str, image: str, method: str, restore: Restore | None, picture: Picture) -> Row:
    """Restore a picture, or take it as it is, and measure it."""
    wall, cores, sigma, restored = time.perf_counter(), time.process_time(), None, picture.degraded
    if restore is not None:
        restored, sigma = restore(picture.degraded, picture.sigma)
    wall, cores = time.perf_counter() - wall, time.process_time() - cores
    output = np.clip(restored, 0, 1)
    if picture.rounded:
        output = as_float(np.rint(output * 255))
    return Row(
        task=task,
        image=image,
        method=method,
        megapixels=output.shape[0] * output.shape[1] / 1e6,
        psnr=round(capped_psnr(output, picture.clean), 4),
        ssim=round(ssim(output, picture.clean), 6),
        sigma=None if sigma is None else round(sigma, 3),
        seconds=None if restore is None else round(wall, 4),
        core_seconds=None if restore is None else round(cores, 4),
    )


def spread(images: Sequence[BenchmarkImage], count: int | None) -> list[BenchmarkImage]:
    """Return `count` of the images, evenly spread and the first among them; all, if there are no more."""
    taken = len(images) if count is None else min(count, len(images))
    return [images[number * len(images) // taken] for number in range(taken)]


def summary(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the means of each method over the pictures of one task; times are sums divided by sums of megapixels."""
    means: dict[str, dict[str, float]] = {}
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        means[method] = {"psnr": float(np.mean([row.psnr for row in own]))}
        means[method] |= {"ssim": float(np.mean([row.ssim for row in own])), "images": len(own)}
        if method != INPUT:
            pixels = sum(row.megapixels for row in own)
            means[method]["seconds_per_megapixel"] = sum(row.seconds or 0 for row in own) / pixels
            means[method]["core_seconds_per_megapixel"] = sum(row.core_seconds or 0 for row in own) / pixels
        sigmas = [row.sigma for row in own if row.sigma is not None]
        means[method] |= {"sigma": float(np.mean(sigmas))} if sigmas else {}
    return means


def is_ours(method: str) -> bool:
    """Return whether a label is that of a variant of ours."""
    return method != INPUT and method not in CLASSICAL


def print_task(task: str, rows: Sequence[Row]) -> None:
    """Print the table of one task; its last columns are core-seconds divided by those of each variant of ours."""
    means = summary(rows)
    ours = [method for method in means if is_ours(method)]
    count = max(int(mean["images"]) for mean in means.values())
    print(f"\n{task}, {count} picture{'' if count == 1 else 's'}\n")
    heads = ["method", "σ", "PSNR", "SSIM", "s/MP", "core-s/MP", *(f"time ÷ {name}" for name in ours)]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for method, mean in means.items():
        cells = [
            method,
            f"{mean['sigma']:.1f}" if "sigma" in mean else "",
            f"{mean['psnr']:.2f}",
            f"{mean['ssim']:.4f}",
        ]
        if method != INPUT:
            own = mean["core_seconds_per_megapixel"]
            cells += [f"{mean['seconds_per_megapixel']:.1f}", f"{own:.1f}"]
            cells += [f"{own / means[name]['core_seconds_per_megapixel']:.2g}" for name in ours]
        print(f"| {' | '.join(cells + [''] * (len(heads) - len(cells)))} |", flush=True)
