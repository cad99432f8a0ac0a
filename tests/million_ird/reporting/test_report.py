"""The HTML report of a synthetic ledger. The behaviour in a browser is tested in integration/."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from million_ird.config.recipe import Recipe
from million_ird.ledger import funnel
from million_ird.ledger_stream import LedgerStream
from million_ird.reporting.formatting import share
from million_ird.reporting.report import render_report, write_report
from million_ird.reporting.rows import fold
from million_ird.reporting.sliders import MAX_ROWS, SliderSample, slider_data
from million_ird.runtime.storage import Folder
from million_ird.schema import EXACT
from tests.million_ird import scenes
from tests.million_ird.reporting.synthetic_ledgers import (
    SyntheticSource,
    decide_rows,
    make_recipe,
    scan_rows,
    small_jpeg,
    with_texts,
)


def made(rows: pa.Table, recipe: Recipe) -> LedgerStream:
    """The ledger of some rows, in batches of 97."""
    return LedgerStream.of_table(decide_rows(rows, recipe), 97)


class PageParser(HTMLParser):
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


def test_every_column_of_a_measure_has_a_sentence() -> None:
    make_recipe = scenes.recipe()
    assert make_recipe.description("mean_luma") == "Mean BT.601 luma (0–255, neither end is good)."
    assert make_recipe.description("no_such_field") == ""
    assert not [
        name for spec in make_recipe.specs.values() for name in spec.fields if not make_recipe.description(name)
    ]


def test_the_same_ledger_gives_the_same_bytes(tmp_path: object) -> None:
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(300, recipe), recipe)
    folder = Folder(str(tmp_path))
    path = write_report(folder, LedgerStream.of_table(ledger), recipe, {}, {})
    first = folder.read("report/index.html")
    assert path == folder.path("report/index.html")
    write_report(
        folder,
        made(scan_rows(300, recipe), recipe),
        recipe,
        {},
        {"header": 2.0, "decode": 3.5},
    )
    second = folder.read("report/index.html")
    without_time = [re.sub(rb'(?s)<section id="time".*?</section>', b"", page) for page in (first, second)]
    assert without_time[0] == without_time[1]
    assert "decode" in PageParser(second.decode()).text


def test_the_page_is_well_formed_and_complete() -> None:
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(2000, recipe), recipe)
    page = PageParser(render_report(LedgerStream.of_table(ledger), recipe, {}, {"header": 1.0, "decode": 3.0}))
    counted = funnel(ledger)
    assert f"Candidates 2,000 Kept {counted.kept:,} {share(counted.kept, 2000)}" in page.text
    assert "Every candidate is counted" in page.text
    assert "truncated" in page.text
    assert "ends early" in page.text
    assert "4.00 s spent on measuring in this run" in page.text
    assert recipe.digest in page.text
    assert len(page.named("h1")) == 1
    assert len(page.named("input")) == 5
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for a in page.named("a")} | {f"#{a['for']}" for a in page.named("label")}
    assert targets <= {f"#{one}" for one in ids}


def test_sections_are_named_by_their_rule_and_linked_from_the_funnel() -> None:
    recipe = make_recipe()
    html = render_report(made(scan_rows(2000, recipe), recipe), recipe, {}, {}, title="my-set")
    assert "<title>my-set: build report</title>" in html
    assert "Sources: source 0 (" in PageParser(html).text.replace("Sources: source 1", "Sources: source 0")
    headings = re.findall(r'<h3 id="(field-\d)"><bdi>(\w+)</bdi> <small><code>(\w+)</code>', html)
    assert [(reason, field) for _, reason, field in headings] == [
        ("small", "short_side"),
        ("exposure", "mean_luma"),
        ("few_colours", "top_colours"),
        ("blurred", "sharpest_blocks"),
    ]
    for anchor, reason, _ in headings:
        assert f'<th scope="row"><a href="#{anchor}"><bdi>{reason}</bdi></a>' in html
    assert f'<a href="#duplicates"><bdi>{EXACT}</bdi>' in html


def test_a_constant_measure_has_no_axis_and_a_logarithmic_axis_says_so() -> None:
    recipe = make_recipe()
    rows = scan_rows(400, recipe)
    for name, values in (("jpeg_quality", [75.0] * 400), ("laplacian_variance", [1.0] * 399 + [1000.0])):
        place = rows.column_names.index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
    html = render_report(made(rows, recipe), recipe, {}, {})
    assert "<p>75 for every candidate that has this number.</p>" in html
    assert "Histogram of jpeg_quality" not in html
    articles = {
        re.findall(r"Histogram of (\w+)", one)[0]: one for one in html.split("<article") if "Histogram of" in one
    }
    assert "logarithmic axis" in articles["laplacian_variance"]
    assert "logarithmic axis" not in articles["mean_luma"]


def test_a_report_where_every_candidate_failed() -> None:
    recipe = make_recipe(duplicates={"radius": None})
    rows = with_texts(scan_rows(3, recipe), {"failure_class": dict.fromkeys(range(3), "truncated")})
    page = PageParser(render_report(made(rows, recipe), recipe, {}, {}))
    assert "No image was kept." in page.text


def test_reports_without_gates_and_without_candidates() -> None:
    recipe = make_recipe(gates=[])
    page = PageParser(render_report(made(scan_rows(40, recipe), recipe), recipe, {}, {}))
    assert "the recipe has no gates" in page.text
    assert len(page.named("script")) == 1
    recipe = make_recipe(duplicates={"radius": None})
    assert "Candidates 0" in PageParser(render_report(made(scan_rows(0, recipe), recipe), recipe, {}, {})).text


def test_names_reasons_and_details_are_escaped() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&</style>{{ 7*7 }}‮"
    recipe = make_recipe(
        name=evil,
        gates=[
            {"field": "short_side", "min": 1024, "reason": f"</script>{evil}"},
            {"field": "mean_luma", "max": 220, "reason": evil},
        ],
    )
    rows = with_texts(
        scan_rows(200, recipe),
        {column: dict.fromkeys(range(200), evil) for column in ("uri", "source", "licence", "failure_detail")},
    )
    html = render_report(made(rows, recipe), recipe, {evil: SyntheticSource(evil)}, {evil: 1.0})
    page = PageParser(html)
    assert evil in page.text
    assert len(page.named("script")) == 2
    assert len(page.named("style")) == 1
    assert all("src" not in script for script in page.named("script"))
    assert page.named("img") == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    held = json.loads(re.findall(r'(?s)<script type="application/json" id="data">(.*?)</script>', html)[0])
    assert held["gates"][1]["reason"] == evil


def test_only_the_script_of_the_page_may_run_and_nothing_is_loaded() -> None:
    recipe = make_recipe()
    html = render_report(made(scan_rows(50, recipe), recipe), recipe, {}, {})
    policy = next(
        a["content"] for a in PageParser(html).named("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    script = re.findall(r"(?s)<script>(.*?)</script>", html)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"(?:src|href)=\"(?!data:|#)|url\(|@import|https?://", html)


def test_a_report_of_100_000_candidates_is_under_20_mb() -> None:
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(100_000, recipe), recipe)
    good = small_jpeg()
    uris = ledger["uri"].to_pylist()
    # Every picture can be had and is of the same bytes: the page is as heavy as it gets.
    ledger = with_texts(ledger, {"id": dict.fromkeys(range(100_000), hashlib.sha256(good).hexdigest())})
    sources = {f"source {i}": SyntheticSource(f"source {i}", dict.fromkeys(uris, good)) for i in range(3)}
    html = render_report(LedgerStream.of_table(ledger), recipe, sources, {})
    assert len(html.encode()) < 20_000_000
    assert html.count("data:image/jpeg") > 100
    assert "Every candidate is counted" in html


def test_a_larger_ledger_is_sampled_by_key_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("million_ird.reporting.sliders.MAX_ROWS", 500)
    recipe = make_recipe()
    ledger = decide_rows(scan_rows(2000, recipe), recipe)
    sample = SliderSample(recipe)
    fold(LedgerStream.of_table(ledger, 300), [sample])
    rows = sample.rows()
    held = slider_data(rows, funnel(ledger), recipe, [])
    assert (held["candidates"], held["sampled"]) == (2000, 500)
    smallest = set(sorted(ledger["key"].to_pylist())[:500])
    assert rows is not None
    assert rows.table["key"].to_pylist() == [key for key in ledger["key"].to_pylist() if key in smallest]
    text = PageParser(render_report(LedgerStream.of_table(ledger), recipe, {}, {})).text
    assert "estimates from a sample of 500 of the 2,000 candidates" in text
    assert MAX_ROWS == 100_000
