"""Measures single files, outside of any build."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from million_ird.candidate import Sample
from million_ird.errors import ReadError, SourceError, UsageError
from million_ird.measures.neural import NeuralScore
from million_ird.measures.registry import MEASURES
from million_ird.measures.scores import OFFICIAL, measures_with, neural_scores, prepare
from million_ird.runtime.storage import Folder
from million_ird.runtime.threads import single_threaded
from million_ird.sources.listing import list_files


@dataclass(frozen=True, slots=True)
class Scored:
    """The numbers of one file, or why there are none."""

    path: str
    numbers: dict[str, float | None] = field(default_factory=dict)
    failure: str | None = None

    @property
    def text(self) -> str:
        """The numbers on one line, for a person."""
        told = (f"{name} {'null' if value is None else format(value, '.6g')}" for name, value in self.numbers.items())
        return f"{self.path}  {'  '.join(told)}"

    def as_json(self) -> dict[str, object]:
        """The numbers for a script."""
        return {"path": self.path, **self.numbers}


def score_files(paths: Sequence[str], names: Sequence[str], models: str | None = None) -> Iterator[Scored]:
    """Yields each file's numbers, in the order given.

    Args:
        paths: files, any fsspec URL.
        names: ledger columns of any measure (`laplacian_variance`, …), `niqe`, `brisque`, or pyiqa scores.
        models: folder of score parameters.

    Raises:
        UsageError: no names, or one that nobody knows.
        ModelUnavailable: the parameters of a score cannot be had.
    """
    if not names:
        raise UsageError("--metrics: name at least one")
    fields = {name for measure in MEASURES.values() for name in measure.fields}
    scores = [name for name in names if name not in fields]
    prepare(scores, models)
    measures = measures_with(scores, models).values()
    needed = [m for m in measures if set(names) & {*m.fields, *(OFFICIAL if "niqe_ird" in m.fields else ())}]
    networks = [NeuralScore(name, models) for name in neural_scores(scores)]
    with single_threaded():
        for path in paths:
            try:
                sample = _sample(path)
                found: dict[str, float | None] = {}
                for measure in needed:
                    found |= measure.measure(sample)
                for network in networks:
                    found[network.name] = network.measure_batch([sample.pixels])[0]
                yield Scored(path, {name: found[name] for name in names})
            except (ReadError, SourceError) as error:
                yield Scored(path, failure=str(error))


def _sample(path: str) -> Sample:
    folder, entries = list_files(path)
    if Folder(path).is_folder:
        raise SourceError("is a folder, not a file")
    return Sample(folder.read(next(entries).uri))
