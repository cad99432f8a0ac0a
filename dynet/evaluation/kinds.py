"""The kinds of evaluation that `dynet evaluate --protocol` names: rules, measures and report."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dynet.evaluation.harm import HARM_MEASURES
from dynet.evaluation.harm_report import HarmReport
from dynet.evaluation.measures import PUBLISHED_MEASURES, ImageMeasure
from dynet.evaluation.protocol import AIO_PAPER, HARM, STRICT, EvaluationProtocol
from dynet.evaluation.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationKind:
    """What a protocol's name on the command line stands for."""

    protocol: EvaluationProtocol
    measures: tuple[ImageMeasure, ...]
    report: type[Report]


def _published(protocol: EvaluationProtocol) -> EvaluationKind:
    return EvaluationKind(protocol=protocol, measures=PUBLISHED_MEASURES, report=Report)


KINDS: Mapping[str, EvaluationKind] = MappingProxyType(
    {
        "aio-paper": _published(AIO_PAPER),
        "strict": _published(STRICT),
        "harm": EvaluationKind(protocol=HARM, measures=HARM_MEASURES, report=HarmReport),
    }
)
