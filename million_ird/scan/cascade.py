"""Cheapest first: measure one candidate tier by tier and stop at the first gate that drops it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from million_ird.candidate import Candidate, Failed
from million_ird.config.gates import Gate, first_drop
from million_ird.config.recipe import Recipe
from million_ird.errors import MeasureFault, ReadError
from million_ird.images.encoded_image import EncodedImage
from million_ird.images.jpeg_damage import completed
from million_ird.ledger import Row
from million_ird.measure_types import Tier
from million_ird.measures.header import SIZES, size_numbers
from million_ird.measures.neural import BATCH
from million_ird.measures.registry import Measure
from million_ird.measures.scores import BatchScore, batch_scores, measures_with
from million_ird.measures.signature import compute_signature
from million_ird.measures.view import pack_view
from million_ird.metadata.strip import strip_metadata
from million_ird.sources.cells import failure_in

_SIMPLE = frozenset({"JPEG", "PNG", "WEBP"})
"""Formats whose metadata is stored apart from the coded pixels."""
DECLARABLE = ("width", "height", *SIZES)
"""Numbers that a table can declare before the image is fetched."""


def decidable_gates(row: Row, gates: Sequence[Gate], tiers: Mapping[str, Tier]) -> list[Gate]:
    """Return the gates that can be judged on a row: those of the tiers that it has reached.

    Before it is fetched, also those on sizes that its source declares.
    """
    tier = int(str(row["tier"]))
    declared = {name for name in DECLARABLE if row.get(name) is not None} if tier == Tier.DECLARED else set()
    return [gate for gate in gates if tiers[gate.field] <= tier or gate.field in declared]


def row_from_declared(candidate: Candidate, recipe: Recipe) -> tuple[Row, bool]:
    """Return a candidate's row before anything is fetched, and whether what its source declares already drops it."""
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
    if recipe.measure_all or failure_in(candidate.version) is not None:  # nothing else is known of a failed row
        return row, False
    if recipe.licences.refuses(candidate.licence):
        return row, True
    if candidate.width and candidate.height:
        sizes = {"width": candidate.width, "height": candidate.height}
        declared = row | sizes | size_numbers(candidate.width, candidate.height)
        if first_drop(decidable_gates(declared, recipe.gates, recipe.tiers), numbers_of(declared)) is not None:
            return declared, True
    return row, first_drop(decidable_gates(row, recipe.gates, recipe.tiers), numbers_of(row)) is not None


