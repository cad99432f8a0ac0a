"""What a run without a GPU would take, measured before its first step, so that nobody begins it unknowingly."""

import copy
import logging
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dynet.config.recipe import AnyRecipe
from dynet.errors import OutOfMemory
from dynet.model.network import DyNet
from dynet.runtime.memory import is_out_of_memory, out_of_memory, peak_resident_bytes
from dynet.training.losses import training_loss

log = logging.getLogger(__name__)

LARGE_NETWORK = 5_000_000
"""Parameters from which a step is measured. The networks of recipes for processors have fewer, the paper's more."""
LONG = 24 * 3600.0
"""Seconds from which it is said how long a run would take."""
ADVICE = "--recipe dynet_laptop.yaml trains a small network on a processor"


@dataclass(frozen=True, slots=True)
class StepCost:
    """What one training step takes, extrapolated from a batch of one."""

    seconds: float
    bytes: int


def check_first_step(model: DyNet, recipe: AnyRecipe, start: int, available: Callable[[], int] | None) -> None:
    """Measure a step of a large network on a processor; say how long the run would take, and refuse what does not fit.

    The network, its gradients and the global random generator stay as they are.

    Args:
        model: The network, on the CPU.
        recipe: Decides crop, batch, variants and the number of steps.
        start: The steps that are done.
        available: Returns the bytes that a step may take; None for no limit.

    Raises:
        OutOfMemory: A step takes more.
    """
    if sum(parameter.numel() for parameter in model.parameters()) < LARGE_NETWORK or start >= recipe.steps:
        return
    log.warning("no GPU: measuring what a step takes …")
    free = None if available is None else available()
    cost = measure_step(model, recipe, start)
    if free is not None and cost.bytes > free:
        raise OutOfMemory(
            f"a step would take about {_gigabytes(cost.bytes)}, and {_gigabytes(free)} are free: "
            f"set gradient_checkpointing: true, or a lower batch or crop; or {ADVICE}"
        )
    total = cost.seconds * (recipe.steps - start)
    if total >= LONG:
        log.warning(
            "a step takes about %s here, so all %s steps about %s; Ctrl-C ends it, and %s",
            duration(cost.seconds),
            f"{recipe.steps - start:,}",
            duration(total),
            ADVICE,
        )


def measure_step(model: DyNet, recipe: AnyRecipe, step: int) -> StepCost:
    """Measure forward and backward of the deepest variant on one crop of noise, and multiply by the batch.

    Raises:
        OutOfMemory: Not even one crop fits.
    """
    crop, batch = recipe.size_schedule(step)
    twin = copy.deepcopy(model)
    deepest = max(twin.variants, key=lambda variant: variant.schedule.applications)
    clean = torch.rand((1, 3, crop, crop), generator=torch.Generator().manual_seed(0))
    before = _resident_bytes()
    started = time.perf_counter()
    try:
        with torch.random.fork_rng(devices=[]):
            loss = training_loss(twin(clean, deepest), clean, recipe.frequency_loss, recipe.log_loss, recipe.pixel_loss)
            torch.autograd.backward([loss])
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(step + 1, crop, batch, checkpointing=recipe.gradient_checkpointing) from error
    seconds = time.perf_counter() - started
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    activations = max(0, peak_resident_bytes() - before - weights)  # the gradients do not grow with the batch
    variants = len(recipe.sampler().draw(step))
    return StepCost(seconds * batch * variants, activations * batch + 3 * weights)


def duration(seconds: float) -> str:
    """Return a time in the largest unit that fits: `40 s`, `3 h`, `12 days`, `2 years`."""
    for unit, size in (("years", 365.25 * 86400), ("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.2f} s"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _resident_bytes() -> int:
    """Return the resident memory of this process now; the peak where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return peak_resident_bytes()
