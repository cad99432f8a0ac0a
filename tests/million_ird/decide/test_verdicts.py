"""Verdicts of plain rows: the order of the rules, copies of all kinds, and a million rows in bounded memory."""

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from million_ird.config.loading import parse
from million_ird.config.recipe import Recipe
from million_ird.decide.verdicts import decide, needed_columns
from million_ird.ledger import funnel, scanned_schema, to_table
from million_ird.measure_types import Tier
from tests.million_ird.signatures import frame_of

RECIPE = parse(
    {
        "gates": [
            {"field": "sharpest_blocks", "min": 3, "reason": "blurred"},
            {"field": "short_side", "min": 100, "reason": "small"},
            {"field": "jpeg_quality", "min": 40, "required": True, "reason": "compressed"},
        ]
    },
    origin="test",
)


def row(key: str, **changes: object) -> dict[str, object]:
    """Return a row that passes every rule."""
    plain = {
        "key": key,
        "source": "s",
        "uri": key,
        "version": "1",
        "id": f"id of {key}",
        "pixels_id": f"pixels of {key}",
        "bytes": 100,
        "width": 200,
        "height": 200,
        "phash": hashlib.sha256(key.encode()).hexdigest()[:16],
        "tier": int(Tier.NEURAL),
        "short_side": 200.0,
        "jpeg_quality": 90.0,
        "sharpest_blocks": 10.0,
        **changes,
    }
    return plain | {"frame": frame_of(str(plain["phash"])) if plain["phash"] else None}


def decided(rows: list[dict[str, object]], recipe: Recipe = RECIPE, vanished: int = 0) -> list[dict[str, object]]:
    table = to_table(rows, scanned_schema(recipe.ledger_entries))
    verdicts = decide(table.select([*needed_columns(recipe), "frame", "points", "view"]), recipe, vanished)
    assert verdicts.num_rows == len(rows)
    counted = funnel(verdicts.append_column("failure_class", table["failure_class"]))
    assert counted.kept + sum(counted.dropped.values()) + counted.failed == counted.candidates == len(rows)
    result: list[dict[str, object]] = verdicts.to_pylist()
    return result


def reasons(rows: list[dict[str, object]], recipe: Recipe = RECIPE, vanished: int = 0) -> list[object]:
    return [verdict["reason"] or verdict["verdict"] for verdict in decided(rows, recipe, vanished)]


def test_the_cheapest_gate_is_the_reason_in_any_order_of_the_recipe() -> None:
    both = row("a", short_side=50.0, sharpest_blocks=1.0)
    (found,) = decided([both])
    assert (found["verdict"], found["reason"], found["measured"], found["limit"]) == ("dropped", "small", 50.0, 100.0)


def test_a_failure_is_a_failure_with_any_numbers_unless_its_file_vanished() -> None:
    rows = [row("a", failure_class="truncated", short_side=1.0), row("b", failure_class="empty", phash=None)]
    assert reasons(rows) == ["failed", "failed"]
    assert reasons(rows, vanished=1) == ["failed", "vanished"]


def test_a_null_passes_and_a_required_null_does_not() -> None:
    assert reasons([row("a", short_side=None), row("b", jpeg_quality=None)]) == ["kept", "compressed"]
    assert reasons([row("a", short_side=float("nan")), row("b", jpeg_quality=float("nan"))]) == ["kept", "compressed"]


def test_a_required_number_that_was_not_measured_yet_does_not_drop() -> None:
    stopped = row("a", tier=int(Tier.DECLARED), jpeg_quality=None, sharpest_blocks=None, phash=None)
    assert reasons([stopped]) == ["not_measured"]
    assert reasons([{**stopped, "tier": int(Tier.HEADER)}]) == ["compressed"]


def test_a_row_that_passes_but_was_not_measured_completely_is_not_measured() -> None:
    assert reasons([row("a", phash=None, tier=int(Tier.HEADER), sharpest_blocks=None)]) == ["not_measured"]


def test_vanished_rows_are_dropped_and_represent_no_copies() -> None:
    rows = [row("a", id="same"), row("b", id="same")]
    assert reasons(rows, vanished=1) == ["kept", "vanished"]


