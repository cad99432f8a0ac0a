"""The card's figures: one histogram for each measure that a gate uses, with its limit and what is beyond it.

The counts are folded batch by batch, and a drawing is a function of the counts: the same ledger and gates give the same
bytes wherever and however often they are drawn (with the same matplotlib).
"""

import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from million_ird.config.gates import Gate
from million_ird.dataset.layout import FIGURES
from million_ird.dataset.markdown import plain_line
from million_ird.reporting.formatting import number, share
from million_ird.reporting.histograms import FigureAxis
from million_ird.reporting.ranges import FieldRange, SecondLook
from million_ird.reporting.rows import Fold, LedgerBatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

SIZES = ("short_side", "aspect")
"""Fields that have a figure of their own, with gates or without."""
MIN_PANELS, MAX_PANELS = 4, 8
"""Gates in the figure: more than `MIN_PANELS` only where they drop something."""
BINS = 40
COLUMNS = 2
WIDTH, PANEL, HEAD = 6.4, 1.42, 0.34
"""Inches. The card shows the figure 640 pixels wide: a hundredth of an inch is a pixel."""
DPI = 200
KEPT_COLOUR, CUT_COLOUR, OTHER_COLOUR = "#2f78b7", "#dd6b10", "#b9c0c8"
INK, PALE = "#24292f", "#57606a"
MIN_HEIGHT = 0.02
"""No bar is lower than this share of the tallest: a few outliers must be visible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFigure:
    """A figure of the card."""

    path: str
    """In the dataset's folder."""
    text: str
    """Alternative text, not escaped: it holds names from recipes and sources as they are."""
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One measure's numbers: how many are in each bin, by what became of the image."""

    field: str
    low: float | None
    high: float | None
    """The limits; a value equal to a limit is within."""
    axis: FigureAxis
    edges: Floats
    """(bins + 1,) places on the axis, 0 to 1; every limit is one of them."""
    kept: NDArray[np.int64]
    cut: NDArray[np.int64]
    """Beyond a limit. (bins,), as are the others."""
    other: NDArray[np.int64]
    """Within the limits, but not kept for another reason."""

    @property
    def n_measured(self) -> int:
        """Candidates that have this number."""
        return int(self.kept.sum() + self.cut.sum() + self.other.sum())

    @property
    def n_beyond(self) -> int:
        """Candidates beyond a limit."""
        return int(self.cut.sum())

    @property
    def limits(self) -> str:
        """`at least 3`, `at most 9.5`, `40 to 220`, or nothing."""
        if self.low is not None and self.high is not None:
            return f"{number(self.low)} to {number(self.high)}"
        if self.low is not None:
            return f"at least {number(self.low)}"
        return f"at most {number(self.high)}" if self.high is not None else ""

    @property
    def text(self) -> str:
        """The panel in words."""
        limits = f" ({self.limits}): {self.n_beyond:,} of {self.n_measured:,} beyond" if self.limits else ""
        return f"{self.field}{limits}"


