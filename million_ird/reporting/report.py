"""The report: one self-contained HTML file that works from file://.

Its content is a function of the ledger, the recipe and the sources' bytes. Only the section on time differs between
two runs; it has numbers where something was measured in this run.
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

from million_ird.config.recipe import Recipe
from million_ird.dataset.layout import REPORT
from million_ird.ledger import funnel
from million_ird.reporting import formatting, gallery
from million_ird.reporting.counts import count_values
from million_ird.reporting.gallery import BorderlineImages
from million_ird.reporting.histograms import FigureAxis, HistogramBin, histogram
from million_ird.reporting.rows import LedgerRows
from million_ird.reporting.sliders import GateLimit, Slider, gate_limits, slider_data
from million_ird.reporting.steps import funnel_steps
from million_ird.runtime.progress import Progress
from million_ird.runtime.storage import Folder
from million_ird.scan.source_bytes import DownloadCache
from million_ird.schema import measure_fields
from million_ird.sources.source import Source

FAILURE_EXAMPLES = 3
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Distribution:
    """One measure's numbers as a histogram."""

    field: str
    meaning: str
    axis: FigureAxis
    bins: list[HistogramBin]
    limits: list[GateLimit]
    not_measured: int
    """Nulls of images that failed, or were dropped before the tier of this measure."""
    not_applicable: int
    """Other nulls: the measure does not apply to the image."""


@dataclass(frozen=True, slots=True)
class ThresholdSection:
    """One limit with its slider and the images nearest to it."""

    slider: Slider
    borderline: BorderlineImages


@dataclass(frozen=True, slots=True)
class FailureClass:
    """One class of failures, with a few examples."""

    name: str
    count: int
    examples: list[tuple[str, str]]
    """`source/uri` and detail."""


def write_report(
    out: Folder,
    ledger: pa.Table,
    recipe: Recipe,
    sources: Mapping[str, Source],
    seconds: Mapping[str, float],
    originals: DownloadCache | None = None,
    *,
    progress: Progress | None = None,
    mark: str = "",
) -> str:
    """Write `report/index.html` and return its path.

    Args:
        out: The dataset's folder.
        ledger: The decided rows.
        recipe: The recipe by which they were decided.
        sources: The sources by label; thumbnails are read from them.
        seconds: What each measure took in this run; empty where nothing was measured.
        originals: The download cache, where a source cannot be read twice.
        progress: Counts the images that are read.
        mark: The last line, a comment: says what ledger the report shows; see `million_ird/stages.py`.
    """
    page = render_report(ledger, recipe, sources, seconds, originals, progress=progress)
    out.write(REPORT, (page + (f"\n{mark}\n" if mark else "")).encode())
    return out.path(REPORT)


def render_report(
    ledger: pa.Table,
    recipe: Recipe,
    sources: Mapping[str, Source],
    seconds: Mapping[str, float],
    originals: DownloadCache | None = None,
    *,
    progress: Progress | None = None,
) -> str:
    """Return the whole page; see `write_report`."""
    rows = LedgerRows(ledger)
    counts = funnel(ledger)
    steps = funnel_steps(counts, recipe)
    gated = [_distribution(rows, recipe, field) for field in _gated_fields(recipe)]
    thresholds = {
        distribution.field: [
            ThresholdSection(Slider.along(distribution.axis, limit), gallery.choose_borderline(rows, limit))
            for limit in distribution.limits
        ]
        for distribution in gated
    }
    names = [name for name in measure_fields(recipe.ledger_entries) if name in ledger.column_names]
    others = [_distribution(rows, recipe, name) for name in names if name not in thresholds]
    sections = [section for field_sections in thresholds.values() for section in field_sections]
    sliders = [section.slider for section in sections]
    kept, dropped = gallery.choose_kept(rows), gallery.choose_dropped(rows, steps)
    duplicates, leaks = gallery.choose_duplicates(rows), gallery.choose_leaks(rows)
    shown = [kept, leaks.shown, *(reason.shown for reason in dropped)]
    shown += [[group.kept, *group.duplicates] for group in duplicates]
    shown += [side for section in sections for side in (section.borderline.dropped, section.borderline.kept)]
    positions = [image.position for images in shown for image in images]
    return _page(
        recipe=recipe,
        funnel=counts,
        steps=steps,
        gated=gated,
        thresholds=thresholds,
        others=others,
        sliders=sliders,
        data=slider_data(rows, recipe, sliders),
        kept=kept,
        dropped=dropped,
        duplicates=duplicates,
        leaks=leaks,
        thumbnails=gallery.thumbnails(rows, positions, sources, recipe.limits, originals, progress),
        failures=_failures(rows, counts.failures),
        sources=count_values(ledger, "source"),
        licences=count_values(ledger, "licence"),
        seconds=sorted(seconds.items(), key=lambda item: -item[1]),
    )


def _gated_fields(recipe: Recipe) -> list[str]:
    """Return the fields whose limits can be moved, in the order in which they are judged."""
    return list(dict.fromkeys(limit.gate.field for limit in gate_limits(recipe)))


def _distribution(rows: LedgerRows, recipe: Recipe, field: str) -> Distribution:
    values = rows.values(field)
    limits = [limit for limit in gate_limits(recipe) if limit.gate.field == field]
    axis = FigureAxis.over(values, [limit.value for limit in limits])
    null = values != values
    tier = recipe.tiers[field]
    unmeasured = null & ((rows.values("tier") < tier) | rows.failed)
    return Distribution(
        field=field,
        meaning=recipe.description(field),
        axis=axis,
        bins=histogram(values, rows.kept, axis),
        limits=limits,
        not_measured=int(unmeasured.sum()),
        not_applicable=int((null & ~unmeasured).sum()),
    )


def _failures(rows: LedgerRows, counts: Mapping[str, int]) -> list[FailureClass]:
    failures = []
    for name, count in counts.items():
        positions = rows.first_by_key(rows.failed & rows.where("failure_class", name), FAILURE_EXAMPLES)
        chosen = [rows.identity(position) for position in positions]
        examples = [(f"{row['source']}/{row['uri']}", str(row["failure_detail"] or "")) for row in chosen]
        failures.append(FailureClass(name, count, examples))
    return failures


def _page(**content: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formatting.number,
        "share": formatting.share,
        "plural": formatting.plural,
        "duration": formatting.duration,
    }
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html.j2").render(
        version=metadata.version("million-ird"),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **content,
    )
