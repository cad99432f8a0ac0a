"""The kinds of evaluation that `dynet evaluate --protocol` names: rules, rows of the table, measures and report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dynet.evaluation.benchmark import BenchmarkSet, BenchmarkTask, plan_tasks
from dynet.evaluation.harm import HARM_MEASURES, plan_harm_tasks
from dynet.evaluation.harm_report import HarmReport
from dynet.evaluation.measures import PUBLISHED_MEASURES, ImageMeasure
from dynet.evaluation.protocol import AIO_PAPER, HARM, STRICT, EvaluationProtocol
from dynet.evaluation.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationKind:
    """What a protocol's name on the command line stands for."""

    protocol: EvaluationProtocol
    plan: Callable[[Sequence[BenchmarkSet], Sequence[float] | None], tuple[BenchmarkTask, ...]]
    """From benchmarks, and the sigmas of the command line if it has any, to tasks."""
    measures: tuple[ImageMeasure, ...]
    report: type[Report]


def _published(protocol: EvaluationProtocol) -> EvaluationKind:
    return EvaluationKind(protocol=protocol, plan=plan_tasks, measures=PUBLISHED_MEASURES, report=Report)


KINDS: Mapping[str, EvaluationKind] = MappingProxyType(
    {
        "aio-paper": _published(AIO_PAPER),
        "strict": _published(STRICT),
        "harm": EvaluationKind(protocol=HARM, plan=plan_harm_tasks, measures=HARM_MEASURES, report=HarmReport),
    }
)
