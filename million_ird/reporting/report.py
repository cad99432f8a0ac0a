"""The report: one self-contained HTML file that works from file://.

Its content is a function of the ledger, the recipe and the sources' bytes. Only the section on time differs between
two runs; it has numbers where something was measured in this run.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from million_ird.config.recipe import Recipe
from million_ird.dataset.layout import REPORT
from million_ird.ledger_stream import LedgerStream
from million_ird.measure_types import Tier
from million_ird.reporting import formatting, gallery
from million_ird.reporting.counts import FunnelCounts, ValueCounts
from million_ird.reporting.gallery import BorderlineImages, ChosenImages, ShownImage
from million_ird.reporting.gallery_folds import GalleryFolds
from million_ird.reporting.histograms import FigureAxis, HistogramBin, HistogramCounts
from million_ird.reporting.ranges import FieldRange, SecondLook
from million_ird.reporting.rows import LedgerBatch, fold
from million_ird.reporting.sliders import GateLimit, Slider, SliderSample, gate_limits, slider_data
from million_ird.reporting.steps import funnel_steps
from million_ird.runtime.progress import Progress
from million_ird.runtime.storage import Folder
from million_ird.scan.source_bytes import DownloadCache
from million_ird.schema import FAILED, LEAK, REPLACED, measure_fields
from million_ird.sources.source import Source
from million_ird.strict_json import to_json

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
    constant: float | None
    """The number, where all candidates have the same."""

    @property
    def reasons(self) -> list[str]:
        """The reasons for which its limits drop images, without repetition."""
        return list(dict.fromkeys(limit.gate.drop_reason for limit in self.limits))


@dataclass(frozen=True, slots=True)
class ThresholdSection:
    """One limit with its slider and the images nearest to it."""

    slider: Slider
    borderline: BorderlineImages
    along: list[ShownImage]
    """Images from the whole range of the measure, for other places of the slider."""


@dataclass(frozen=True, slots=True)
class FailureClass:
    """One class of failures, with a few examples."""

    name: str
    count: int
    examples: list[tuple[str, str, str]]
    """Source, `source/uri`, and detail."""


def write_report(
    out: Folder,
    ledger: LedgerStream,
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
        ledger: The decided rows; they are gone through three times.
        recipe: The recipe by which they were decided.
        sources: The sources by label; thumbnails are read from them.
        seconds: What each measure took in this run; empty where nothing was measured.
        originals: The download cache, where a source cannot be read twice.
        progress: Counts the images that are read.
        mark: The last line, a comment: says what ledger the report shows; see `million_ird/stages.py`.
    """
    name = out.path("").rstrip("/").rsplit("/", 1)[-1]
    page = render_report(ledger, recipe, sources, seconds, originals, progress=progress, title=name)
    out.write(REPORT, (page + (f"\n{mark}\n" if mark else "")).encode())
    return out.path(REPORT)


def render_report(
    ledger: LedgerStream,
    recipe: Recipe,
    sources: Mapping[str, Source],
    seconds: Mapping[str, float],
    originals: DownloadCache | None = None,
    *,
    progress: Progress | None = None,
    title: str = "",
) -> str:
    """Return the whole page; see `write_report`. Its title is that of the dataset, or the recipe's name."""
    limits = gate_limits(recipe)
    named = [name for name in measure_fields(recipe.ledger_entries) if name in ledger.column_names]
    fields = list(dict.fromkeys([*(limit.gate.field for limit in limits), *named]))
    drawn = [FieldFolds(name, recipe, [limit for limit in limits if limit.gate.field == name]) for name in fields]
    counts = FunnelCounts(), ValueCounts("source"), ValueCounts("licence")
    chosen, sample = GalleryFolds(limits), SliderSample(recipe)
    fold(ledger, [*counts, *chosen.first, sample, *(one.range for one in drawn), *(one.nulls for one in drawn)])
    fold(ledger, [SecondLook(one.range) for one in drawn if one.range.numbers.may_be_skewed])
    bins = [one.bins() for one in drawn]
    axes = {one.range.field: own.axis for one, own in zip(drawn, bins, strict=True)}
    fold(ledger, [*bins, *chosen.second, *chosen.spread(axes)])
    distributions = [one.distribution(own) for one, own in zip(drawn, bins, strict=True)]
    images = ChosenImages.read(chosen, ledger)
    gated = [one for one in distributions if one.limits]
    thresholds = {distribution.field: _threshold_sections(distribution, images) for distribution in gated}
    counted = counts[0].funnel()
    steps = funnel_steps(counted, recipe)
    sections = [section for field_sections in thresholds.values() for section in field_sections]
    sliders = [section.slider for section in sections]
    kept, dropped, duplicates, leaks = images.kept(), images.dropped(steps), images.duplicates(), images.leaks()
    shown = [kept, leaks.shown, *(reason.shown for reason in dropped)]
    shown += [[group.kept, *group.duplicates] for group in duplicates]
    for section in sections:
        shown += [section.borderline.dropped, section.borderline.kept, section.along]
    positions = [image.position for part in shown for image in part]
    data = slider_data(sample.rows(), counted, recipe, sliders)
    data["pools"] = [images.decided_by(slider.limit, positions) for slider in sliders]
    return _page(
        title=title or recipe.name,
        anchors=section_anchors(gated, [reason.step.name for reason in dropped], bool(duplicates), bool(leaks.total)),
        recipe=recipe,
        funnel=counted,
        steps=steps,
        gated=gated,
        thresholds=thresholds,
        others=[one for one in distributions if not one.limits],
        sliders=sliders,
        data=data,
        kept=kept,
        dropped=dropped,
        duplicates=duplicates,
        leaks=leaks,
        thumbnails=gallery.thumbnails(images.rows, positions, sources, recipe.limits, originals, progress),
        failures=_failures(images, counted.failures),
        sources=counts[1].most_candidates(),
        licences=counts[2].most_candidates(),
        seconds=sorted(seconds.items(), key=lambda item: -item[1]),
    )


