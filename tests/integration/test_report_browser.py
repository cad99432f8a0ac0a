"""The report in a real browser, from file://: what it shows, counts, asks for, and how it fits a phone."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from million_ird.config.recipe import Recipe
from million_ird.decide.verdicts import decide
from million_ird.ledger_stream import LedgerStream
from million_ird.reporting.report import write_report
from million_ird.runtime.storage import Folder
from million_ird.schema import KEPT, NOT_MEASURED
from tests.integration.chromium import Chromium, Page, is_installed
from tests.integration.demo_page import wait_until
from tests.million_ird.reporting.synthetic_ledgers import (
    SyntheticSource,
    decide_rows,
    make_recipe,
    scan_rows,
    small_jpeg,
    with_texts,
)

pytestmark = pytest.mark.skipif(not is_installed(), reason="no Chromium at /usr/bin/chromium")

ROWS = 3000
LONG = "a-name-without-any-place-to-break-" * 6 + ".jpg"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    made = scan_rows(ROWS, make_recipe())
    digest = hashlib.sha256(small_jpeg()).hexdigest()
    # Copies are told by their hashes here; all pictures have the same bytes so that each has a thumbnail.
    return with_texts(made, {"id": dict.fromkeys(range(ROWS), digest), "uri": dict.fromkeys(range(0, ROWS, 7), LONG)})


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return make_recipe(duplicates={"exact": False, "radius": 0})


def made(rows: pa.Table, recipe: Recipe) -> LedgerStream:
    """The ledger of some rows."""
    return LedgerStream.of_table(decide_rows(rows, recipe))


@pytest.fixture(scope="module")
def report(rows: pa.Table, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a report & 100% of Фото 写真")
    uris = set(rows["uri"].to_pylist())
    sources = {f"source {i}": SyntheticSource(f"source {i}", dict.fromkeys(uris, small_jpeg())) for i in range(3)}
    return Path(
        write_report(
            Folder(str(folder)),
            LedgerStream.of_table(decide_rows(rows, recipe)),
            recipe,
            sources,
            {"header": 2.0, "decode": 5.0},
        )
    )


def _move(page: Page, slider: int, stop: int) -> float:
    """Moves a slider to a stop; returns the threshold there."""
    threshold: float = page.run(
        f"""(() => {{
          const input = document.getElementById("slider-{slider}");
          input.value = {stop};
          input.dispatchEvent(new Event("input", {{ bubbles: true }}));
          return JSON.parse(document.getElementById("data").textContent).sliders[{slider}].stops[{stop}];
        }})()"""
    )
    return threshold


def _shown(page: Page) -> tuple[int, int]:
    """What the page says: pictures kept, and pictures that would have to be measured first."""
    kept = page.run("document.getElementById('kept').textContent").replace(",", "")
    change = page.run("document.getElementById('change').textContent")
    more = change.split("and ")[1].split(" ")[0].replace(",", "") if "measured" in change else "0"
    return int(kept), int(more)


def _by_deciding(rows: pa.Table, recipe: Recipe, thresholds: dict[int, float]) -> tuple[int, int]:
    """The same by `decide` with other thresholds; the numbers are the positions of the page's sliders."""
    sides = [
        (i, side) for i, gate in enumerate(recipe.gates) for side in ("min", "max") if getattr(gate, side) is not None
    ]
    gates = list(recipe.gates)
    for slider, value in thresholds.items():
        gate, side = sides[slider]
        gates[gate] = gates[gate].model_copy(update={side: value})
    verdicts = decide(rows, recipe.model_copy(update={"gates": tuple(gates)}))
    counts = [
        pc.sum(pc.equal(verdicts[name], word)).as_py() for name, word in (("verdict", KEPT), ("reason", NOT_MEASURED))
    ]
    return int(counts[0]), int(counts[1] or 0)


def test_it_loads_without_an_error_and_asks_for_nothing_else(browser: Chromium, report: Path) -> None:
    page = browser.open(report.as_uri())
    assert page.errors() == []
    assert page.requested() == [report.as_uri()]
    assert page.run("document.querySelector('h1').textContent") == report.parents[1].name
    broken = "[...document.images].map(i => (i.loading = 'eager', i.decode().then(() => 0, () => 1)))"
    assert page.run(f"Promise.all({broken}).then(all => all.reduce((a, b) => a + b, 0))") == 0
    assert page.run("document.images.length") > 50
    assert page.run("[...document.images].every(image => image.alt)") is True


