"""The report: one self-contained HTML file that works from file://.

Its content is a function of the ledger, the recipe and the sources' bytes; only the section on time, which is there
where something was measured in this run, differs between two runs.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jinja2
import pyarrow as pa
from markupsafe import Markup

from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.decide.gate_order import gate_tier
from million_ird.ledger import funnel, measure_fields
from million_ird.reporting import formatting as wording
from million_ird.reporting import limits, pictures, steps
from million_ird.reporting.figures import Axis, Bin, histogram
from million_ird.reporting.limits import Limit, Slider
from million_ird.reporting.pictures import Border
from million_ird.reporting.rows import Rows
from million_ird.runtime.storage import Folder
from million_ird.scan.source_bytes import Originals
from million_ird.sources.source import Source

PATH = "report/index.html"
FAILURE_EXAMPLES = 3
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Distribution:
    """One measure's numbers as a histogram."""

    field: str
    meaning: str
    axis: Axis
    bins: list[Bin]
    limits: list[Limit]
    not_measured: int
    """Nulls of pictures that never came to the tier of this measure."""
    not_applicable: int
    """Other nulls: the measure has nothing to say of the picture."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One limit with its slider and the pictures nearest to it."""

    slider: Slider
    border: Border


@dataclass(frozen=True, slots=True)
class Failure:
    """One class of failures, with a few examples as (source/uri, detail)."""

    name: str
    count: int
    examples: list[tuple[str, str]]


def write_report(
    out: Folder,
    ledger: pa.Table,
    recipe: Recipe,
    sources: Mapping[str, Source],
    seconds: Mapping[str, float],
    originals: Originals | None = None,
) -> str:
    """Writes `report/index.html` and returns its path.

    `seconds` is what each measure took in this run; empty where nothing was measured.
    """
    out.write(PATH, render(ledger, recipe, sources, seconds, originals).encode())
    return out.path(PATH)


def render(
    ledger: pa.Table,
    recipe: Recipe,
    sources: Mapping[str, Source],
    seconds: Mapping[str, float],
    originals: Originals | None = None,
) -> str:
    """The whole page."""
    rows = Rows(ledger)
    counts = funnel(ledger)
    funnel_steps = steps.steps(counts, recipe)
    gated = [_distribution(rows, recipe, field) for field in _gated_fields(recipe)]
    thresholds = {
        one.field: [Threshold(Slider.on(one.axis, limit), pictures.choose_border(rows, limit)) for limit in one.limits]
        for one in gated
    }
    names = [name for name in measure_fields(recipe.measured) if name in ledger.column_names]
    others = [_distribution(rows, recipe, name) for name in names if name not in thresholds]
    sliders = [threshold.slider for held in thresholds.values() for threshold in held]
    walls = pictures.choose_dropped(rows, funnel_steps)
    kept, copies, leaks = pictures.choose_kept(rows), pictures.choose_copies(rows), pictures.choose_leaks(rows)
    shown = [kept, leaks.shown, *(wall.shown for wall in walls), *([c.stays, *c.copies] for c in copies)]
    shown += [side for held in thresholds.values() for t in held for side in (t.border.dropped, t.border.kept)]
    positions = [one.position for wall in shown for one in wall]
    return _page(
        recipe=recipe,
        funnel=counts,
        steps=funnel_steps,
        gated=gated,
        thresholds=thresholds,
        others=others,
        sliders=sliders,
        data=limits.payload(rows, recipe, sliders),
        kept=kept,
        walls=walls,
        copies=copies,
        leaks=leaks,
        pictures=pictures.thumbnails(rows, positions, sources, recipe.limits, originals),
        failures=_failures(rows, counts.failures),
        sources=steps.grouped(ledger, "source"),
        licences=steps.grouped(ledger, "licence"),
        seconds=sorted(seconds.items(), key=lambda item: -item[1]),
    )


def _gated_fields(recipe: Recipe) -> list[str]:
    """The fields whose limits can be moved, in the order in which they are judged."""
    return list(dict.fromkeys(limit.gate.field for limit in limits.limits_of(recipe)))


def _distribution(rows: Rows, recipe: Recipe, field: str) -> Distribution:
    values = rows.values(field)
    found = [limit for limit in limits.limits_of(recipe) if limit.gate.field == field]
    axis = Axis.over(values, [limit.value for limit in found])
    null = values != values
    tier = gate_tier(Gate(field=field, required=True), recipe.columns)
    unmeasured = null & ((rows.values("tier") < tier) | rows.failed)
    return Distribution(
        field=field,
        meaning=wording.meaning(field),
        axis=axis,
        bins=histogram(values, rows.kept, axis),
        limits=found,
        not_measured=int(unmeasured.sum()),
        not_applicable=int((null & ~unmeasured).sum()),
    )


def _failures(rows: Rows, counts: Mapping[str, int]) -> list[Failure]:
    found = []
    for name, count in counts.items():
        chosen = [
            rows.identity(i) for i in rows.some(rows.failed & rows.where("failure_class", name), FAILURE_EXAMPLES)
        ]
        examples = [(f"{row['source']}/{row['uri']}", str(row["failure_detail"] or "")) for row in chosen]
        found.append(Failure(name, count, examples))
    return found


def _page(**content: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.number,
        "share": wording.share,
        "plural": wording.plural,
        "duration": wording.duration,
    }
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html.j2").render(
        version=metadata.version("million-ird"),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **content,
    )
