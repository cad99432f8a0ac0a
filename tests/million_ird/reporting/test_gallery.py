"""Which images the report shows, and their thumbnails."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from million_ird.candidate import Candidate, Failed
from million_ird.config.rules import BuildLimits
from million_ird.errors import SourceError
from million_ird.ledger import Row
from million_ird.ledger_stream import LedgerStream
from million_ird.reporting import gallery
from million_ird.reporting.gallery import ChosenImages
from million_ird.reporting.gallery_folds import BORDERLINE_SHOWN, GROUPS_SHOWN, GalleryFolds
from million_ird.reporting.rows import LedgerBatch, fold
from million_ird.reporting.sliders import GateLimit, gate_limits
from tests.million_ird.reporting.synthetic_ledgers import (
    SyntheticSource,
    decide_rows,
    make_recipe,
    scan_rows,
    small_jpeg,
    with_texts,
)


def by_number(ledger: pa.Table) -> dict[int, Row]:
    """All rows by their numbers."""
    return dict(enumerate(ledger.to_pylist()))


def choose(ledger: pa.Table, limits: Sequence[GateLimit]) -> ChosenImages:
    """The images of a ledger that a report shows, read in batches of 700 rows."""
    found, rows = GalleryFolds(limits), LedgerStream.of_table(ledger, 700)
    fold(rows, found.first)
    fold(rows, found.second)
    return ChosenImages.read(found, rows)


def test_thumbnails_are_small_and_missing_ones_say_why() -> None:
    recipe = make_recipe(duplicates={"radius": None})
    good, broken = small_jpeg(), b"no picture at all"
    rows = scan_rows(6, recipe)
    rows = with_texts(
        rows,
        {
            "source": dict.fromkeys(range(6), "here"),
            "id": {0: hashlib.sha256(good).hexdigest(), 1: hashlib.sha256(broken).hexdigest()},
        },
    )
    uris = rows["uri"].to_pylist()
    source = SyntheticSource("here", {uris[0]: good, uris[1]: broken, uris[2]: good, uris[3]: Failed("gone", "404")})
    found = gallery.thumbnails(by_number(decide_rows(rows, recipe)), [0, 1, 2, 3, 3], {"here": source}, BuildLimits())
    assert found[0].src.startswith("data:image/jpeg;base64,")
    assert len(found[0].src) < 12_000
    problems = [found[i].problem for i in (1, 2, 3)]
    assert problems == ["no known picture format", "changed since it was measured", "404"]
    elsewhere = gallery.thumbnails(by_number(decide_rows(rows, recipe)), [4], {}, BuildLimits())
    assert elsewhere[4].problem == "its source is not available"


def test_a_source_that_raises_leaves_a_placeholder() -> None:
    class Gone(SyntheticSource):
        def fetch(self, candidate: Candidate) -> bytes | Failed:
            raise SourceError("the disk was taken out") if candidate.uri.endswith("0.jpg") else OSError("stale handle")

    recipe = make_recipe(duplicates={"radius": None})
    rows = with_texts(scan_rows(2, recipe), {"source": dict.fromkeys(range(2), "here")})
    found = gallery.thumbnails(by_number(decide_rows(rows, recipe)), [0, 1], {"here": Gone("here")}, BuildLimits())
    assert [found[i].problem for i in (0, 1)] == ["the disk was taken out", "stale handle"]


def test_an_image_that_was_never_fetched_is_not_fetched_for_the_report() -> None:
    class Refuses(SyntheticSource):
        def fetch(self, candidate: Candidate) -> bytes | Failed:
            raise AssertionError(candidate.uri)

    recipe = make_recipe()
    rows = scan_rows(1, recipe)
    rows = rows.set_column(rows.column_names.index("id"), rows.schema.field("id"), pa.nulls(1, pa.string()))
    found = gallery.thumbnails(
        by_number(decide_rows(rows, recipe)), [0], {"source 0": Refuses("source 0")}, BuildLimits()
    )
    assert found[0].problem == "never fetched"


def test_borderline_images_are_the_nearest_on_either_side() -> None:
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(3000, recipe), recipe)
    rows, limits = LedgerBatch(ledger), gate_limits(recipe)
    images = choose(ledger, limits)
    for limit in limits:
        border = images.borderline(limit)
        values = rows.values(limit.gate.field)
        dropped = rows.dropped_for(limit.gate.drop_reason) & limit.breaks(values)
        for shown, side in ((border.dropped, dropped), (border.kept, rows.kept)):
            assert len(shown) == BORDERLINE_SHOWN
            assert all(side[one.position] for one in shown)
            gaps = [abs(float(values[one.position]) - limit.value) for one in shown]
            assert gaps == sorted(gaps)
            assert gaps == sorted(np.abs(values[side] - limit.value))[: len(gaps)]


def test_duplicates_are_shown_with_their_kept_image() -> None:
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(3000, recipe), recipe)
    rows = LedgerBatch(ledger)
    groups = choose(ledger, []).duplicates()
    assert len(groups) == GROUPS_SHOWN
    for group in groups:
        assert rows.kept[group.kept.position]
        key = ledger["key"][group.kept.position].as_py()
        assert rows.texts("duplicate_of", np.array([one.position for one in group.duplicates])) == [key] * len(
            group.duplicates
        )