def test_the_count_at_a_slider_is_that_of_deciding(
    browser: Chromium, report: Path, rows: pa.Table, recipe: Recipe
) -> None:
    page = browser.open(report.as_uri())
    start = _by_deciding(rows, recipe, {})
    assert _shown(page) == start == (start[0], 0)
    for slider in range(5):
        base = page.run(f"Number(document.getElementById('slider-{slider}').value)")
        for stop in (base - 40, base - 1, base + 1, base + 8):
            threshold = _move(page, slider, stop)
            assert _shown(page) == _by_deciding(rows, recipe, {slider: threshold}), (slider, stop)
        page.run("document.getElementById('reset').click()")
        assert _shown(page) == start
    assert page.errors() == []


def test_sliders_respect_each_other(browser: Chromium, report: Path, rows: pa.Table, recipe: Recipe) -> None:
    page = browser.open(report.as_uri())
    moved = {slider: _move(page, slider, stop) for slider, stop in ((0, 110), (1, 20), (3, 60), (4, 80))}
    assert _shown(page) == _by_deciding(rows, recipe, moved)


def test_the_keyboard_moves_a_slider(browser: Chromium, report: Path) -> None:
    page = browser.open(report.as_uri())
    before = page.run("document.getElementById('slider-0').focus(), document.getElementById('value-0').textContent")
    page.press("ArrowRight", 39)
    after = page.run("document.getElementById('value-0').textContent")
    assert before == "1,024"
    assert float(after.replace(",", "")) > 1024
    assert page.run("document.getElementById('slider-0').getAttribute('aria-valuetext')") == after


def test_the_gates_that_it_offers_make_the_same_recipe(browser: Chromium, report: Path, recipe: Recipe) -> None:
    import yaml

    page = browser.open(report.as_uri())
    text = "document.getElementById('yaml').textContent"
    assert make_recipe(**yaml.safe_load(page.run(text))).gates == recipe.gates
    threshold = _move(page, 2, 150)
    assert make_recipe(**yaml.safe_load(page.run(text))).gates[1].max == threshold


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_sticks_out(browser: Chromium, report: Path, width: int, dark: bool) -> None:
    page = browser.open(report.as_uri(), width=width, height=800, dark=dark)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    wide = """[...document.querySelectorAll("body *")]
      .filter(one => !one.closest("pre, .skip, .hush") && one.getBoundingClientRect().right > innerWidth + 1)
      .map(one => one.tagName + "." + one.className)"""
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(f"({wide}).slice(0, 5)") == []


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser: Chromium, report: Path, dark: bool) -> None:
    page = browser.open(report.as_uri(), dark=dark)
    script = """(() => {
      const style = getComputedStyle(document.documentElement);
      const probe = document.body.appendChild(document.createElement("i"));
      const rgb = name => {
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number);
      };
      return Object.fromEntries(["--page", "--raised", "--text", "--quiet", "--kept", "--rest"].map(n => [n, rgb(n)]));
    })()"""
    colours = {name: np.array(value[:3]) / 255 for name, value in page.run(script).items()}

    def light(colour: np.ndarray) -> float:  # WCAG 2.2's relative luminance
        linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    def contrast(one: str, other: str) -> float:
        dim, bright = sorted((light(colours[one]), light(colours[other])))
        return (bright + 0.05) / (dim + 0.05)

    for ground in ("--page", "--raised"):
        assert contrast("--text", ground) >= 7
        assert contrast("--quiet", ground) >= 4.5
    assert contrast("--kept", "--page") >= 4.5
    assert contrast("--rest", "--page") >= 3


def test_images_follow_the_slider(browser: Chromium, report: Path, rows: pa.Table) -> None:
    page = browser.open(report.as_uri())
    given = page.run("document.getElementById('border-0').innerHTML")
    base = page.run("Number(document.getElementById('slider-0').value)")
    threshold = _move(page, 0, base + 30)
    values = dict(enumerate(rows["short_side"].to_pylist()))
    shown = """[...document.querySelectorAll("#border-0 > div")]
      .map(side => [...side.querySelectorAll("li")].map(item => Number(item.dataset.at)))"""
    beyond, within = page.run(shown)
    assert beyond
    assert within
    assert all(values[at] < threshold for at in beyond)
    assert all(values[at] >= threshold for at in within)
    for side in (beyond, within):
        gaps = [abs(values[at] - threshold) for at in side]
        assert gaps == sorted(gaps)
    notes = page.run("[...document.querySelectorAll('#border-0 figcaption b')].map(one => one.textContent)")
    assert notes[0] == f"short_side {values[beyond[0]]:g}"
    page.run("document.getElementById('reset').click()")
    count = "document.getElementById('border-0').querySelectorAll('li').length"
    assert page.run(count) == given.count("<li ")
    assert page.errors() == []


