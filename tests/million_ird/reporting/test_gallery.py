"""Which images the report shows, and their thumbnails."""

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
import pyarrow as pa

from million_ird.candidate import Candidate, Failed
from million_ird.config.rules import BuildLimits
from million_ird.errors import SourceError
from million_ird.ledger import Row
from million_ird.ledger_stream import LedgerStream
from million_ird.reporting import gallery
from million_ird.reporting.gallery import ChosenImages
from million_ird.reporting.gallery_folds import BORDERLINE_SHOWN, GROUPS_SHOWN, SPREAD_SHOWN, GalleryFolds
from million_ird.reporting.histograms import FigureAxis
from million_ird.reporting.rows import LedgerBatch, fold
from million_ird.reporting.sliders import GateLimit, gate_limits
from million_ird.reporting.thumbnail_maker import CROP, ThumbnailMaker, compared_blocks
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


def test_images_along_a_measure_are_those_of_its_limit_alone_from_its_whole_range() -> None:
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(3000, recipe), recipe)
    rows, limits = LedgerBatch(ledger), gate_limits(recipe)
    axes = {one.gate.field: FigureAxis.over(rows.values(one.gate.field), [one.value]) for one in limits}
    for batches in (700, 97):
        found, stream = GalleryFolds(limits), LedgerStream.of_table(ledger, batches)
        fold(stream, found.first)
        fold(stream, [*found.second, *found.spread(axes)])
        images = ChosenImages.read(found, stream)
        for limit in limits:
            shown = [one.position for one in images.along(limit)]
            values = rows.values(limit.gate.field)[shown]
            assert 1 < len(shown) <= SPREAD_SHOWN
            assert values.tolist() == sorted(values)
            decided = rows.kept | rows.dropped_for(limit.gate.drop_reason)
            assert decided[shown].all()
            parts = (axes[limit.gate.field].place(rows.values(limit.gate.field)) * SPREAD_SHOWN).clip(0, 11.5)
            whole = decided & np.isfinite(rows.values(limit.gate.field))
            assert {int(parts[i]) for i in shown} == {int(part) for part in parts[whole]}
            pool = images.decided_by(limit, found.positions())
            assert set(shown) <= {position for position, _ in pool}
            assert [value for _, value in pool] == sorted(value for _, value in pool)


def test_the_sharpest_and_the_worst_block_are_found() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (CROP, CROP), np.uint8)
    luma = np.full((3 * CROP + 7, 4 * CROP + 9), 128, np.uint8)
    luma[CROP : 2 * CROP, CROP : 2 * CROP] = noise  # sharp
    for column in (0, 2, 3):  # a smooth ramp: contrast without sharpness
        luma[:CROP, column * CROP : (column + 1) * CROP] = np.linspace(0, 255, CROP).astype(np.uint8)[:, None]
    luma[2 * CROP : 3 * CROP, : 3 * CROP] = np.random.default_rng(1).integers(90, 160, (CROP, 3 * CROP), np.uint8)
    sharpest, worst = compared_blocks(luma)
    assert sharpest == (CROP, CROP)
    assert worst in {(0, 0), (0, 2 * CROP), (0, 3 * CROP)}
    assert compared_blocks(np.zeros((5, 9), np.uint8)) == [(0, 0), (0, 0)]


def test_an_image_comes_as_a_thumbnail_and_two_crops_of_its_own_pixels() -> None:
    thumbnail, *crops = (
        cv2.imdecode(np.frombuffer(one, np.uint8), 1) for one in ThumbnailMaker(10**6).pictures(small_jpeg())
    )
    assert max(thumbnail.shape) == 160
    whole = cv2.imdecode(np.frombuffer(small_jpeg(), np.uint8), 1).astype(int)
    for crop in crops:
        assert crop.shape == (CROP, CROP, 3)
        places = [(y, x) for y in range(0, 240, CROP) for x in range(0, 320, CROP)]
        gaps = [np.abs(whole[y : y + CROP, x : x + CROP] - crop).mean() for y, x in places]
        assert min(gaps) < 4


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
