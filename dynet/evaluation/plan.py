"""What `dynet evaluate` is asked for, checked before torch is loaded: benchmarks, noise, weights, variants, `--out`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from dynet.errors import UsageError
from dynet.evaluation.added_degradations import AddedJpeg, AddedNoise, CleanInput, NothingAdded
from dynet.evaluation.benchmark import BenchmarkSet, BenchmarkTask
from dynet.evaluation.pyiqa_names import check_names as check_metric_names
from dynet.model.file_kind import find_any_weights
from dynet.runtime.atomic_files import check_output_folder

if TYPE_CHECKING:
    from dynet.runtime.devices import DeviceName

PUBLISHED_SIGMAS = (15.0, 25.0, 50.0)

HARM_INPUTS: tuple[CleanInput, ...] = (
    NothingAdded(),
    AddedNoise(2.0),  # a good camera in daylight
    AddedNoise(5.0),
    AddedNoise(10.0),  # the weakest noise that most people see
    AddedJpeg(95),  # what cameras write
)


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


def plan_harm_tasks(benchmarks: Sequence[BenchmarkSet], sigmas: Sequence[float] | None) -> tuple[BenchmarkTask, ...]:
    """Return the rows of the table: each benchmark's clean images, with every input of the protocol.

    Raises:
        UsageError: Two benchmarks have the same name, or there are sigmas.
    """
    if sigmas is not None:
        raise UsageError("--sigma: protocol harm has its own degradations, so that its verdicts mean the same")
    check_names(benchmarks)
    return tuple(BenchmarkTask(benchmark.clean_side(), added) for benchmark in benchmarks for added in HARM_INPUTS)


Planner: TypeAlias = Callable[[Sequence[BenchmarkSet], Sequence[float] | None], tuple[BenchmarkTask, ...]]
PLANNERS: Mapping[str, Planner] = MappingProxyType(
    {"aio-paper": plan_tasks, "strict": plan_tasks, "harm": plan_harm_tasks}
)
"""By protocol: from benchmarks, and the sigmas of the command line if it has any, to tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """The arguments of `dynet evaluate` and `dynet.evaluate`."""

    weights: str
    """A weights file, a folder that holds one, the name of shipped weights, or a repository on the Hub."""
    benchmarks: Sequence[str]
    """Texts NAME=DIR."""
    protocol: str
    """A name of PLANNERS."""
    variants: str | None
    """Names with commas; None is all."""
    sigma: str | None
    """Numbers with commas; None is those of the protocol."""
    metrics: str | None
    """Names of metrics of pyiqa with commas, or None."""
    tile: int | None
    """The side in pixels; None restores whole images."""
    self_ensemble: int
    """In how many orientations each image or tile is restored: 1, 2, 4 or 8."""
    out: Path | None
    """The folder for the results."""
    device: "DeviceName"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """The rows of the table, and the weights file to measure."""

    tasks: tuple[BenchmarkTask, ...]
    weights: Path


def plan_evaluation(request: EvaluationRequest) -> EvaluationPlan:
    """Check what is asked for; nothing is written.

    Raises:
        UsageError: There are no such weights, variants, benchmarks or metrics, or `out` cannot be written to.
    """
    if request.metrics is not None:
        check_metric_names(request.metrics)
    sigmas = None if request.sigma is None else parse_sigmas(request.sigma)
    found = find_any_weights(request.weights)
    if request.variants is not None:
        found.check_variants(request.variants)
    tasks = PLANNERS[request.protocol]([BenchmarkSet.parse(text) for text in request.benchmarks], sigmas)
    if request.out is not None:
        check_output_folder(request.out)
    return EvaluationPlan(tasks=tasks, weights=found.file)