def test_an_image_is_enlarged_and_arrows_go_on(browser: Chromium, report: Path) -> None:
    page = browser.open(report.as_uri())
    page.run("document.querySelector('#images .wall img').click()")
    assert page.run("document.getElementById('viewer').open") is True
    first = page.run("document.querySelector('#enlarged li, #enlarged bdi').textContent")
    assert page.run("document.querySelectorAll('#enlarged .crops img').length") == 2
    page.press("ArrowRight", 39)
    assert page.run("document.querySelector('#enlarged bdi').textContent") != first
    page.press("ArrowLeft", 37)
    assert page.run("document.querySelector('#enlarged bdi').textContent") == first
    page.press("Escape", 27)
    assert page.run("document.getElementById('viewer').open") is False
    place = "[...document.querySelectorAll('#images .wall li')].indexOf(document.activeElement.closest('li'))"
    wait_until(page, f"{place} === 0")  # a dialog tells that it was closed a moment later
    page.press("ArrowRight", 39)
    wait_until(page, f"{place} === 1")
    assert page.errors() == []


def test_filters_leave_what_was_asked_for(browser: Chromium, report: Path) -> None:
    page = browser.open(report.as_uri())
    pick = "(([id, value]) => {{ const s = document.getElementById(id); s.value = value; {0} }})({1})"
    changed = "s.dispatchEvent(new Event('change'));"
    page.run(pick.format(changed, json.dumps(["by-source", "source 1"])))
    page.run(pick.format(changed, json.dumps(["by-reason", "blurred"])))
    left = """[...document.querySelectorAll("#images .wall li")].filter(one => !one.hidden)
      .map(one => one.dataset.source + "/" + one.dataset.reason)"""
    found = page.run(left)
    assert found
    assert set(found) == {"source 1/blurred"}
    assert page.run("document.getElementById('matching').textContent").startswith(f"{len(found)} ")
    page.run(pick.format(changed, json.dumps(["by-source", ""])))
    page.run(pick.format(changed, json.dumps(["by-reason", ""])))
    assert len(page.run(left)) == page.run("document.querySelectorAll('#images .wall li').length")


def test_the_gates_are_copied(browser: Chromium, report: Path) -> None:
    page = browser.open(report.as_uri())
    page.run("document.getElementById('changed').open = true, document.getElementById('copy').click()")
    page.run("new Promise(done => setTimeout(done, 200))")
    assert page.run("document.getElementById('copied').textContent") != ""


def test_hostile_names_run_nothing(browser: Chromium, tmp_path: Path) -> None:
    evil = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    recipe = make_recipe(name=evil, gates=[{"field": "short_side", "min": 1024, "reason": evil}])
    cells = {name: dict.fromkeys(range(60), evil) for name in ("uri", "source", "licence", "failure_detail")}
    ledger = decide_rows(with_texts(scan_rows(60, recipe), cells), recipe)
    page = browser.open(
        Path(write_report(Folder(str(tmp_path)), LedgerStream.of_table(ledger), recipe, {}, {})).as_uri()
    )
    assert page.errors() == []
    assert len(page.requested()) == 1
    assert page.run("window.ran === undefined") is True
    assert evil in page.run("document.body.innerText")
    assert json.dumps(evil) in page.run("document.getElementById('yaml').textContent")


def test_a_hundred_thousand_candidates_stay_quick(browser: Chromium, tmp_path: Path) -> None:
    recipe = make_recipe(duplicates={"exact": True, "radius": None})
    rows = scan_rows(100_000, recipe)
    page = browser.open(Path(write_report(Folder(str(tmp_path)), made(rows, recipe), recipe, {}, {})).as_uri())
    threshold = _move(page, 4, 100)
    assert _shown(page) == _by_deciding(rows, recipe, {4: threshold})
    spent = page.run(
        """(() => {
          const input = document.getElementById("slider-0");
          const start = performance.now();
          for (let stop = 80; stop < 100; stop++) {
            input.value = stop;
            input.dispatchEvent(new Event("input"));
          }
          return (performance.now() - start) / 20;
        })()"""
    )
    assert spent < 250, f"{spent:.0f} ms for a move"
