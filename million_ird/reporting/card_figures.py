"""The card's pictures: one histogram per measure that a gate looks at, with its limit and what lies beyond it.

The numbers are pure functions of columns, and the drawing is one of the numbers: the same ledger and gates give the
same bytes, wherever and however often they are drawn (with the same matplotlib).
"""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from million_ird.config.gates import Gate, as_floats
from million_ird.dataset.markdown import plain
from million_ird.ledger import KEPT
from million_ird.reporting.figures import Axis
from million_ird.reporting.formatting import number, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

FOLDER = "card"
SIZES = ("short_side", "aspect")
"""Have a picture of their own, with gates or without."""
LEAST_PANELS, MOST_PANELS = 4, 8
"""Of gates: beyond the fewest only those that cut something."""
BINS = 40
COLUMNS = 2
WIDTH, PANEL, HEAD = 6.4, 1.42, 0.34
"""Inches: shown 640 px wide, a hundredth of an inch is a pixel."""
DOTS = 200
KEPT_COLOUR, CUT_COLOUR, OTHER_COLOUR = "#2f78b7", "#dd6b10", "#b9c0c8"
INK, PALE = "#24292f", "#57606a"
LEAST_HEIGHT = 0.02
"""No bar is lower than this share of the tallest: a few pictures far out are there to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture of the card."""

    path: str
    """In the data set's folder."""
    text: str
    """What it shows, for those who do not see it; strangers' words as they are."""
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One measure's numbers: how many lie in each bin, by what became of the picture."""

    field: str
    low: float | None
    high: float | None
    """The limits; a value that is equal to one is within."""
    axis: Axis
    edges: Floats
    """(bins + 1,) places on the axis, 0 to 1, one of them at a limit."""
    kept: NDArray[np.int64]
    cut: NDArray[np.int64]
    """Beyond a limit. (bins,), as the others."""
    other: NDArray[np.int64]
    """Within the limits and yet not kept."""

    @property
    def measured(self) -> int:
        """Candidates that have this number."""
        return int(self.kept.sum() + self.cut.sum() + self.other.sum())

    @property
    def beyond(self) -> int:
        """Of these, those beyond a limit."""
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
        limits = f" ({self.limits}): {self.beyond:,} of {self.measured:,} lie beyond" if self.limits else ""
        return f"{self.field}{limits}"


def figures(ledger: pa.Table, gates: Sequence[Gate]) -> list[Figure]:
    """The pictures that these rows and gates give; a measure that nobody has is not drawn.

    Args:
        ledger: its `verdict` and the columns that the gates look at, one at a time.
        gates: in the order in which they are judged; the fields with most beyond their limits are drawn.
    """
    kept = np.asarray(pc.equal(ledger["verdict"], KEPT).to_numpy(zero_copy_only=False), bool)
    fields = list(dict.fromkeys([*SIZES, *(gate.field for gate in gates)]))
    panels = {
        field: made
        for field in fields
        if (made := panel(field, as_floats(ledger[field]), kept, [g for g in gates if g.field == field])) is not None
    }
    sizes = [panels.pop(field) for field in SIZES if field in panels]
    ranked = sorted(panels, key=lambda field: -panels[field].beyond)[:MOST_PANELS]
    telling = {field for rank, field in enumerate(ranked) if panels[field].beyond or rank < LEAST_PANELS}
    groups = {"sizes": sizes, "gates": [one for field, one in panels.items() if field in telling]}
    return [
        Figure(path=f"{FOLDER}/{name}.png", text="; ".join(one.text for one in group), png=drawn(group))
        for name, group in groups.items()
        if group
    ]


