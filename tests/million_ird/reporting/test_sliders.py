"""Thresholds as sliders: they decide like the gates."""

import base64

import numpy as np
import pytest

from million_ird.candidate import Keep
from million_ird.config.gates import Gate
from million_ird.ledger import funnel
from million_ird.reporting.histograms import FigureAxis
from million_ird.reporting.rows import LedgerBatch
from million_ird.reporting.sliders import GateLimit, Slider, gate_limits, slider_data, stop_codes, stops_along
from tests.million_ird.reporting.synthetic_ledgers import (
    decide_rows,
    make_recipe,
    scan_rows,
)

NAN = float("nan")


@pytest.mark.parametrize(("side", "limit"), [("min", 1024.0), ("max", 0.35), ("min", 0.0), ("max", 7.0)])
def test_stop_codes_decide_like_the_gate_at_every_stop(side: str, limit: float) -> None:
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


def test_the_slider_data_starts_at_what_was_kept() -> None:
    recipe = make_recipe()
    rows = LedgerBatch(decide_rows(scan_rows(2000, recipe), recipe))
    sliders = [
        Slider.along(FigureAxis.over(rows.values(one.gate.field), [one.value]), one) for one in gate_limits(recipe)
    ]
    held = slider_data(rows, funnel(rows.table), recipe, sliders)
    passing = np.ones(held["rows"], bool)
    for slider in held["sliders"]:
        column = np.frombuffer(base64.b64decode(slider["codes"]), np.uint8)
        passing &= column > slider["start"] if slider["side"] == "min" else column <= slider["start"]
        assert slider["stops"][slider["start"]] == getattr(recipe.gates[slider["gate"]], slider["side"])
    whole = np.frombuffer(base64.b64decode(held["whole"]), np.uint8) == 1
    groups = {group for row, group in zip(held["members"], held["groups"], strict=True) if passing[row]}
    copies = sum(1 for row in held["members"] if passing[row]) - len(groups)
    assert int((passing & whole).sum()) - copies == held["kept"] == int(rows.kept.sum())
    assert int((passing & ~whole).sum()) == 0


def test_rows_that_no_threshold_can_bring_back_are_left_out() -> None:
    recipe = make_recipe(gates=[{"field": "jpeg_quality", "min": 40, "required": True}])
    rows = LedgerBatch(decide_rows(scan_rows(400, recipe), recipe))
    expected = int((~rows.failed & ~np.isnan(rows.values("jpeg_quality"))).sum())
    held = slider_data(
        rows,
        funnel(rows.table),
        recipe,
        [Slider.along(FigureAxis.over(rows.values("jpeg_quality"), [40]), limit) for limit in gate_limits(recipe)],
    )
    assert held["rows"] == expected < 400


def test_limits_are_written_as_formulas() -> None:
    assert [limit.text for limit in gate_limits(make_recipe())][:3] == [
        "short_side ≥ 1,024",
        "mean_luma ≥ 40",
        "mean_luma ≤ 220",
    ]
    assert GateLimit(Gate(field="x", min=1), "min", 1).breaks(np.array([0.5, 1, NAN])).tolist() == [True, False, False]
