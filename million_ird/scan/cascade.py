"""Cheapest first: measures one candidate tier by tier and stops at the first gate that drops it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from million_ird.candidate import Candidate, Failed, Sample, Tier
from million_ird.config.gates import Gate, first_drop
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import gate_tier
from million_ird.errors import ReadError
from million_ird.ledger import Row
from million_ird.measures.header import SIZES, sides
from million_ird.measures.neural import BATCH, NeuralScore
from million_ird.measures.registry import Measure
from million_ird.measures.scores import measures_with, neural_scores
from million_ird.measures.signature import signature
from million_ird.metadata.strip import strip

_SIMPLE = frozenset({"JPEG", "PNG", "WEBP"})
"""Formats in which what is stripped stands apart from what is decoded."""
DECLARABLE = ("width", "height", *SIZES)
"""Numbers that a table can tell before the picture is fetched."""


def reached(row: Row, gates: Sequence[Gate], columns: Sequence[str] = ()) -> list[Gate]:
    """The gates that a row's numbers suffice for; before it is fetched, those on sizes that its source declares."""
    tier = int(str(row["tier"]))
    declared = {name for name in DECLARABLE if row.get(name) is not None} if tier == Tier.DECLARED else set()
    return [gate for gate in gates if gate_tier(gate, columns) <= tier or gate.field in declared]


def begin(candidate: Candidate, recipe: Recipe) -> tuple[Row, bool]:
    """A candidate's row before anything is fetched, and whether what its source declares rules it out already."""
    row: Row = {
        "key": candidate.key,
        "source": candidate.source,
        "uri": candidate.uri,
        "version": candidate.version,
        "licence": candidate.licence,
        "attribution": candidate.attribution,
        "tier": int(Tier.DECLARED),
        **{name: candidate.extra.get(name) for name in recipe.passed},
    }
    if recipe.measure_all:
        return row, False
    if recipe.licences.refuse_one(candidate.licence):
        return row, True
    if candidate.width and candidate.height:
        sizes = {"width": candidate.width, "height": candidate.height}
        declared = row | sizes | sides(candidate.width, candidate.height)
        if first_drop(reached(declared, recipe.gates, recipe.columns), numbers_of(declared)) is not None:
            return declared, True
    return row, first_drop(reached(row, recipe.gates, recipe.columns), numbers_of(row)) is not None


