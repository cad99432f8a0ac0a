"""Protocol `harm`: what a network does to images that need little or nothing done.

Clean images, weak noise and weak compression go through, as files: inputs and outputs are rounded to 8 bits. A network
that changes nothing passes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from dynet.evaluation.added_degradations import NothingAdded
from dynet.evaluation.benchmark import BenchmarkTask, TaskKey
from dynet.evaluation.evaluate import INPUT, EvalResult
from dynet.evaluation.measures import ImageMeasure
from dynet.evaluation.metrics import FloatImage, psnr, ssim

CLEAN_PSNR = 45.0
"""The lowest mean PSNR in dB that clean images may have: an error of 1.4 levels, which nobody sees."""

LOWEST_GAIN = -0.005
"""The lowest mean gain in dB that other images may have: what two decimals, as tables have, show as nothing lost."""

MAX_SHIFT = 0.3
"""The largest mean shift in levels of 255: less than the half level that rounding to 8 bits hides."""

HIGHEST_PSNR = 20 * math.log10(255 / 0.5)
"""In dB, 54.2: the PSNR of an error of half a level everywhere. What is better counts as this.

Equal images have an infinite PSNR, and those of a few changed pixels 70 dB and more. With such values one untouched
image in a mean would hide others that are damaged.
"""


def capped_psnr(image: FloatImage, clean: FloatImage) -> float:
    """Return the PSNR in dB of two images (H, W, C) in [0, 1], at most HIGHEST_PSNR."""
    return min(psnr(image, clean), HIGHEST_PSNR)


def shift_of(image: FloatImage, clean: FloatImage) -> float:
    """Return the mean of `image` minus that of `clean`, in levels of 255; both (H, W) or (H, W, C) in [0, 1]."""
    return 255 * float(np.mean(image, dtype=np.float64) - np.mean(clean, dtype=np.float64))


def _channel_shift(channel: int) -> ImageMeasure:
    name = ("red", "green", "blue")[channel]
    return ImageMeasure(name, lambda image, clean: shift_of(image[..., channel], clean[..., channel]))


SHIFTS = ("brightness", "red", "green", "blue")
"""Names of the measures of shifts; brightness is the mean of the three channels."""

HARM_MEASURES = (
    ImageMeasure("psnr", capped_psnr),
    ImageMeasure("ssim", ssim),
    ImageMeasure("brightness", shift_of),
    *(_channel_shift(channel) for channel in range(3)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmRow:
    """The figures of one variant, or of the input, on one task: means over images, and the worst image."""

    task: BenchmarkTask
    variant: str
    psnr: float
    """In dB, at most HIGHEST_PSNR."""
    gain: float
    """Mean PSNR of the output minus that of the input."""
    worst_gain: float
    """The lowest gain of any image."""
    shifts: Mapping[str, float]
    """The mean signed shift against the clean image, in levels of 255, by SHIFTS."""
    largest_shifts: Mapping[str, float]
    """That of the image where it is farthest from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmVerdict:
    """Whether one variant does harm."""

    variant: str
    reasons: tuple[str, ...]
    """The limits that it exceeds, in words; none if it passes."""

    @property
    def passes(self) -> bool:
        """True if it exceeds no limit."""
        return not self.reasons

    def __str__(self) -> str:
        return f"harm: {self.variant} " + ("passes" if self.passes else f"fails: {', '.join(self.reasons)}")


def harm_rows(results: Sequence[EvalResult], names: Sequence[str]) -> list[HarmRow]:
    """Return a row for each task and variant, in the order of their first images; `names` are those of the values."""
    groups: dict[tuple[TaskKey, str], list[EvalResult]] = {}
    for result in results:
        groups.setdefault((result.task.key, result.variant), []).append(result)
    return [_row(group, groups[key, INPUT], names) for (key, _), group in groups.items()]


def _row(outputs: Sequence[EvalResult], inputs: Sequence[EvalResult], names: Sequence[str]) -> HarmRow:
    columns = dict(zip(names, zip(*(result.values for result in outputs), strict=True), strict=True))
    before = [result.values[names.index("psnr")] for result in inputs]
    gains = [output - value for output, value in zip(columns["psnr"], before, strict=True)]
    return HarmRow(
        task=outputs[0].task,
        variant=outputs[0].variant,
        psnr=_mean(columns["psnr"]),
        gain=_mean(columns["psnr"]) - _mean(before),
        worst_gain=min(gains),
        shifts={name: _mean(columns[name]) for name in SHIFTS},
        largest_shifts={name: max(columns[name], key=abs) for name in SHIFTS},
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def harm_verdicts(rows: Sequence[HarmRow]) -> list[HarmVerdict]:
    """Return a verdict for each variant, in the order of the rows.

    A variant passes if clean images have at least CLEAN_PSNR, no weak degradation has a lower PSNR after it than
    before, and no shift exceeds MAX_SHIFT. Noise that is clipped at black or white shifts an image itself, and
    compression a little: a variant may leave such a shift as large as it was.
    """
    single = len({row.task.benchmark.name for row in rows}) == 1
    labels = {row.task.key: _label(row.task, without_benchmark=single) for row in rows}
    inputs = {row.task.key: row for row in rows if row.variant == INPUT}
    variants = dict.fromkeys(row.variant for row in rows if row.variant != INPUT)
    return [
        HarmVerdict(
            variant=variant,
            reasons=(
                *_psnr_reasons([row for row in rows if row.variant == variant], labels),
                *_shift_reasons([row for row in rows if row.variant == variant], labels, inputs),
            ),
        )
        for variant in variants
    ]


def _label(task: BenchmarkTask, *, without_benchmark: bool) -> str:
    return task.degradation.label if without_benchmark and task.degradation is not None else task.label


def _psnr_reasons(rows: Sequence[HarmRow], labels: Mapping[TaskKey, str]) -> list[str]:
    reasons = []
    for row in rows:
        label = labels[row.task.key]
        if isinstance(row.task.degradation, NothingAdded):
            if row.psnr < CLEAN_PSNR:
                # Rounded down, so that the figure is never the limit itself.
                reasons.append(f"{label} {math.floor(row.psnr * 10) / 10:.1f} dB < {CLEAN_PSNR:g}")
        elif row.gain < LOWEST_GAIN:
            reasons.append(f"{label} {-row.gain:.2g} dB below the input")
    return reasons


def _shift_reasons(
    rows: Sequence[HarmRow], labels: Mapping[TaskKey, str], inputs: Mapping[TaskKey, HarmRow]
) -> list[str]:
    """Return a reason for each shift that is too large on some task: that of the task where it is largest."""
    reasons = []
    for name in SHIFTS:
        too_large = [
            (row.shifts[name], labels[row.task.key])
            for row in rows
            if abs(row.shifts[name]) > max(MAX_SHIFT, abs(inputs[row.task.key].shifts[name]))
        ]
        if too_large:
            shift, label = max(too_large, key=lambda entry: abs(entry[0]))
            reasons.append(f"{name} {shift:+.2g} levels ({label})")
    return reasons


LIMITS: Mapping[str, float] = MappingProxyType(
    {"clean_psnr": CLEAN_PSNR, "gain": LOWEST_GAIN, "shift": MAX_SHIFT, "highest_psnr": HIGHEST_PSNR}
)
"""The limits, with their keys in results.json."""
