"""Means and spreads, tables, and the cost of a call."""

import math
import re

import pytest
import torch

from dynet.evaluation.markdown import TableColumn, tables
from dynet.evaluation.summary import Spread
from dynet.runtime.cost import MB, CostMeter


def test_a_wide_table_is_split_to_80_columns_with_its_keys_repeated() -> None:
    keys = [TableColumn("task", ("a long benchmark's name", "b"), right=False)]
    columns = [TableColumn(f"metric-{number}", ("0.1234 ± 0.056", "1")) for number in range(7)]
    parts = tables(keys, columns).split("\n\n")
    assert len(parts) == 3
    assert max(len(line) for part in parts for line in part.splitlines()) <= 80
    assert all(part.startswith("| task ") and "a long benchmark's name" in part for part in parts)
    assert [head for part in parts for head in re.findall(r"metric-\d", part)] == [column.head for column in columns]
    too_wide = tables([TableColumn("task", ("x" * 90, "y"), right=False)], columns[:2])
    assert too_wide.count("metric-") == 2  # each in a table of its own, none lost


def test_a_spread_is_independent_of_order_and_counts_values_that_are_not_finite() -> None:
    values = [0.1, 1e6, 0.2, -1e6, 0.3] * 7
    assert Spread.of(values) == Spread.of(sorted(values))
    assert Spread.of([30.0, 34.0]) == Spread(32.0, 2.0, 0)
    infinite = Spread.of([30.0, math.inf])
    assert (infinite.mean, math.isnan(infinite.std), infinite.not_finite) == (math.inf, True, 1)
    assert math.isnan(Spread.of([30.0, math.nan]).mean)
    assert math.isnan(Spread.of([math.inf, -math.inf]).mean)


def test_peak_memory_is_that_of_one_call() -> None:
    meter = CostMeter(torch.device("cpu"), torch.nn.Identity())
    if "since it began" in meter.memory:
        pytest.skip("this system does not let a process reset its peak resident set")
    image = torch.zeros(1, 3, 8, 8)

    def large(x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones(256 * MB // 4).sum()

    _, before = meter.measure(torch.clone, image)
    result, during = meter.measure(large, image)
    _, after = meter.measure(torch.clone, image)
    assert float(result[0, 0, 0, 0]) == 256 * MB // 4
    assert before.peak_bytes is not None
    assert during.peak_bytes is not None
    assert after.peak_bytes is not None
    assert during.peak_bytes - before.peak_bytes > 200 * MB
    assert during.peak_bytes - after.peak_bytes > 200 * MB
    assert during.seconds > 0