@dataclass(slots=True)
class Cascade:
    """Turns candidates into ledger rows, and adds up the seconds that each measure took."""

    recipe: Recipe
    models: str | None = None
    """Folder of score parameters."""
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _measures: Mapping[str, Measure] = field(init=False)
    _networks: Sequence[BatchScore] = field(init=False)
    _held: list[tuple[Row, EncodedImage]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._measures = measures_with(self.recipe.scores, self.models, self.recipe.measures)
        self._networks = batch_scores(self.recipe.scores, self.models)

    def rows(self, candidates: Iterable[Candidate], fetch: Callable[[Candidate], bytes | Failed]) -> Iterator[Row]:
        """Yield one row per candidate, in order: identity, the numbers that were measured, or the failure.

        `phash` is set exactly when every tier was measured and, unless `measure_all`, every gate passed. Images that
        reach the networks are collected into batches. What a table already rules out is not fetched.
        """
        ready: list[Row] = []
        for candidate in candidates:
            row, dropped = row_from_declared(candidate, self.recipe)
            encoded = b"" if dropped else fetch(candidate)
            if isinstance(encoded, Failed):
                row = failed(row, encoded)
            elif not dropped:
                self.push(candidate, row, encoded)
            ready.append(row)
            if len(self._held) >= BATCH or not self._held:
                self.flush()
                yield from ready
                ready = []
        self.flush()
        yield from ready

    def push(self, candidate: Candidate, row: Row, encoded: bytes) -> bool:
        """Fill a row that `row_from_declared` made, up to the networks; return False where it waits for these."""
        image = EncodedImage(encoded, max_pixels=self.recipe.limits.max_pixels)
        row |= {"id": image.sha256, "bytes": len(encoded)}
        try:
            if not self._measure(image, row):
                return True
            if self.recipe.privacy.covers(candidate.uri):
                self._check_strippable(image)
        except ReadError as error:
            row |= failed(row, Failed(error.failure_class, error.detail))
            return True
        if self._networks:
            self._held.append((row, image))
            return False
        self._add_signature(row, image)
        return True

    def flush(self) -> list[Row]:
        """Run the networks for the rows that wait, add their signatures, and return them."""
        waiting, self._held = self._held, []
        left = list(waiting)
        for network in self._networks if left else ():
            start = time.perf_counter()
            scores = network.measure_batch([image.pixels for _, image in left])
            self.seconds[network.name] += time.perf_counter() - start
            for (row, _), score in zip(left, scores, strict=True):
                row[network.name] = score
                row["tier"] = int(Tier.NEURAL)
            left = [(row, image) for row, image in left if not self._is_dropped(row, Tier.NEURAL)]
        for row, image in left:
            self._add_signature(row, image)
        return [row for row, _ in waiting]

    def _measure(self, image: EncodedImage, row: Row) -> bool:
        """Fill the row tier by tier; return whether no gate dropped it."""
        header = image.header
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
                    row |= self._timed(name, measure, image)
            row["tier"] = int(tier)
            if self._is_dropped(row, tier):
                return False
        return True

    def _check_strippable(self, image: EncodedImage) -> None:
        """Make sure, before an image can be kept, that it can be published without its private metadata.

        Raises:
            ReadError: the metadata cannot be stripped, or the pixels would change.
        """
        bare = strip_metadata(completed(image.encoded), image.header.format)
        if bare is not image.encoded and image.header.format not in _SIMPLE:
            published = EncodedImage(bare, max_pixels=self.recipe.limits.max_pixels)
            if not np.array_equal(published.pixels, image.pixels):
                raise ReadError("not_strippable", "its pixels would not stay the same")

    def _add_signature(self, row: Row, image: EncodedImage) -> None:
        start = time.perf_counter()
        row |= {**compute_signature(image), "view": pack_view(image)}
        self.seconds["signature"] += time.perf_counter() - start

    def _is_dropped(self, row: Row, tier: Tier) -> bool:
        measured = [gate for gate in self.recipe.gates if gate.field in row]
        gates = [gate for gate in measured if self.recipe.tiers[gate.field] is tier]
        return not self.recipe.measure_all and first_drop(gates, numbers_of(row)) is not None

    def _timed(self, name: str, measure: Measure, image: EncodedImage) -> Mapping[str, float | None]:
        self._decode(image, measure.tier)
        start = time.perf_counter()
        numbers = measure.measure(image)
        self.seconds[name] += time.perf_counter() - start
        _require_every_column(name, measure, numbers)
        return numbers

    def _decode(self, image: EncodedImage, tier: Tier) -> None:
        start = time.perf_counter()
        if tier is Tier.THUMBNAIL:
            _ = image.thumbnail
        elif tier >= Tier.PIXELS:
            _ = image.luma
        self.seconds["decode"] += time.perf_counter() - start


def _require_every_column(name: str, measure: Measure, numbers: Mapping[str, float | None]) -> None:
    """Make sure that a measure fills its columns: one left out would be null, as if it did not apply.

    Raises:
        MeasureFault: it returned other columns, or something else than numbers and None.
    """
    if numbers.keys() != {*measure.fields}:
        returned = ", ".join(sorted(map(str, numbers))) or "none"
        raise MeasureFault(
            f"measure {name} returned the columns {returned}, its fields are {', '.join(measure.fields)}"
        )
    for column, value in numbers.items():
        if value is not None and not isinstance(value, (int, float)):
            raise MeasureFault(f"measure {name}: {column} is {type(value).__name__}, not a Python float or None")


def numbers_of(row: Row) -> dict[str, float | None]:
    """Return the columns of a row that gates can judge."""
    return {k: v for k, v in row.items() if v is None or isinstance(v, (int, float))}


def failed(row: Row, failure: Failed) -> Row:
    """Return the row of a candidate that could not be fetched, read or decoded."""
    return row | {"failure_class": failure.failure_class, "failure_detail": failure.detail}