class FieldFolds:
    """The folds that one measure's histogram is made of."""

    def __init__(self, field: str, recipe: Recipe, limits: list[GateLimit]) -> None:
        """Expect the numbers of a field, on which the recipe has these limits."""
        self.range = FieldRange(field, [limit.value for limit in limits])
        self.nulls = NullCounts(field, recipe.tiers[field])
        self._meaning, self._limits = recipe.description(field), limits

    def bins(self) -> "FieldBins":
        """Return the fold of the last round."""
        return FieldBins(self.range.field, self.range.axis())

    def distribution(self, bins: "FieldBins") -> Distribution:
        """Return what was counted."""
        return Distribution(
            field=self.range.field,
            meaning=self._meaning,
            axis=bins.axis,
            bins=bins.counts.bins(),
            limits=self._limits,
            not_measured=self.nulls.not_measured,
            not_applicable=self.nulls.not_applicable,
            constant=self.range.numbers.constant,
        )


class FieldBins:
    """A fold: how many numbers of a field are in each bin of an axis."""

    def __init__(self, field: str, axis: FigureAxis) -> None:
        """Count along an axis."""
        self.columns: Sequence[str] = (field, "verdict")
        self.axis = axis
        self.counts = HistogramCounts(axis)
        self._field = field

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        self.counts.add(batch.values(self._field), batch.kept)


class NullCounts:
    """A fold: why candidates have no number in a field."""

    def __init__(self, field: str, tier: Tier) -> None:
        """Count the nulls of a field that is measured in this tier."""
        self.columns: Sequence[str] = (field, "tier", "verdict")
        self.not_measured = self.not_applicable = 0
        self._field, self._tier = field, tier

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        null = np.isnan(batch.values(self._field))
        unmeasured = null & ((batch.values("tier") < self._tier) | batch.failed)
        self.not_measured += int(unmeasured.sum())
        self.not_applicable += int((null & ~unmeasured).sum())


def _threshold_sections(distribution: Distribution, images: ChosenImages) -> list[ThresholdSection]:
    """Return what the page says of each limit on one measure."""
    return [
        ThresholdSection(Slider.along(distribution.axis, limit), images.borderline(limit), images.along(limit))
        for limit in distribution.limits
    ]


def section_anchors(
    gated: Sequence[Distribution], shown: Sequence[str], duplicates: bool, leaks: bool
) -> Mapping[str, str]:
    """Return the section of the page that each reason is shown in, by its id; a gate's is that of its slider."""
    anchors = {reason: f"reason-{number}" for number, reason in enumerate(shown, 1)}
    for number, distribution in reversed(list(enumerate(gated, 1))):
        anchors |= dict.fromkeys(distribution.reasons, f"field-{number}")
    anchors |= dict.fromkeys(REPLACED, "duplicates") if duplicates else {}
    return anchors | ({LEAK: "leaks"} if leaks else {}) | {FAILED: "failures"}


def _failures(images: ChosenImages, counts: Mapping[str, int]) -> list[FailureClass]:
    failures = []
    for name, count in counts.items():
        rows = images.failures(name)
        examples = [
            (str(row["source"]), f"{row['source']}/{row['uri']}", str(row["failure_detail"] or "")) for row in rows
        ]
        failures.append(FailureClass(name, count, examples))
    return failures


@functools.cache  # compiling it takes longer than filling it in
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies |= {
        "json.dumps_function": to_json,
        "json.dumps_kwargs": {"sort_keys": True, "ensure_ascii": True},
    }
    environment.filters |= {
        "number": formatting.number,
        "share": formatting.share,
        "plural": formatting.plural,
        "duration": formatting.duration,
    }
    return environment.get_template("page.html.j2")


def _page(**content: object) -> str:
    files = ("page.css", *(["sliders.js"] if content["sliders"] else []), "images.js")
    style, *scripts = ((_HERE / name).read_text(encoding="utf-8") for name in files)
    script = "".join(scripts)
    return _template().render(
        version=metadata.version("million-ird"),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **content,
    )