@dataclass(slots=True)
class Cascade:
    """Turns candidates into ledger rows; adds up the seconds that each measure took."""

    recipe: Recipe
    models: str | None = None
    """Folder of score parameters."""
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _measures: Mapping[str, Measure] = field(init=False)
    _networks: Sequence[NeuralScore] = field(init=False)
    _held: list[tuple[Row, Sample]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._measures = measures_with(self.recipe.scores, self.models)
        self._networks = [NeuralScore(name, self.models) for name in neural_scores(self.recipe.scores)]

    def rows(self, candidates: Iterable[Candidate], fetch: Callable[[Candidate], bytes | Failed]) -> Iterator[Row]:
        """One row per candidate, in order: identity, numbers as far as they were measured, or the failure.

        `phash` is set exactly when every tier was measured and, unless `measure_all`, every gate passed. Pictures that
        reach the networks wait for each other, a few at a time. What a table already rules out is not fetched.
        """
        ready: list[Row] = []
        for candidate in candidates:
            row, stopped = begin(candidate, self.recipe)
            encoded = b"" if stopped else fetch(candidate)
            if isinstance(encoded, Failed):
                row = failed(row, encoded)
            elif not stopped:
                self.push(candidate, row, encoded)
            ready.append(row)
            if len(self._held) >= BATCH or not self._held:
                self.flush()
                yield from ready
                ready = []
        self.flush()
        yield from ready

    def push(self, candidate: Candidate, row: Row, encoded: bytes) -> bool:
        """Fills a row that `begin` made, up to the networks; False where it has to wait for them (see `flush`)."""
        sample = Sample(encoded, max_pixels=self.recipe.limits.max_pixels)
        row |= {"id": sample.sha256, "bytes": len(encoded)}
        try:
            if not self._measure(sample, row):
                return True
            if self.recipe.privacy.covers(candidate.uri):
                self._check_strippable(sample)
        except ReadError as error:
            row |= failed(row, Failed(error.failure_class, error.detail))
            return True
        if self._networks:
            self._held.append((row, sample))
            return False
        self._sign(row, sample)
        return True

    def flush(self) -> list[Row]:
        """Networks and hash for the rows that wait; returns them, filled."""
        waiting, self._held = self._held, []
        left = list(waiting)
        for network in self._networks if left else ():
            start = time.perf_counter()
            scores = network.measure_batch([sample.pixels for _, sample in left])
            self.seconds[network.name] += time.perf_counter() - start
            for (row, _), score in zip(left, scores, strict=True):
                row[network.name] = score
                row["tier"] = int(Tier.NEURAL)
            left = [(row, sample) for row, sample in left if not self._stopped(row, Tier.NEURAL)]
        for row, sample in left:
            self._sign(row, sample)
        return [row for row, _ in waiting]

    def _measure(self, sample: Sample, row: Row) -> bool:
        """Fills the row tier by tier; whether no gate stopped it."""
        header = sample.header
        row |= {
            "format": header.format,
            "mode": header.mode,
            "bits": header.bits,
            "orientation": header.orientation,
            "icc": header.icc,
            "width": header.width,
            "height": header.height,
        }
        for tier in (Tier.HEADER, Tier.THUMBNAIL, Tier.PIXELS, Tier.QUALITY):
            for name, measure in self._measures.items():
                if measure.tier is tier:
                    row |= self._timed(name, measure, sample)
            row["tier"] = int(tier)
            if self._stopped(row, tier):
                return False
        return True

    def _check_strippable(self, sample: Sample) -> None:
        """Makes sure, before a picture can be kept, that it can be published without what it tells.

        Raises:
            ReadError: it cannot be stripped of what it tells, or shows something else then.
        """
        bare = strip(sample.encoded, sample.header.format)
        if bare is not sample.encoded and sample.header.format not in _SIMPLE:
            published = Sample(bare, max_pixels=self.recipe.limits.max_pixels)
            if not np.array_equal(published.pixels, sample.pixels):
                raise ReadError("not_strippable", "its pixels would not stay the same")

    def _sign(self, row: Row, sample: Sample) -> None:
        start = time.perf_counter()
        row |= signature(sample)
        self.seconds["signature"] += time.perf_counter() - start

    def _stopped(self, row: Row, tier: Tier) -> bool:
        measured = [gate for gate in self.recipe.gates if gate.field in row]
        gates = [gate for gate in measured if gate_tier(gate, self.recipe.columns) is tier]
        return not self.recipe.measure_all and first_drop(gates, numbers_of(row)) is not None

    def _timed(self, name: str, measure: Measure, sample: Sample) -> Mapping[str, float | None]:
        self._decode(sample, measure.tier)
        start = time.perf_counter()
        numbers = measure.measure(sample)
        self.seconds[name] += time.perf_counter() - start
        return numbers

    def _decode(self, sample: Sample, tier: Tier) -> None:
        start = time.perf_counter()
        if tier is Tier.THUMBNAIL:
            _ = sample.thumbnail
        elif tier >= Tier.PIXELS:
            _ = sample.luma
        self.seconds["decode"] += time.perf_counter() - start


def numbers_of(row: Row) -> dict[str, float | None]:
    """What gates can look at in a row."""
    return {k: v for k, v in row.items() if v is None or isinstance(v, (int, float))}


def failed(row: Row, failure: Failed) -> Row:
    """The row of a candidate that could not be had."""
    return row | {"failure_class": failure.failure_class, "failure_detail": failure.detail}
