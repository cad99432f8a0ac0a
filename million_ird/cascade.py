"""Cheapest first: measures one candidate tier by tier and stops at the first gate that drops it."""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import imagehash
from PIL import Image

from million_ird.decide.gates import Gate, first_drop
from million_ird.errors import ReadError
from million_ird.ledger import Row
from million_ird.measure import MEASURES
from million_ird.recipe import Recipe
from million_ird.record import Candidate, Failed, Sample, Tier

log = logging.getLogger(__name__)


def gate_tier(gate: Gate) -> Tier:
    """The tier after which a gate can be judged."""
    for measure in MEASURES.values():
        if gate.field in measure.fields:
            return measure.tier
    return Tier.HEADER


def in_cost_order(gates: tuple[Gate, ...]) -> list[Gate]:
    """The order in which gates are judged: by tier, then as the recipe lists them."""
    return sorted(gates, key=gate_tier)


@dataclass(slots=True)
class Cascade:
    """Turns candidates into ledger rows; adds up the seconds that each measure took."""

    recipe: Recipe
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def examine(self, candidate: Candidate, encoded: bytes | Failed) -> Row:
        """One row: identity, numbers as far as they were measured, or the failure.

        `phash` is set exactly when every tier was measured and, unless `measure_all`, every gate passed.
        """
        row: Row = {
            "key": candidate.key,
            "source": candidate.source,
            "uri": candidate.uri,
            "version": candidate.version,
            "licence": candidate.licence,
            "attribution": candidate.attribution,
            "tier": 0,
        }
        if isinstance(encoded, Failed):
            return _failed(row, encoded)
        sample = Sample(candidate, encoded, max_pixels=self.recipe.limits.max_pixels)
        row |= {"id": sample.sha256, "bytes": len(encoded)}
        try:
            self._measure(sample, row)
        except ReadError as error:
            return _failed(row, Failed(error.failure_class, error.detail))
        return row

    def _measure(self, sample: Sample, row: Row) -> None:
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
        numbers: dict[str, float | None] = {
            "bytes": float(len(sample.encoded)),
            "width": float(header.width),
            "height": float(header.height),
        }
        for tier in Tier:
            for name in self.recipe.measured:
                if MEASURES[name].tier is tier:
                    numbers |= self._timed(name, sample)
            row |= {k: v for k, v in numbers.items() if k not in {"bytes", "width", "height"}}
            row["tier"] = int(tier)
            gates = [gate for gate in self.recipe.gates if gate_tier(gate) is tier]
            if not self.recipe.measure_all and first_drop(gates, numbers) is not None:
                return
        row["phash"] = phash(sample)

    def _timed(self, name: str, sample: Sample) -> Mapping[str, float | None]:
        measure = MEASURES[name]
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


def phash(sample: Sample) -> str:
    """`imagehash.phash` of the decoded picture: 64 bits as 16 hex digits."""
    return str(imagehash.phash(Image.fromarray(sample.pixels)))


def _failed(row: Row, failure: Failed) -> Row:
    return row | {"failure_class": failure.failure_class, "failure_detail": failure.detail}