def test_the_first_of_exact_copies_is_kept() -> None:
    found = decided([row("a", id="x", phash="0" * 16), row("b"), row("c", id="x", phash="0" * 16)])
    assert [verdict["reason"] or verdict["verdict"] for verdict in found] == ["kept", "kept", "duplicate_exact"]
    assert [verdict["duplicate_of"] for verdict in found] == [None, None, "a"]
    assert [verdict["cluster"] for verdict in found] == ["a", None, "a"]


def test_the_largest_of_near_duplicates_is_kept() -> None:
    rows = [row("a", phash="0" * 16), row("b", phash=f"{0b1111:016x}", width=400), row("c", phash=f"{0b11111:016x}")]
    found = decided(rows)
    assert [verdict["reason"] or verdict["verdict"] for verdict in found] == [
        "duplicate_near",
        "kept",
        "duplicate_near",
    ]
    assert [verdict["duplicate_of"] for verdict in found] == ["b", None, "b"]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"webp_quality": 90.0}),
        ({}, {"avif_quality": 80.0}),
        ({"webp_quality": 90.0}, {"webp_quality": 60.0}),
        ({"webp_quality": 90.0}, {"jpeg_quality": 80.0}),
        ({"jpeg_quality": 80.0}, {"webp_quality": 60.0}),
        ({"avif_quality": 70.0}, {"jpeg_quality": 80.0}),
        ({"jpeg_quality": 80.0}, {"avif_quality": 42.0}),
        ({"jpeg_quality": 95.0}, {"jpeg_quality": 95.0, "jpeg_trace": 60.0}),
    ],
    ids=str,
)
def test_of_copies_alike_the_least_compressed_is_kept(better: dict[str, float], worse: dict[str, float]) -> None:
    quality = dict.fromkeys(("jpeg_quality", "jpeg_trace", "webp_quality", "avif_quality"))
    for first, second in ((better, worse), (worse, better)):
        rows = [row("a", phash="0" * 16, **(quality | first)), row("b", phash="0" * 16, **(quality | second))]
        dropped = ["duplicate_near" if one is worse else "kept" for one in (first, second)]
        assert reasons(rows, parse({"gates": []}, origin="test")) == dropped


def test_an_exact_copy_points_to_the_image_that_replaced_its_original() -> None:
    rows = [
        row("small", id="x", phash="0" * 16),
        row("small again", id="x", phash="0" * 16),
        row("large", phash=f"{1:016x}", width=900),
    ]
    found = decided(rows)
    assert [verdict["reason"] or verdict["verdict"] for verdict in found] == [
        "duplicate_near",
        "duplicate_exact",
        "kept",
    ]
    assert [verdict["duplicate_of"] for verdict in found] == ["large", "large", None]
    assert [verdict["cluster"] for verdict in found] == ["large"] * 3


def test_an_image_that_a_gate_drops_does_not_drop_its_copies() -> None:
    rows = [row("a", id="x", short_side=50.0), row("b", id="x")]
    assert reasons(rows) == ["small", "kept"]


@pytest.mark.parametrize(
    ("duplicates", "expected"),
    [
        ({"exact": False}, ["duplicate_near", "kept"]),
        ({"radius": None}, ["duplicate_exact", "kept"]),
        ({"exact": False, "radius": None}, ["kept", "kept"]),
        ({"radius": 0}, ["duplicate_exact", "kept"]),
    ],
)
def test_each_duplicate_rule_can_be_switched_off(duplicates: dict[str, object], expected: list[str]) -> None:
    rows = [row("a", id="x", phash="f" * 16), row("b", id="x", phash="f" * 16, width=900)]
    assert reasons(rows, parse({"duplicates": duplicates}, origin="test")) == expected


def test_no_rows_give_no_rows() -> None:
    assert decided([]) == []


def test_only_failures_are_decided() -> None:
    assert reasons([row("a", failure_class="empty", id=None, phash=None, width=None)]) == ["failed"]


def test_licences_are_judged_before_gates() -> None:
    rules = parse({"licences": {"allow": ["CC0"]}, "gates": [{"field": "short_side", "min": 100}]}, origin="test")
    rows = [row("a", licence="cc0 "), row("b", licence="ARR", short_side=1.0), row("c", licence=None)]
    assert reasons(rows, rules) == ["kept", "licence", "licence"]