class FigureFolds:
    """The figures of a ledger, counted in up to three rounds: `ranges`, then each of `rounds`, then `draw`."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        """Expect rows that were decided by these gates, in the order in which they are judged."""
        fields = dict.fromkeys([*SIZES, *(gate.field for gate in gates)])
        self._gates = {field: [gate for gate in gates if gate.field == field] for field in fields}
        self.ranges = [FieldRange(field, _limits(*_bounds(own))) for field, own in self._gates.items()]
        """The folds of the first round."""
        self._panels: list[PanelCounts] = []

    def rounds(self) -> Iterator[Sequence[Fold]]:
        """Yield the folds of each later round, after the round before was made."""
        yield [SecondLook(one) for one in self.ranges if one.numbers.may_be_skewed]
        measured = (one for one in self.ranges if one.numbers.count)
        self._panels = [PanelCounts(one.field, one.axis(), self._gates[one.field]) for one in measured]
        yield self._panels

    def draw(self) -> list[CardFigure]:
        """Draw the figures; a measure that no candidate has is left out.

        The fields with most values beyond their limits are drawn.
        """
        panels = {counts.field: counts.panel() for counts in self._panels}
        sizes = [panels.pop(field) for field in SIZES if field in panels]
        ranked = sorted(panels, key=lambda field: -panels[field].n_beyond)[:MAX_PANELS]
        shown = {field for rank, field in enumerate(ranked) if panels[field].n_beyond or rank < MIN_PANELS}
        groups = {"sizes": sizes, "gates": [panel for field, panel in panels.items() if field in shown]}
        return [
            CardFigure(path=f"{FIGURES}/{name}.png", text="; ".join(one.text for one in group), png=render_png(group))
            for name, group in groups.items()
            if group
        ]


class PanelCounts:
    """A fold: how many numbers of one field are in each bin of its panel."""

    def __init__(self, field: str, axis: FigureAxis, gates: Sequence[Gate]) -> None:
        """Count along an axis.

        Args:
            field: The column's name.
            axis: The axis of its numbers and limits.
            gates: Those on this field; the tightest limits are shown.
        """
        self.columns: Sequence[str] = (field, "verdict")
        self.field = field
        self._axis = axis
        self._low, self._high = _bounds(gates)
        self._edges = _edges(axis, _limits(self._low, self._high))
        self._counts = np.zeros((3, len(self._edges) - 1), np.int64)
        """(3, bins): of kept, cut and other values."""

    def add(self, batch: LedgerBatch) -> None:
        """Take in some rows."""
        self.count(batch.values(self.field), batch.kept)

    def count(self, values: Floats, kept: NDArray[np.bool_]) -> None:
        """Count some values.

        Args:
            values: (n,) float64, NaN for null.
            kept: (n,) bool, which images were kept.
        """
        finite = np.isfinite(values)
        values, kept = values[finite], kept[finite]
        cut = np.zeros(len(values), bool)
        if self._low is not None:
            cut |= values < self._low
        if self._high is not None:
            cut |= values > self._high
        places = self._axis.place(values)
        if self._high is not None:  # a value equal to a limit is within it: it is drawn on the inner side of the line
            last = np.nextafter(float(self._axis.place(np.array([self._high]))[0]), 0)
            places = np.where(cut, places, np.minimum(places, last))
        bins = len(self._edges) - 1
        index = np.clip(np.searchsorted(self._edges, places, side="right") - 1, 0, bins - 1)
        for row, which in enumerate((kept & ~cut, cut, ~kept & ~cut)):
            self._counts[row] += np.bincount(index[which], minlength=bins)

    def panel(self) -> Panel:
        """Return what was counted."""
        kept, cut, other = self._counts
        return Panel(
            field=self.field, low=self._low, high=self._high, axis=self._axis, edges=self._edges,
            kept=kept, cut=cut, other=other,
        )  # fmt: skip


def _bounds(gates: Sequence[Gate]) -> tuple[float | None, float | None]:
    """Return the tightest limits of some gates."""
    low = max((gate.min for gate in gates if gate.min is not None), default=None)
    return low, min((gate.max for gate in gates if gate.max is not None), default=None)


def _limits(low: float | None, high: float | None) -> list[float]:
    return [limit for limit in (low, high) if limit is not None]


def _edges(axis: FigureAxis, limits: Sequence[float]) -> Floats:
    """Return the edges of bins of equal width, every limit among them.

    The outermost bins, and those at a second limit, are narrower.
    """
    width = 1 / BINS
    if axis.whole and not axis.log:  # every bin holds equally many whole numbers
        span = axis.high - axis.low
        width = max(1.0, np.ceil(span / BINS)) / span
    fixed = np.array([0.0, 1.0, *axis.place(np.array(limits, float))])
    start = float(fixed[2]) if limits else 0.0
    steps = np.arange(np.ceil(-start / width), np.floor((1 - start) / width) + 1)
    free = start + steps * width
    free = free[np.abs(free[:, None] - fixed).min(axis=1) > 1e-9]
    return np.unique(np.concatenate([fixed, free]))


def render_png(panels: Sequence[Panel]) -> bytes:
    """Return a PNG, 1280 pixels wide, with two panels in a row."""
    # matplotlib takes most of a second to import: only commands that draw wait for it
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    rows = -(-len(panels) // COLUMNS)
    height = HEAD + rows * PANEL
    with matplotlib.style.context(["default", {"font.family": "DejaVu Sans", "font.size": 8}]):
        canvas = Canvas(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(canvas)
        _legend(canvas.add_axes((0, 1 - HEAD / height, 1, HEAD / height)), any(panel.limits for panel in panels))
        for place, panel in enumerate(panels):
            row, column = divmod(place, COLUMNS)
            bottom = height - HEAD - (row + 1) * PANEL
            box = ((0.16 + column * WIDTH / COLUMNS) / WIDTH, (bottom + 0.3) / height, 2.88 / WIDTH, 0.8 / height)
            _draw_panel(canvas.add_axes(box), panel)
        sink = io.BytesIO()
        canvas.savefig(sink, format="png", metadata={"Software": None})  # it would name matplotlib's version
    return sink.getvalue()


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    from matplotlib.collections import PolyCollection

    tallest = max(1, int((panel.kept + panel.cut + panel.other).max()))
    lefts, widths = panel.edges[:-1], np.diff(panel.edges)
    base = np.zeros(len(widths))
    for counts, colour in ((panel.kept, KEPT_COLOUR), (panel.other, OTHER_COLOUR), (panel.cut, CUT_COLOUR)):
        heights = np.where(counts > 0, np.maximum(counts / tallest, MIN_HEIGHT), 0.0)
        low, high = np.stack([lefts, base], 1), np.stack([lefts + widths * 0.9, base + heights], 1)
        corners = np.stack([low, np.stack([low[:, 0], high[:, 1]], 1), high, np.stack([high[:, 0], low[:, 1]], 1)], 1)
        # One artist for all bars: `Axes.bar` makes one for each, which takes most of the time of a card.
        bars = PolyCollection(list(corners[heights > 0]), facecolors=colour, linewidths=0)
        axes.add_collection(bars, autolim=False)
        base += heights
    top = max(1.0, float(base.max())) * 1.08
    for limit, end in ((panel.low, 0.0), (panel.high, 1.0)):
        if limit is not None:
            place = float(panel.axis.place(np.array([limit]))[0])
            axes.axvspan(min(place, end), max(place, end), color=CUT_COLOUR, alpha=0.12, linewidth=0)
            axes.axvline(place, color=INK, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, top), yticks=[])
    ticks = panel.axis.ticks()
    axes.set_xticks([percent / 100 for percent, _ in ticks], [label for _, label in ticks], fontsize=7, color=PALE)
    for (percent, _), label in zip(ticks, axes.get_xticklabels(), strict=True):
        label.set_horizontalalignment("left" if percent < 2 else "right" if percent > 98 else "center")
    axes.tick_params(length=2, color=PALE, pad=2)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    name = textwrap.shorten(plain_line(panel.field), 28, placeholder="…")
    axes.text(0, 1.17, name, transform=axes.transAxes, weight="bold", color=INK, parse_math=False)
    if panel.limits:
        beyond = f"{share(panel.n_beyond, panel.n_measured) if panel.n_beyond else 'none'} beyond"
        axes.text(
            1, 1.17, f"{panel.limits} · {beyond}", transform=axes.transAxes, ha="right", color=PALE, parse_math=False
        )


def _legend(axes: "Axes", has_limits: bool) -> None:
    axes.axis("off")
    axes.set(xlim=(0, WIDTH), ylim=(0, 1))
    entries = [(KEPT_COLOUR, "kept"), (OTHER_COLOUR, "not kept, for another reason" if has_limits else "not kept")]
    if has_limits:
        entries.insert(1, (CUT_COLOUR, "beyond the limit"))
    left = 0.16
    for colour, name in entries:
        axes.bar(left, 0.3, 0.11, bottom=0.3, align="edge", color=colour, linewidth=0)
        axes.text(left + 0.17, 0.44, name, va="center", color=INK)
        left += 0.38 + 0.061 * len(name)
