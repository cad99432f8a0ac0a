"""The card's figures: counts on plain arrays, and the drawn files."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow as pa
from PIL import Image

from million_ird.config.gates import Gate
from million_ird.ledger_stream import LedgerStream
from million_ird.reporting.card_figures import CardFigure, FigureFolds, Panel, PanelCounts, render_png
from million_ird.reporting.histograms import FigureAxis
from million_ird.reporting.rows import fold
from tests.million_ird.reporting import synthetic_ledgers
from tests.million_ird.reporting.written_cards import (
    HOSTILE_TEXTS,
    make_ledger,
)


def make_panel(field: str, values: np.ndarray, kept: np.ndarray, gates: list[Gate]) -> Panel:
    """The panel of some values, counted in three parts."""
    limits = [limit for gate in gates for limit in (gate.min, gate.max) if limit is not None]
    counts = PanelCounts(field, FigureAxis.over(values, limits), gates)
    for own, good in zip(np.array_split(values, 3), np.array_split(kept, 3), strict=True):
        counts.count(own, good)
    return counts.panel()


def draw_figures(ledger: pa.Table, gates: Sequence[Gate]) -> list[CardFigure]:
    """The figures of a ledger, read in batches of 70 rows."""
    folds, rows = FigureFolds(gates), LedgerStream.of_table(ledger, 70)
    fold(rows, folds.ranges)
    for later in folds.rounds():
        fold(rows, later)
    return folds.draw()


def test_a_panel_counts_every_number_once_and_separates_them_at_the_limits() -> None:
    draw = np.random.default_rng(0)
    for low, high in ((None, None), (3.0, None), (None, 9.5), (3.0, 9.5)):
        for values in (draw.lognormal(2, 1.5, 500), np.rint(draw.uniform(0, 12, 500)), np.array([3.0, 9.5, 9.5, 3.0])):
            column = np.concatenate([values, [np.nan, 3.0, 9.5] * 20])
            kept = draw.random(len(column)) < 0.5
            gates = [] if low is None and high is None else [Gate(field="x", min=low, max=high)]
            one = make_panel("x", column, kept, gates)
            finite = np.isfinite(column)
            beyond = finite & ((column < (low or -1e9)) | (column > (high or 1e9)))
            assert one.n_measured == finite.sum()
            assert one.n_beyond == beyond.sum()
            assert one.kept.sum() == (kept & finite & ~beyond).sum()
            assert np.all(np.diff(one.edges) > 0)
            assert (one.edges[0], one.edges[-1]) == (0, 1)
            for limit, outside in ((low, one.edges[1:]), (high, one.edges[:-1])):
                if limit is not None:
                    place = one.axis.place(np.array([limit]))[0]
                    assert place in one.edges
                    out = outside <= place if limit == low else outside >= place
                    assert (one.kept + one.other)[out].sum() == 0
            inside = np.ones(len(one.kept), bool)
            if low is not None:
                inside &= one.edges[:-1] >= one.axis.place(np.array([low]))[0]
            if high is not None:
                inside &= one.edges[1:] <= one.axis.place(np.array([high]))[0]
            assert one.cut[inside].sum() == 0


def test_a_measure_without_numbers_is_not_drawn() -> None:
    recipe = synthetic_ledgers.make_recipe(gates=[{"field": "jpeg_quality", "min": 1}])
    for rows in (0, 50):
        ledger = make_ledger(recipe, rows)
        for name in ("jpeg_quality", "short_side", "aspect"):
            nulls = pa.nulls(rows, pa.float64())
            ledger = ledger.set_column(ledger.column_names.index(name), name, nulls)
        assert draw_figures(ledger, recipe.gates) == []


def test_figures_are_small_opaque_and_independent_of_matplotlib_settings(tmp_path: Path) -> None:
    recipe = synthetic_ledgers.make_recipe()
    ledger = make_ledger(recipe, 500)
    first = draw_figures(ledger, recipe.gates)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": True, "savefig.dpi": 20}):
        again = draw_figures(ledger, recipe.gates)
    assert first == again
    assert [one.path for one in first] == ["card/sizes.png", "card/gates.png"]
    for one in first:
        assert len(one.png) < 150_000
        picture = Image.open(io.BytesIO(one.png))
        assert picture.width == 1280
        assert picture.info.keys() <= {"dpi"}  # no date, no version
        assert np.asarray(picture.convert("RGBA"))[..., 3].min() == 255  # shows on dark pages, too


def test_at_most_eight_gates_are_drawn_those_that_drop_most() -> None:
    names = [f"gate_{i}" for i in range(12)]
    recipe = synthetic_ledgers.make_recipe(
        columns=names, gates=[{"field": name, "max": 100 - i} for i, name in enumerate(names)]
    )
    ledger = make_ledger(recipe, 200)
    values = pa.array(np.linspace(0, 101, 200))
    for name in names:
        ledger = ledger.set_column(ledger.column_names.index(name), name, values)
    (shown,) = [one for one in draw_figures(ledger, recipe.gates) if one.path == "card/gates.png"]
    assert re.findall(r"gate_\d+", shown.text) == names[4:]
    idle = [gate.model_copy(update={"max": 200.0}) if i else gate for i, gate in enumerate(recipe.gates)]
    (shown,) = [one for one in draw_figures(ledger, idle) if one.path == "card/gates.png"]
    assert re.findall(r"gate_\d+", shown.text) == names[:4]


def test_hostile_column_names_are_drawn_as_they_are() -> None:
    for name in HOSTILE_TEXTS:
        one = make_panel(name, np.arange(50.0), np.ones(50, bool), [Gate(field=name, min=3)])
        assert render_png([one]).startswith(b"\x89PNG")