@settings(max_examples=60)
@given(st.data())
def test_kept_images_are_not_copies_of_each_other_and_every_copy_points_to_one(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 14))
    rows = [
        row(
            f"k{i}",
            id=data.draw(st.sampled_from(["x", "y", f"own {i}"])),
            phash=f"{data.draw(st.integers(0, 255)):016x}",
            width=data.draw(st.integers(100, 102)),
            short_side=data.draw(st.sampled_from([50.0, 200.0])),
            failure_class=data.draw(st.sampled_from([None, None, None, "empty"])),
        )
        for i in range(count)
    ]
    vanished = data.draw(st.integers(0, count))
    found = decided(rows, vanished=vanished)
    kept = {
        str(image["key"]): image for image, verdict in zip(rows, found, strict=True) if verdict["verdict"] == "kept"
    }
    assert len({image["id"] for image in kept.values()}) == len(kept)
    hashes = [int(str(image["phash"]), 16) for image in kept.values()]
    assert all((a ^ b).bit_count() > 4 for i, a in enumerate(hashes) for b in hashes[:i])
    for verdict in found:
        if verdict["duplicate_of"] is not None:
            assert verdict["duplicate_of"] in kept
            assert verdict["cluster"] == verdict["duplicate_of"]
    assert found == decided(rows, vanished=vanished)


MILLION = """
import resource, sys, time
import numpy as np, pyarrow as pa
from million_ird.decide.verdicts import decide, needed_columns
from million_ird.ledger import measured_schema
from million_ird.config.loading import parse
rows = 1_000_000
gates = [{"field": "short_side", "min": 100}, {"field": "entropy", "min": 100}, {"field": "contrast", "max": 1900}]
recipe = parse({"gates": gates}, origin="test")
random = np.random.default_rng(0)
def column(name, kind):
    if name in ("key", "id"):
        return pa.array([f"{i:032x}" for i in range(rows)])
    if name == "phash":
        return pa.array([f"{h:016x}" for h in random.integers(0, 2**64, rows, np.uint64)])
    if pa.types.is_floating(kind):
        return pa.array(random.uniform(0, 2000, rows))
    if pa.types.is_integer(kind):
        return pa.array(random.integers(1, 100, rows)).cast(kind)
    return pa.nulls(rows, kind)
schema = measured_schema(recipe.ledger_entries)
names = [*needed_columns(recipe), "frame", "points", "view"]
table = pa.table({name: column(name, schema.field(name).type) for name in names})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decide(table.slice(0, 1000), recipe)
start = time.perf_counter()
found = decide(table, recipe)
assert found["verdict"].to_pylist().count("kept") > rows // 2
seconds = time.perf_counter() - start
print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, file=sys.stderr)
"""


@pytest.mark.full
def test_a_million_rows_are_decided_in_bounded_time_and_memory() -> None:
    ran = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True, timeout=280)
    seconds, grown = map(float, ran.stderr.split()[-2:])
    print(f"1,000,000 rows: {seconds:.1f} s, {grown:.0f} MB more")
    assert grown < 1024, "MB"
    assert seconds < 60


def test_an_enlarged_copy_does_not_displace_the_original() -> None:
    """Enlarged crops have more pixels and a larger drop; a shrunk copy of a soft photograph has a smaller one."""
    same = {"phash": "0123456789abcdef"}
    original = row("original", width=1600, height=1000, octave_drop=15.0, **same)
    crop = row("crop", width=1900, height=1200, octave_drop=25.0, **same)
    assert kept_of([original, crop]) == ["original"]
    larger = row("larger", width=1900, height=1200, octave_drop=16.0, **same)
    assert kept_of([original, crop, larger]) == ["larger"]
    soft = row("soft", width=3200, height=2000, octave_drop=22.0, **same)
    assert kept_of([soft, original]) == ["soft"]
    assert kept_of([original | {"octave_drop": None}, crop]) == ["crop"]


def kept_of(rows: list[dict[str, object]]) -> list[str]:
    """Return the keys that are kept, whatever the order of the rows."""
    found = []
    for ordered in (rows, rows[::-1]):
        verdicts = decide(to_table(ordered, scanned_schema(RECIPE.ledger_entries)), RECIPE).to_pylist()
        found.append([row["key"] for row, it in zip(ordered, verdicts, strict=True) if it["verdict"] == "kept"])
    assert sorted(map(str, found[0])) == sorted(map(str, found[1]))
    return [str(key) for key in found[0]]
