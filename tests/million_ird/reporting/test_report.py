"""The report: its numbers on plain arrays, its page from a made ledger. The browser's side is in integration/."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from million_ird.candidate import Candidate, Failed, Keep
from million_ird.config.gates import Gate
from million_ird.config.rules import BuildLimits
from million_ird.errors import SourceError
from million_ird.ledger import funnel
from million_ird.reporting import gallery
from million_ird.reporting.counts import count_values
from million_ird.reporting.formatting import apart, duration, number, share
from million_ird.reporting.histograms import FigureAxis, histogram
from million_ird.reporting.report import render_report, write_report
from million_ird.reporting.rows import LedgerRows
from million_ird.reporting.sliders import MAX_ROWS, GateLimit, Slider, gate_limits, slider_data, stop_codes, stops_along
from million_ird.reporting.steps import funnel_steps
from million_ird.runtime.storage import Folder
from million_ird.schema import KEPT, NOT_MEASURED
from tests.million_ird import scenes
from tests.million_ird.reporting.synthetic_ledgers import MadeSource, decided, picture, recipe, scanned, with_texts

NAN = float("nan")


class _Page(HTMLParser):
    """Tags, attributes and text of a page; checks that what is opened is closed."""

    EMPTY = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.35, "0.35"),
        (1024, "1,024"),
        (12.3456, "12.35"),
        (2081790, "2,081,790"),
        (0.00012345, "0.0001234"),
        (-3.5, "-3.5"),
        (100, "100"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_a_value_beside_its_limit_never_reads_like_it() -> None:
    assert apart(0.35, 0.3) == "0.35"
    assert apart(0.350000012, 0.35) == "0.35000001"
    assert apart(1023.9999, 1024) == "1,023.9999"


def test_share_says_neither_nothing_nor_all_where_it_is_not_so() -> None:
    assert [share(0, 9), share(9, 9), share(1, 10**6), share(10**6 - 1, 10**6), share(1, 3), share(0, 0)] == [
        "0.0 %",
        "100.0 %",
        "< 0.1 %",
        "> 99.9 %",
        "33.3 %",
        "–",
    ]


def test_duration() -> None:
    assert [duration(0.5), duration(12.3), duration(90), duration(7300)] == [
        "0.50 s",
        "12 s",
        "1 min 30 s",
        "2 h 01 min",
    ]


def test_every_column_of_a_measure_has_a_sentence() -> None:
    recipe = scenes.recipe()
    assert recipe.description("mean_luma") == "Mean BT.601 luma (0–255, neither end is good)."
    assert recipe.description("no_such_field") == ""
    assert not [name for spec in recipe.specs.values() for name in spec.fields if not recipe.description(name)]


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([0.0, 0.2, 0.9], [0.35]),
        ([1.0, 40.0, 5000.0, 20.0, 30.0], [1024.0]),
        ([0.0] * 50 + [0.001, 0.002, 0.9], [0.5]),
        ([73.0, 80.0, 100.0], [40.0]),
        ([5.0], []),
        ([0.0], [0.0]),
        ([], [3.0]),
        ([], []),
        ([-20.0, 35.5], [20.0]),
        ([1e-9, 3e12], []),
    ],
)
def test_an_axis_shows_every_number_and_limit(values: list[float], limits: list[float]) -> None:
    axis = FigureAxis.over(np.array([*values, NAN]), limits)
    assert axis.low < axis.high
    assert all(axis.least <= value <= axis.high for value in [*values, *limits])
    places = [place for place, _ in axis.ticks()]
    assert places == sorted(set(places))
    assert 2 <= len(places) <= 9
    back = axis.value(axis.place(np.array(limits)))
    np.testing.assert_allclose(back, np.maximum(limits, axis.low) if limits else [])


@pytest.mark.parametrize("whole", [False, True])
def test_a_histogram_counts_every_number_once(whole: bool) -> None:
    draw = np.random.default_rng(1)
    values = draw.uniform(40, 100, 1000)
    values = np.rint(values) if whole else values
    values[:100] = NAN
    kept = draw.random(1000) < 0.5
    bins = histogram(values, kept, FigureAxis.over(values))
    counts = [tuple(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:kept|not)", bin.title)) for bin in bins]
    assert sum(good for good, _ in counts) == int(kept[100:].sum())
    assert sum(other for _, other in counts) == int((~kept[100:]).sum())
    assert max(bin.kept + bin.rest for bin in bins) == pytest.approx(100, abs=2)
    assert all(bin.left + bin.width <= 100.01 and bin.width > 0 for bin in bins)


def test_a_histogram_of_nothing() -> None:
    assert histogram(np.array([NAN]), np.array([True]), FigureAxis.over(np.array([NAN]))) == []


@pytest.mark.parametrize(("side", "limit"), [("min", 1024.0), ("max", 0.35), ("min", 0.0), ("max", 7.0)])
def test_the_codes_decide_as_the_gate_does_at_every_stop(side: str, limit: float) -> None:
    values = np.array([0.0, 1e-9, 0.35, 0.35000001, 7, 7.5, 1023.99, 1024, 1024.01, 5e6, NAN])
    at = stops_along(FigureAxis.over(values, [limit]), limit)
    assert limit in at
    assert len(at) <= 254
    assert np.all(np.diff(at) >= 0)
    packed = stop_codes(values, at, side)
    for stop, threshold in enumerate(at.tolist()):
        gate = Gate(field="x", min=threshold if side == "min" else None, max=threshold if side == "max" else None)
        keeps = [isinstance(gate.judge({"x": value}), Keep) for value in values.tolist()]
        assert (packed > stop if side == "min" else packed <= stop).tolist() == keeps
    everything = 0 if side == "min" else len(at) - 1
    assert (packed > everything if side == "min" else packed <= everything).all()


def test_the_funnel_adds_up_and_follows_the_order_of_the_rules() -> None:
    by = recipe()
    ledger = decided(scanned(500, by), by)
    found = funnel_steps(funnel(ledger), by)
    assert [step.name for step in found] == [
        "failed",
        "small",
        "exposure",
        "few_colours",
        "blurred",
        "duplicate_exact",
        "duplicate_near",
    ]
    left = ledger.num_rows
    for step in found:
        left -= step.dropped
        assert step.left == left
    assert left == ledger["verdict"].to_pylist().count(KEPT)
    assert found[2].rule == "mean_luma at least 40 and at most 220"


def test_a_reason_that_the_recipe_does_not_know_is_in_the_funnel_too() -> None:
    by = recipe()
    rows = scanned(50, by)
    kept = decided(rows, by)["verdict"].to_pylist().index(KEPT)
    ledger = with_texts(decided(rows, by), {"verdict": {kept: "dropped"}, "reason": {kept: "in a benchmark"}})
    found = funnel_steps(funnel(ledger), by)
    assert (found[-1].name, found[-1].dropped) == ("in a benchmark", 1)
    assert found[-1].left == ledger["verdict"].to_pylist().count(KEPT)


def test_sources_and_licences_are_counted() -> None:
    by = recipe()
    ledger = decided(scanned(300, by), by)
    assert [group.candidates for group in count_values(ledger, "source")] == [100, 100, 100]
    assert [(group.name, group.candidates) for group in count_values(ledger, "licence")] == [
        (None, 150),
        ("CC0-1.0", 150),
    ]
    assert sum(g.kept for g in count_values(ledger, "source")) == ledger["verdict"].to_pylist().count(KEPT)


def test_the_same_ledger_gives_the_same_bytes(tmp_path: object) -> None:
    by = recipe()
    ledger = decided(scanned(300, by), by)
    folder = Folder(str(tmp_path))
    path = write_report(folder, ledger, by, {}, {})
    first = folder.read("report/index.html")
    assert path == folder.path("report/index.html")
    write_report(folder, decided(scanned(300, by), by), by, {}, {"header": 2.0, "decode": 3.5})
    second = folder.read("report/index.html")
    without_time = [re.sub(rb'(?s)<section id="time".*?</section>', b"", page) for page in (first, second)]
    assert without_time[0] == without_time[1]
    assert "decode" in _Page(second.decode()).text


def test_the_page_is_well_formed_and_says_what_matters() -> None:
    by = recipe()
    ledger = decided(scanned(2000, by), by)
    page = _Page(render_report(ledger, by, {}, {"header": 1.0, "decode": 3.0}))
    counted = funnel(ledger)
    assert f"Candidates 2,000 Kept {counted.kept:,} {share(counted.kept, 2000)}" in page.text
    assert "Every candidate is counted" in page.text
    assert "truncated" in page.text
    assert "ends early" in page.text
    assert "4.00 s spent on measuring in this run" in page.text
    assert by.digest in page.text
    assert len(page.named("h1")) == 1
    assert len(page.named("input")) == 5
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for a in page.named("a")} | {f"#{a['for']}" for a in page.named("label")}
    assert targets <= {f"#{one}" for one in ids}


def test_every_candidate_failed() -> None:
    by = recipe(duplicates={"radius": None})
    rows = with_texts(scanned(3, by), {"failure_class": dict.fromkeys(range(3), "truncated")})
    page = _Page(render_report(decided(rows, by), by, {}, {}))
    assert "No image was kept." in page.text


def test_no_gates_and_no_candidates() -> None:
    by = recipe(gates=[])
    page = _Page(render_report(decided(scanned(40, by), by), by, {}, {}))
    assert "the recipe has no gates" in page.text
    assert page.named("script") == []
    by = recipe(duplicates={"radius": None})
    assert "Candidates 0" in _Page(render_report(decided(scanned(0, by), by), by, {}, {})).text


def test_names_reasons_and_details_are_text_whatever_they_hold() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&</style>{{ 7*7 }}‮"
    by = recipe(
        name=evil,
        gates=[
            {"field": "short_side", "min": 1024, "reason": f"</script>{evil}"},
            {"field": "mean_luma", "max": 220, "reason": evil},
        ],
    )
    rows = with_texts(
        scanned(200, by),
        {column: dict.fromkeys(range(200), evil) for column in ("uri", "source", "licence", "failure_detail")},
    )
    html = render_report(decided(rows, by), by, {evil: MadeSource(evil)}, {evil: 1.0})
    page = _Page(html)
    assert evil in page.text
    assert len(page.named("script")) == 2
    assert len(page.named("style")) == 1
    assert all("src" not in script for script in page.named("script"))
    assert page.named("img") == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    held = json.loads(re.findall(r'(?s)<script type="application/json" id="data">(.*?)</script>', html)[0])
    assert held["gates"][1]["reason"] == evil


def test_only_the_pages_own_script_may_run_and_nothing_may_be_fetched() -> None:
    by = recipe()
    html = render_report(decided(scanned(50, by), by), by, {}, {})
    policy = next(a["content"] for a in _Page(html).named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    script = re.findall(r"(?s)<script>(.*?)</script>", html)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"(?:src|href)=\"(?!data:|#)|url\(|@import|https?://", html)


def test_thumbnails_are_small_and_those_that_cannot_be_had_say_why() -> None:
    by = recipe(duplicates={"radius": None})
    good, broken = picture(), b"no picture at all"
    rows = scanned(6, by)
    rows = with_texts(
        rows,
        {
            "source": dict.fromkeys(range(6), "here"),
            "id": {0: hashlib.sha256(good).hexdigest(), 1: hashlib.sha256(broken).hexdigest()},
        },
    )
    uris = rows["uri"].to_pylist()
    source = MadeSource("here", {uris[0]: good, uris[1]: broken, uris[2]: good, uris[3]: Failed("gone", "404")})
    found = gallery.thumbnails(LedgerRows(decided(rows, by)), [0, 1, 2, 3, 3], {"here": source}, BuildLimits())
    assert found[0].src.startswith("data:image/jpeg;base64,")
    assert len(found[0].src) < 12_000
    problems = [found[i].problem for i in (1, 2, 3)]
    assert problems == ["no known picture format", "changed since it was measured", "404"]
    elsewhere = gallery.thumbnails(LedgerRows(decided(rows, by)), [4], {}, BuildLimits())
    assert elsewhere[4].problem == "its source is not available"


def test_a_source_that_raises_leaves_a_placeholder() -> None:
    class Gone(MadeSource):
        def fetch(self, candidate: Candidate) -> bytes | Failed:
            raise SourceError("the disk was taken out") if candidate.uri.endswith("0.jpg") else OSError("stale handle")

    by = recipe(duplicates={"radius": None})
    rows = with_texts(scanned(2, by), {"source": dict.fromkeys(range(2), "here")})
    found = gallery.thumbnails(LedgerRows(decided(rows, by)), [0, 1], {"here": Gone("here")}, BuildLimits())
    assert [found[i].problem for i in (0, 1)] == ["the disk was taken out", "stale handle"]


def test_what_was_never_fetched_is_not_fetched_for_the_report() -> None:
    class Refuses(MadeSource):
        def fetch(self, candidate: Candidate) -> bytes | Failed:
            raise AssertionError(candidate.uri)

    by = recipe()
    rows = scanned(1, by)
    rows = rows.set_column(rows.column_names.index("id"), rows.schema.field("id"), pa.nulls(1, pa.string()))
    found = gallery.thumbnails(LedgerRows(decided(rows, by)), [0], {"source 0": Refuses("source 0")}, BuildLimits())
    assert found[0].problem == "never fetched"


def test_the_borderline_pictures_are_the_nearest_on_either_side() -> None:
    by = recipe()
    rows = LedgerRows(decided(scanned(3000, by), by))
    for limit in gate_limits(by):
        border = gallery.choose_borderline(rows, limit)
        values = rows.values(limit.gate.field)
        dropped = rows.dropped_for(limit.gate.drop_reason) & limit.breaks(values)
        for shown, side in ((border.dropped, dropped), (border.kept, rows.kept)):
            assert len(shown) == gallery.BORDERLINE_SHOWN
            assert all(side[one.position] for one in shown)
            gaps = [abs(float(values[one.position]) - limit.value) for one in shown]
            assert gaps == sorted(gaps)
            assert gaps == sorted(np.abs(values[side] - limit.value))[: len(gaps)]


def test_copies_lie_beside_the_picture_that_stays() -> None:
    by = recipe()
    rows = LedgerRows(decided(scanned(3000, by), by))
    groups = gallery.choose_duplicates(rows)
    assert len(groups) == gallery.GROUPS_SHOWN
    for group in groups:
        assert rows.kept[group.kept.position]
        key = rows.identity(group.kept.position)["key"]
        assert rows.texts("duplicate_of", np.array([one.position for one in group.duplicates])) == [key] * len(
            group.duplicates
        )


def test_the_payload_starts_at_what_was_kept() -> None:
    by = recipe()
    rows = LedgerRows(decided(scanned(2000, by), by))
    sliders = [Slider.along(FigureAxis.over(rows.values(one.gate.field), [one.value]), one) for one in gate_limits(by)]
    held = slider_data(rows, by, sliders)
    passing = np.ones(held["rows"], bool)
    for slider in held["sliders"]:
        column = np.frombuffer(base64.b64decode(slider["codes"]), np.uint8)
        passing &= column > slider["start"] if slider["side"] == "min" else column <= slider["start"]
        assert slider["stops"][slider["start"]] == getattr(by.gates[slider["gate"]], slider["side"])
    whole = np.frombuffer(base64.b64decode(held["whole"]), np.uint8) == 1
    groups = {group for row, group in zip(held["members"], held["groups"], strict=True) if passing[row]}
    copies = sum(1 for row in held["members"] if passing[row]) - len(groups)
    assert int((passing & whole).sum()) - copies == held["kept"] == int(rows.kept.sum())
    assert int((passing & ~whole).sum()) == 0


def test_rows_that_no_threshold_brings_back_are_not_counted() -> None:
    by = recipe(gates=[{"field": "jpeg_quality", "min": 40, "required": True}])
    rows = LedgerRows(decided(scanned(400, by), by))
    expected = int((~rows.failed & ~np.isnan(rows.values("jpeg_quality"))).sum())
    held = slider_data(
        rows, by, [Slider.along(FigureAxis.over(rows.values("jpeg_quality"), [40]), limit) for limit in gate_limits(by)]
    )
    assert held["rows"] == expected < 400


def test_limits_read_as_one_would_write_them() -> None:
    assert [limit.text for limit in gate_limits(recipe())][:3] == [
        "short_side ≥ 1,024",
        "mean_luma ≥ 40",
        "mean_luma ≤ 220",
    ]
    assert GateLimit(Gate(field="x", min=1), "min", 1).breaks(np.array([0.5, 1, NAN])).tolist() == [True, False, False]


def test_a_hundred_thousand_candidates_keep_the_page_under_20_mb() -> None:
    by = recipe()
    ledger = decided(scanned(100_000, by), by)
    good = picture()
    uris = ledger["uri"].to_pylist()
    # Every picture can be had and is of the same bytes: the page is as heavy as it gets.
    ledger = with_texts(ledger, {"id": dict.fromkeys(range(100_000), hashlib.sha256(good).hexdigest())})
    sources = {f"source {i}": MadeSource(f"source {i}", dict.fromkeys(uris, good)) for i in range(3)}
    html = render_report(ledger, by, sources, {})
    assert len(html.encode()) < 20_000_000
    assert html.count("data:image/jpeg") > 100
    assert "Every candidate is counted" in html


def test_of_more_candidates_a_sample_by_key_is_held_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("million_ird.reporting.sliders.MAX_ROWS", 500)
    by = recipe()
    ledger = decided(scanned(2000, by), by)
    rows = LedgerRows(ledger)
    held = slider_data(rows, by, [])
    assert (held["candidates"], held["sampled"]) == (2000, 500)
    smallest = sorted(ledger["key"].to_pylist())[:500]
    assert [ledger["key"][int(i)].as_py() for i in rows.by_key[:500]] == smallest
    text = _Page(render_report(ledger, by, {}, {})).text
    assert "estimates from a sample of 500 of the 2,000 candidates" in text
    assert MAX_ROWS == 100_000


def test_a_picture_that_was_never_measured_whole_is_a_step_of_the_funnel() -> None:
    rows = scanned(800, recipe())
    loose = recipe(gates=[{"field": "short_side", "min": 512, "reason": "small"}])
    found = {step.name: step for step in funnel_steps(funnel(decided(rows, loose)), loose)}
    assert found[NOT_MEASURED].dropped > 0