def panel(field: str, values: Floats, kept: NDArray[np.bool_], gates: Sequence[Gate]) -> Panel | None:
    """Counts a column; None when it holds no number.

    Args:
        values: (n,) float64, NaN for null.
        kept: (n,), which pictures were kept.
        gates: those on this field; the tightest limits are shown.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return None
    values, kept = values[finite], kept[finite]
    low = max((gate.min for gate in gates if gate.min is not None), default=None)
    high = min((gate.max for gate in gates if gate.max is not None), default=None)
    limits = [limit for limit in (low, high) if limit is not None]
    axis = Axis.over(values, limits)
    edges = _edges(axis, limits)
    cut = np.zeros(len(values), bool)
    if low is not None:
        cut |= values < low
    if high is not None:
        cut |= values > high
    places = axis.place(values)
    if high is not None:  # what is equal to a limit is within it, on the inner side of the line
        last = np.nextafter(float(axis.place(np.array([high]))[0]), 0)
        places = np.where(cut, places, np.minimum(places, last))
    index = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
    counts = [np.bincount(index[which], minlength=len(edges) - 1) for which in (kept & ~cut, cut, ~kept & ~cut)]
    return Panel(
        field=field, low=low, high=high, axis=axis, edges=edges, kept=counts[0], cut=counts[1], other=counts[2]
    )  # fmt: skip


def _edges(axis: Axis, limits: Sequence[float]) -> Floats:
    """Borders of bins of one width, every limit being one of them: the outermost and the one at a second limit are
    narrower."""
    width = 1 / BINS
    if axis.whole and not axis.log:  # bins of equally many whole numbers
        span = axis.high - axis.low
        width = max(1.0, np.ceil(span / BINS)) / span
    fixed = np.array([0.0, 1.0, *axis.place(np.array(limits, float))])
    start = float(fixed[2]) if limits else 0.0
    steps = np.arange(np.ceil(-start / width), np.floor((1 - start) / width) + 1)
    free = start + steps * width
    free = free[np.abs(free[:, None] - fixed).min(axis=1) > 1e-9]
    return np.unique(np.concatenate([fixed, free]))


def drawn(panels: Sequence[Panel]) -> bytes:
    """A PNG of 1280 px width with the panels two in a row."""
    # matplotlib takes most of a second to import, which every command would wait for
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    rows = -(-len(panels) // COLUMNS)
    height = HEAD + rows * PANEL
    with matplotlib.style.context(["default", {"font.family": "DejaVu Sans", "font.size": 8}]):
        canvas = Canvas(figsize=(WIDTH, height), dpi=DOTS, facecolor="white")
        FigureCanvasAgg(canvas)
        _legend(canvas.add_axes((0, 1 - HEAD / height, 1, HEAD / height)), any(one.limits for one in panels))
        for place, one in enumerate(panels):
            row, column = divmod(place, COLUMNS)
            bottom = height - HEAD - (row + 1) * PANEL
            box = ((0.16 + column * WIDTH / COLUMNS) / WIDTH, (bottom + 0.3) / height, 2.88 / WIDTH, 0.8 / height)
            _draw(canvas.add_axes(box), one)
        sink = io.BytesIO()
        canvas.savefig(sink, format="png", metadata={"Software": None})  # which would name a version
    return sink.getvalue()


def _draw(axes: "Axes", one: Panel) -> None:
    tallest = max(1, int((one.kept + one.cut + one.other).max()))
    lefts, widths = one.edges[:-1], np.diff(one.edges)
    base = np.zeros(len(widths))
    for counts, colour in ((one.kept, KEPT_COLOUR), (one.other, OTHER_COLOUR), (one.cut, CUT_COLOUR)):
        heights = np.where(counts > 0, np.maximum(counts / tallest, LEAST_HEIGHT), 0.0)
        axes.bar(lefts, heights, widths * 0.9, bottom=base, align="edge", color=colour, linewidth=0)
        base += heights
    top = max(1.0, float(base.max())) * 1.08
    for limit, outwards in ((one.low, 0.0), (one.high, 1.0)):
        if limit is not None:
            place = float(one.axis.place(np.array([limit]))[0])
            axes.axvspan(min(place, outwards), max(place, outwards), color=CUT_COLOUR, alpha=0.12, linewidth=0)
            axes.axvline(place, color=INK, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, top), yticks=[])
    ticks = one.axis.ticks()
    axes.set_xticks([percent / 100 for percent, _ in ticks], [label for _, label in ticks], fontsize=7, color=PALE)
    for (percent, _), label in zip(ticks, axes.get_xticklabels(), strict=True):
        label.set_horizontalalignment("left" if percent < 2 else "right" if percent > 98 else "center")
    axes.tick_params(length=2, color=PALE, pad=2)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(PALE)
    name = textwrap.shorten(plain(one.field), 28, placeholder="…")
    axes.text(0, 1.17, name, transform=axes.transAxes, weight="bold", color=INK, parse_math=False)
    if one.limits:
        said = f"{one.limits} · {share(one.beyond, one.measured) if one.beyond else 'none'} beyond"
        axes.text(1, 1.17, said, transform=axes.transAxes, ha="right", color=PALE, parse_math=False)


def _legend(axes: "Axes", limited: bool) -> None:
    axes.axis("off")
    axes.set(xlim=(0, WIDTH), ylim=(0, 1))
    shown = [(KEPT_COLOUR, "kept"), (OTHER_COLOUR, "not kept, for another reason" if limited else "not kept")]
    if limited:
        shown.insert(1, (CUT_COLOUR, "beyond the limit"))
    left = 0.16
    for colour, name in shown:
        axes.bar(left, 0.3, 0.11, bottom=0.3, align="edge", color=colour, linewidth=0)
        axes.text(left + 0.17, 0.44, name, va="center", color=INK)
        left += 0.38 + 0.061 * len(name)
